"""A small client of a Hopper server's API.

What the server answers comes back as it is, as JSON. Everything that can go wrong is a HopperError: what the server
refuses a RemoteProblem, a server that isn't reached Unavailable.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from threading import Timer
from types import ModuleType, TracebackType
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

from hopper.adapters.http.api import Api, Entity, Query
from hopper.domain.errors import HopperError, Invalid, Unavailable
from hopper.domain.told import text, whole

API = "/api/v1"
_PAUSES = (0.1, 0.4, 1.0, 2.0)
"""Seconds before each further try after a lost connection."""

_MOST_BYTES = 2**27
"""An answer may be so large: a page of the longest descriptions is."""

_PARTS = 5
"""An answer may take so many times as long to come as the server may keep silent."""

_SLOW_SECONDS = 3.0

_LONG_SECONDS = 600.0
"""What goes through all there is, such as learning from it, is waited for so long."""

RECEIPT = ("patterns_new", "patterns_changed", "episodes_new")

_PROBLEM = "urn:hopper:problem:"

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Hosts that can only be this machine: no proxy stands before them, and its own key may go there."""


class RemoteProblem(HopperError):
    """The server refused a request; `document` is all that it says of it (RFC 9457)."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        super().__init__(document["detail"])
        self.status = status
        self.slug = document["type"].removeprefix(_PROBLEM)
        self.document = document


class HopperClient(Api):
    """One connection to the server at `address`, such as http://127.0.0.1:8000; paths are below /api/v1.

    `token` is that of a key, or of a source that syncs. `elsewhere` tells, once there is no server at the address,
    where else one runs. `note` is told, in a sentence, when an answer that is usually there at once takes long.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float = 60,
        token: str | None = None,
        elsewhere: Callable[[], str | None] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self.address = checked_address(address)
        parts = urlsplit(self.address)
        httpx = _httpx()
        self._timeout = timeout
        self._elsewhere = elsewhere
        self._note = note
        self._http = httpx.Client(
            base_url=self.address + API,
            headers={
                "Accept-Encoding": "identity",  # what is packed may grow to any size
                **({"Authorization": f"Bearer {token}"} if token else {}),
            },
            verify=parts.scheme == "https",  # http needs no certificates, and reading them takes a while
            trust_env=parts.hostname not in LOOPBACK,  # a proxy can't reach this machine's own addresses
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: Query) -> Any:
        return self._send("GET", path, query, repeatable=True)

    def create(self, path: str, body: Entity) -> Any:
        return self._send("POST", path, {}, body, {"Idempotency-Key": str(uuid4())}, repeatable=True)

    def post(
        self, path: str, body: Entity | None = None, *, repeatable: bool = False, long: bool = False, **query: Query
    ) -> Any:
        return self._send("POST", path, query, body, repeatable=repeatable, timeout=_LONG_SECONDS if long else None)

    def put(self, path: str, body: Entity) -> Any:
        return self._send("PUT", path, {}, body, repeatable=True)

    def patch(self, path: str, body: Entity, *, version: int | None = None) -> Any:
        expected = None if version is None else {"If-Match": f'"{version}"'}
        return self._send("PATCH", path, {}, body, expected)

    def delete(self, path: str) -> Any:
        return self._send("DELETE", path, {})

    def import_lines(self, lines: Iterable[bytes], *, atomic: bool = False, dry_run: bool = False) -> Entity:
        content = b"".join(lines) if isinstance(lines, Sequence) else lines
        report = self._exchange(
            "POST",
            "/tasks/bulk",
            params={"atomic": atomic, "dry_run": dry_run},
            content=content,
            headers={"Content-Type": "application/x-ndjson"},
            timeout=_LONG_SECONDS,
            repeatable=isinstance(content, bytes),
        )
        return self.understood(report, _imported)

    def teach(self, push: bytes) -> Entity:
        """Send a push of what was learned, byte for byte; sent again after a lost connection. Returns what was new."""
        json = {"Content-Type": "application/json"}
        receipt = self._exchange("POST", "/sync/northbound", content=push, headers=json, repeatable=True)
        return self.understood(receipt, lambda said: {name: whole(said[name]) for name in RECEIPT})

    def _send(
        self,
        method: str,
        path: str,
        query: dict[str, Query],
        body: Entity | None = None,
        headers: dict[str, str] | None = None,
        *,
        repeatable: bool = False,
        timeout: float | None = None,
    ) -> Any:
        return self._exchange(
            method,
            path,
            params={name: _parameter(value) for name, value in query.items() if value is not None},
            content=None if body is None else _encoded(json.dumps(body, ensure_ascii=False)),
            headers={"Content-Type": "application/json", **(headers or {})} if body is not None else headers,
            repeatable=repeatable,
            timeout=timeout,
        )

    def _exchange(
        self, method: str, path: str, *, repeatable: bool, timeout: float | None = None, **request: Any
    ) -> Any:
        """Send a request, and send it again after a lost connection when that does no harm."""
        httpx = _httpx()
        pauses = iter(_PAUSES if repeatable else ())
        reached = False
        silence = timeout or self._timeout
        while True:
            try:
                with self._noted(silence) if self._note and method == "GET" else nullcontext():
                    return self._read(*self._received(method, path, silence, request))
            except httpx.TimeoutException:
                raise self._late() from None
            except httpx.TransportError as error:
                if self._http.is_closed:
                    raise self._late() from None
                reached = reached or not isinstance(error, httpx.ConnectError)
                pause = next(pauses, None)
                if pause is None or not reached:
                    raise without_tls(self.address, error) or self._unreachable(reached) from None
                time.sleep(pause)

    def _received(self, method: str, path: str, timeout: float, request: dict[str, Any]) -> tuple[int, bytes]:
        """The status and the content of an answer. One that never ends is given up, by its size or by the time.

        The time is taken from when the request has been sent, and ends the whole connection: whoever sends a byte now
        and then is never silent for long.
        """
        late = Timer(_PARTS * timeout, self._http.close)
        late.daemon = True

        def watch(event: str, _: Any) -> None:
            if event == "http11.receive_response_headers.started" and late.ident is None:
                late.start()

        content = bytearray()
        silence = _httpx().Timeout(timeout, connect=5)
        try:
            with self._http.stream(method, path, timeout=silence, extensions={"trace": watch}, **request) as response:
                for part in response.iter_raw():
                    content += part
                    if len(content) > _MOST_BYTES:
                        raise self.no_hopper(response.status_code)
                return response.status_code, bytes(content)
        finally:
            late.cancel()

    @contextmanager
    def _noted(self, timeout: float) -> Iterator[None]:
        """Say meanwhile what is waited for."""
        assert self._note
        said = f"{self.address} takes long to answer; waiting up to {timeout:g} seconds. Ctrl-C stops that."
        slow = Timer(_SLOW_SECONDS, self._note, [said])
        slow.daemon = True
        slow.start()
        try:
            yield
        finally:
            slow.cancel()

    def _late(self) -> Unavailable:
        return Unavailable(f"{self.address} didn't answer in time. Look after it, then try again.")

    def _unreachable(self, reached: bool) -> Unavailable:
        if reached:
            return Unavailable(f"The connection to {self.address} was lost. Look at the server, then try again.")
        elsewhere = self._elsewhere() if self._elsewhere else None
        if elsewhere and elsewhere != self.address:
            return Unavailable(
                f"There is no server at {self.address}, but one runs at {elsewhere}: export HOPPER_SERVER={elsewhere}"
            )
        return Unavailable(
            f"There is no server at {self.address}. Start one with `make serve` or `hopper serve`, "
            "or name another with --server or HOPPER_SERVER."
        )

    def _read(self, status: int, content: bytes) -> Any:
        """The JSON of an answer; raises what the server says is wrong."""
        if status == 204:
            return None
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if 200 <= status < 300 and answer is not None:
            return answer
        raise RemoteProblem(status, self.understood(answer, _problem, status=status))


