"""What the log says of a request that nobody foresaw would fail."""

from collections.abc import Iterator
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from hopper.domain import task
from hopper.entrypoints.http.problems import LastResort


async def failing(error: Exception) -> tuple[list[dict[str, Any]], list[Message]]:
    """What is logged and what is sent when an error comes out of other people's code that Hopper has called."""
    logged: list[dict[str, Any]] = []
    sent: list[Message] = []

    def library() -> Iterator[str]:
        yield "tag"
        raise error

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        task.tags_from(library())

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    def log(_event: str, **said: Any) -> None:
        logged.append(said)

    await LastResort(app, log)({"type": "http", "method": "POST", "path": "/"}, receive, send)
    return logged, sent


async def test_hoppers_own_line_is_named() -> None:
    """Every bug would be reported from the same line of the database's driver."""
    [said], sent = await failing(RuntimeError("secret"))
    assert said["error"] == "RuntimeError"
    assert str(task.__file__) in said["where"]
    assert "secret" not in str(said)
    assert sent[0]["status"] == 500


async def test_a_client_that_went_away_is_no_error() -> None:
    """The log would be full of errors that are none."""
    assert await failing(ClientDisconnect()) == ([], [])
