"""What is told of each request: an id, a line in the log, counts, a span. Never its path, query or body."""

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import AbstractContextManager
from random import getrandbits
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hopper.entrypoints.http.traffic import Traffic
from hopper.entrypoints.logs import KEY_ID, LINES, REQUEST_ID, TRACE_ID, Timestamps
from hopper.ports.spans import RequestSpan, Spans

UNMATCHED = "unmatched"
"""The route of what was refused, or found nothing, before there was one."""

QUIET = {"/healthz", "/readyz", "/metrics"}
"""What is asked all the time, and logged at the level debug only."""

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_GONE = 499
"""The client went before there was an answer (nginx's number)."""

_SAFE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")

LEVELS = ("debug", "info", "warning", "error")

Tell = Callable[[str, str, int, float], None]


class Observed:
    """Outermost of all, so that nothing goes untold. `templates` are the paths of the endpoints, with names for ids."""

    def __init__(
        self, app: ASGIApp, templates: Mapping[Hashable, str], traffic: Traffic, tell: Tell, spans: Spans | None
    ) -> None:
        self._app = app
        self._templates = templates
        self._traffic = traffic
        self._tell = tell
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        id = _id_of(scope["headers"])
        REQUEST_ID.set(id)
        header = (b"x-request-id", id.encode())
        status = _GONE

        async def answering(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], header]
            await send(message)

        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._traffic.under_way += 1
        try:
            if self._spans and scope["path"] not in QUIET:
                with self._span(self._spans, method, scope, id) as span:
                    TRACE_ID.set(span.trace_id)
                    await self._app(scope, receive, answering)
                    span.answered(self._route(scope), status)
            else:
                await self._app(scope, receive, answering)
        finally:
            seconds = perf_counter() - began
            route = self._route(scope)
            self._traffic.under_way -= 1
            self._traffic.count(method, route, status, seconds)
            self._tell(method, route, status, seconds)

    def _route(self, scope: Scope) -> str:
        return self._templates.get(scope.get("endpoint"), UNMATCHED)

    def _span(self, spans: Spans, method: str, scope: Scope, id: str) -> AbstractContextManager[RequestSpan]:
        return spans.request(method, scope["headers"], {"url.scheme": scope["scheme"], "hopper.request_id": id})


def _id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The id that the client gave its request, if it can stand anywhere, or a new one."""
    for name, value in headers:
        if name == b"x-request-id":
            if _SAFE_ID.fullmatch(value):
                return value.decode()
            break
    return f"{getrandbits(64):016x}"


def access_log(json: bool, level: str) -> Tell:
    """Tells of a request in one line.

    The line is put together by hand, of what needs no escaping: structlog takes ten times as long, which every request
    would wait for.
    """
    told = LEVELS[LEVELS.index(level) :]
    times = Timestamps()
    line = _json_line if json else _plain_line

    def tell(method: str, route: str, status: int, seconds: float) -> None:
        of_request = "debug" if route in QUIET else "error" if status >= 500 else "info"
        if of_request in told:
            LINES.add(line(times.now(), of_request, method, route, status, seconds * 1000))

    return tell


def _json_line(now: str, level: str, method: str, route: str, status: int, ms: float) -> str:
    more = "".join(f'"{variable.name}":"{value}",' for variable in (KEY_ID, TRACE_ID) if (value := variable.get()))
    return (
        f'{{"event":"request","method":"{method}","route":"{route}","status":{status},"ms":{ms:.1f},'
        f'"request_id":"{REQUEST_ID.get()}",{more}"level":"{level}","logger":"hopper.http","timestamp":"{now}"}}\n'
    )


def _plain_line(now: str, level: str, method: str, route: str, status: int, ms: float) -> str:
    more = "".join(f" {variable.name}={value}" for variable in (KEY_ID, TRACE_ID) if (value := variable.get()))
    return (
        f"{now} [{level:<9}] request [hopper.http] method={method} route={route} status={status} ms={ms:.1f} "
        f"request_id={REQUEST_ID.get()}{more}\n"
    )
