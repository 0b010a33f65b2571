"""How large a request may be. FastAPI's own limit answers in plain text, not in problem details."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hopper.entrypoints.http.conventions import problem


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
