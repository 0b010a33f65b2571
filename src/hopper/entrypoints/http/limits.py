"""How large a request may be. FastAPI's own limit answers in plain text, not in problem details."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hopper.entrypoints.http.problems import problem


class BodyLimit:
    """Refuses larger bodies with 413: at once where their length is declared, else when it turns out.

    `most` is in bytes; `exceptions` gives other limits to the paths that it names.
    """

    def __init__(self, app: ASGIApp, most: int, exceptions: dict[str, int]) -> None:
        self._app = app
        self._most = most
        self._exceptions = exceptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._exceptions.get(scope["path"], self._most)
        said = f"A request to {scope['path']} has at most {most:,} bytes."
        if _declared(scope) > most:
            response = problem(413, "too-large", said)
            response.headers["Connection"] = "close"  # what the client goes on sending isn't read
            await response(scope, receive, send)
            return
        received = 0

        async def counting() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise HTTPException(413, said)
            return message

        await self._app(scope, counting, send)


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


class Deadline:
    """Gives up requests that take longer than so many seconds; of those to a `long` path, each wait for more of them.

    A body that stops coming is answered with 408. What takes too long here is broken off: its transaction is undone,
    unless it was just being stored.
    """

    def __init__(self, app: ASGIApp, seconds: float, long: frozenset[str]) -> None:
        self._app = app
        self._seconds = seconds
        self._long = long

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_long = scope["path"] in self._long
        answered = receiving = False

        async def waiting() -> Message:
            nonlocal receiving
            receiving = True
            if is_long and not answered:
                deadline.reschedule(asyncio.get_running_loop().time() + self._seconds)
            message = await receive()
            receiving = False
            if is_long:
                deadline.reschedule(None)
            return message

        async def watching(message: Message) -> None:
            nonlocal answered
            answered = True
            if is_long:
                deadline.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(None if is_long else self._seconds) as deadline:
                await self._app(scope, waiting, watching)
        except TimeoutError:
            if answered or not deadline.expired():
                raise
            if receiving:
                response = problem(408, "too-slow", f"Nothing more of the request came for {self._seconds:g} seconds.")
                response.headers["Connection"] = "close"
            else:
                response = problem(503, "unavailable", _TOO_LONG)
            await response(scope, receive, send)


_TOO_LONG = (
    "This takes too long and was given up. Ask for less, or try again when there is less to do; a change may or may "
    "not have been stored, so look first, or repeat it with the same Idempotency-Key."
)
