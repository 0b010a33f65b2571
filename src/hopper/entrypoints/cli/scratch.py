"""A database of their own for the demo and the bench, and the event loop that a server would have."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hopper.adapters.postgres import migrate
from hopper.domain.errors import Conflict
from hopper.entrypoints.logs import log_to_stderr
from hopper.services.postgres import EmbeddedPostgres


@contextmanager
def scratch_database(keep: Path | None = None) -> Iterator[str]:
    """The URL of an empty database, thrown away at the end unless there is a new directory to keep it in."""
    log_to_stderr()
    if keep is not None:
        if keep.exists() and any(keep.iterdir()):
            raise Conflict(f"{keep} isn't empty. Name a new directory.")
        with EmbeddedPostgres(keep.absolute()) as postgres:
            asyncio.run(migrate.upgrade(postgres.url))
            yield postgres.url
        return
    with TemporaryDirectory(prefix="hopper-") as home, EmbeddedPostgres(Path(home), durable=False) as postgres:
        asyncio.run(migrate.upgrade(postgres.url))
        yield postgres.url


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end as `hopper serve` does, with uvloop where there is one: else the times would mislead."""
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if find_spec("uvloop"):
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(work)
