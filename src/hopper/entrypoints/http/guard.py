"""Keeping web pages out: any page that a browser shows may send requests to this machine's ports.

A page has no key, but what needs none it could read, and a proxy may add one: so a browser's own account of where a
request comes from counts as well.
"""

from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hopper.entrypoints.http.conventions import READING
from hopper.entrypoints.http.problems import problem

_ELSEWHERE = {b"cross-site", b"same-site"}

_FOREIGN_NAME = (
    "This server answers to its own machine's names only, such as localhost, and to those in the setting "
    "`allowed_hosts` (HOPPER_ALLOWED_HOSTS)."
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

    A server on loopback, or one whose names are known, answers to those and to loopback names only: a page's own name
    may have been made to point here (DNS rebinding). Changes are refused when the browser says that they come from
    another site.
    """

    def __init__(self, app: ASGIApp, bound_to: str, names: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(names)
        self._is_choosy = bool(names) or is_loopback(bound_to)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = self._refusal(scope["method"], dict(scope["headers"]))
            if refusal:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, method: str, headers: dict[bytes, bytes]) -> Response | None:
        host = headers.get(b"host", b"")
        if self._is_choosy and host and not (is_loopback(name := _name(host)) or name in self._names):
            return problem(421, "misdirected", _FOREIGN_NAME)
        if method in READING:
            return None
        origin = headers.get(b"origin")
        if headers.get(b"sec-fetch-site") in _ELSEWHERE or (origin and origin.partition(b"://")[2] != host):
            return problem(403, "cross-site", _FOREIGN_PAGE)
        return None


@lru_cache(256)
def _name(host: bytes) -> str:
    """The name in a Host header, without its port; none if it can't be read."""
    try:
        return urlsplit(f"//{host.decode('ascii')}").hostname or ""
    except ValueError:
        return ""
