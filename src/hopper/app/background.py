"""What the workers share that run beside the server until they are stopped."""

import asyncio
from contextlib import suppress
from typing import Protocol


class Log(Protocol):
    """Takes counts and error names; never what a task says."""

    def __call__(self, event: str, **fields: object) -> None: ...


class Worker(Protocol):
    """What runs until it is stopped."""

    async def run(self) -> None: ...

    def stop(self) -> None: ...


async def pause(stopped: asyncio.Event, seconds: float) -> None:
    """Wait so long, but no longer than until the worker is stopped."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stopped.wait(), seconds)
