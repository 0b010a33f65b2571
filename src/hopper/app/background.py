"""What the workers share that run beside the server until they are stopped."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from time import monotonic
from typing import Protocol


class Log(Protocol):
    """Takes counts and error names; never what a task says."""

    def __call__(self, event: str, **fields: object) -> None: ...


class Worker(Protocol):
    """What runs until it is stopped."""

    async def run(self) -> None: ...

    def stop(self) -> None: ...


_STOP_SECONDS = 5.0
"""What the workers get to finish; a provider may hang for longer, and its batch is taken up again later."""


@asynccontextmanager
async def at_work(workers: Sequence[Worker]) -> AsyncIterator[None]:
    """Have the workers run for as long as the block lasts; whoever doesn't stop then within seconds is cancelled."""
    running = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        for worker in workers:
            worker.stop()
        _, late = await asyncio.wait(running, timeout=_STOP_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def pause(stopped: asyncio.Event, seconds: float) -> None:
    """Wait so long, but no longer than until the worker is stopped."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stopped.wait(), seconds)


_LONGEST_SECONDS = 300.0


class Repeating:
    """A worker that does the same again and again, with a pause between, until it is stopped.

    What fails is told by the name of its error, as `failure`, and tried again. `first` is how long it waits before it
    begins. The pause is so many `seconds`, and longer where the work would take more than `share` of the time: by five
    minutes at most, since what took so long may have been a wait.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[object]],
        seconds: float,
        failure: str,
        log: Log,
        *,
        first: float = 0.0,
        share: float = 1.0,
    ) -> None:
        self._work = work
        self._seconds = seconds
        self._failure = failure
        self._log = log
        self._first = first
        self._share = share
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Finish what is under way and return from run."""
        self._stopped.set()

    async def run(self) -> None:
        await pause(self._stopped, self._first)
        while not self._stopped.is_set():
            began, longer = monotonic(), 0.0
            try:
                await self._work()
                took = monotonic() - began
                longer = min(took / self._share - took, _LONGEST_SECONDS)
            except Exception as error:
                self._log(self._failure, error=type(error).__name__)
            await pause(self._stopped, max(self._seconds, longer))


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Look for cycles a hundred times less often, for work that makes many objects at once and no cycles.

    Python looks after each 700 new objects, and at all of them when they have grown by a quarter: half the time there.
    """
    before = gc.get_threshold()
    gc.set_threshold(100 * before[0], *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