def _problem(said: Any) -> dict[str, Any]:
    """What the server says is wrong, with all that people are told of it."""
    document: dict[str, Any] = said
    if not text(document["type"]).startswith(_PROBLEM):
        raise ValueError("another kind of problem")
    text(document["detail"])
    for one in document.get("duplicates") or ():
        f"{one['score']:.2f}"  # as it is told
        for name in ("task_id", "status", "title"):
            text(one[name])
    return document


def _imported(said: Any) -> Entity:
    for count in ("created", "unchanged", "failed"):
        whole(said[count])
    for error in said["errors"]:
        whole(error["line"])
        text(error["field"] or "")
        text(error["detail"])
    return dict(said)


def segment(id: str) -> str:
    """An id as a part of a path."""
    return quote(id, safe="")


def _encoded(text: str) -> bytes:
    """UTF-8; refuses the lone surrogates that stand for other bytes on a command line."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Invalid("text", f"{text[error.start : error.end]!r} isn't UTF-8 text.") from None


def _parameter(value: Query) -> str:
    """A query parameter as the API reads it."""
    return str(value).lower() if isinstance(value, bool) else _encoded(str(value)).decode()


def checked_address(address: str) -> str:
    """The address of a server without what Hopper appends. Raises Invalid for what can't be one."""
    if "@" in address:  # httpx would send what stands before it, and not the token
        raise Invalid("server", "A server's address has no user or password: leave out what stands before the @.")
    httpx = _httpx()
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1)
        (parts.hostname or "").encode("idna")  # as looking it up does
        _ = httpx.URL(address).host  # decodes it by another standard
    except (ValueError, httpx.InvalidURL):
        usable = None
    if not usable:
        raise Invalid("server", f"{address!r} isn't an address such as http://127.0.0.1:8000.")
    return address.rstrip("/").removesuffix(API)


def without_tls(address: str, error: BaseException | None) -> Unavailable | None:
    """What to say of a connection that failed while TLS was begun, or because its certificate isn't accepted."""
    while error and getattr(error, "library", None) != "SSL":
        error = error.__cause__ or error.__context__
    if error is None:
        return None
    reason = str(getattr(error, "reason", None) or "it broke off").replace("_", " ").lower()
    return Unavailable(
        f"{address} didn't speak TLS as it should ({reason}). If it is a server without TLS, name it with http://; "
        "if it has a certificate, this machine has to trust that."
    )


def _httpx() -> ModuleType:
    """httpx without its own command line, which would load rich and click and so double the time to start."""
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    import httpx

    return httpx
