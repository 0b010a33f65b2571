"""A database of their own for the demo and the bench."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hopper.adapters.postgres import migrate
from hopper.domain.errors import Conflict
from hopper.entrypoints.cli.common import log_to_stderr
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
