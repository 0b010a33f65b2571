"""hopper db prune: removing what is older than it is to be kept."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from hopper.entrypoints.cli.common import Json
from hopper.entrypoints.cli.output import note, say, say_json, table
from hopper.entrypoints.cli.server import Home, Url, database_of, db, flags

if TYPE_CHECKING:
    from hopper.config import Settings


def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would go, and remove nothing.")] = False,
    home: Home = None,
    database_url: Url = None,
    json: Json = False,
) -> None:
    """Remove what is older than retention.episodes_days and retention.logs_days say. A server does so by itself."""
    from hopper.config import load_settings

    settings = load_settings(**flags(home, database_url))
    with database_of(settings, exclusive=False) as database:
        found = asyncio.run(_pruned(settings, database.url, dry_run))
    if json:
        say_json({"dry_run": dry_run, "removed": found})
    elif not found:
        say("Everything is kept: neither retention.episodes_days nor retention.logs_days is set.")
    else:
        table(("what", "would go" if dry_run else "removed"), list(found.items()), "")
        if dry_run:
            note("Nothing was removed. Without --dry-run, this is done.")


async def _pruned(settings: "Settings", url: str, dry_run: bool) -> Mapping[str, int]:
    from datetime import UTC, datetime

    from hopper.adapters.postgres import migrate
    from hopper.app.retention import expired, prune
    from hopper.bootstrap import kept, open_database

    if dry_run:
        await migrate.require_head(url)
    else:
        await migrate.upgrade(url, pgvector=settings.database.pgvector.enabled)
    async with open_database(url) as unit_of_work:
        return await (expired if dry_run else prune)(kept(settings), datetime.now(UTC), unit_of_work)


def register(_app: typer.Typer) -> None:
    db.command()(prune)
