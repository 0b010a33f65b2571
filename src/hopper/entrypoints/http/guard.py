"""Keeping web pages out: any page that a browser shows may send requests to this machine's ports.

There is no authentication yet, so that a browser's own account of where a request comes from is all there is.
"""

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hopper.entrypoints.http.conventions import READING, problem

_ELSEWHERE = {b"cross-site", b"same-site"}

_FOREIGN_NAME = (
    "This server answers to its own machine's names only, such as localhost. The setting `host` widens that."
)
_FOREIGN_PAGE = "This comes from another site's web page, which may not change anything here. A proxy has to keep Host."


def is_loopback(name: str) -> bool:
    """Whether a name or an address can only mean this machine."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


class Guard:
    """Refuses what only a web page of another site would send; programs that are no browsers don't notice.

    A server on loopback answers to loopback names only: a page's own name may have been made to point here (DNS
    rebinding). Changes are refused when the browser says that they come from another site.
    """

    def __init__(self, app: ASGIApp, bound_to: str) -> None:
        self._app = app
        self._on_loopback = is_loopback(bound_to)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = self._refusal(scope["method"], dict(scope["headers"]))
            if refusal:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, method: str, headers: dict[bytes, bytes]) -> Response | None:
        host = headers.get(b"host", b"")
        if self._on_loopback and host and not _means_this_machine(host):
            return problem(421, "misdirected", _FOREIGN_NAME)
        if method in READING:
            return None
        origin = headers.get(b"origin")
        if headers.get(b"sec-fetch-site") in _ELSEWHERE or (origin and origin.partition(b"://")[2] != host):
            return problem(403, "cross-site", _FOREIGN_PAGE)
        return None


@lru_cache(256)
def _means_this_machine(host: bytes) -> bool:
    """Whether a Host header has a loopback name, with any port."""
    try:
        return is_loopback(urlsplit(f"//{host.decode('ascii')}").hostname or "")
    except ValueError:
        return False
