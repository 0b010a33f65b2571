"""hopper backup and restore: a server's database in one file, and back."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hopper.entrypoints.cli.common import Json, naming, path_of, require_file
from hopper.entrypoints.cli.output import amount, note, progress, say, say_json
from hopper.entrypoints.cli.server import Home, Url, database_of, flags

if TYPE_CHECKING:
    from hopper.domain.backup import Manifest


def backup(
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="Where to; without it, hopper-<time>.zip here.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Make none: read FILE and tell whether it is whole, and what it holds.")
    ] = False,
    home: Home = None,
    database_url: Url = None,
    json: Json = False,
) -> None:
    """Write a server's database into one file, while the server runs or not."""
    if verify:
        _verify(file, json)
        return
    from hopper import __version__
    from hopper.config import load_settings
    from hopper.services.backup import make_backup
    from hopper.services.backup_file import refuse_existing

    path = path_of(file if file is not None else f"hopper-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip")
    if path.is_dir() or not path.parent.is_dir():
        raise typer.BadParameter(f"{str(path)!r} can't be a file. Name one in a directory that is there.")
    refuse_existing(path, force=force)
    settings = load_settings(**flags(home, database_url))
    with database_of(settings, exclusive=False) as database, naming(path), amount("backing up") as show:
        manifest = make_backup(database.url, path, hopper=__version__, force=force, show=show)
    _tell(path, manifest, json, "Backed up")


def restore(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `hopper backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Into a database that holds something, which is lost then.")
    ] = False,
    home: Home = None,
    database_url: Url = None,
    json: Json = False,
) -> None:
    """Put a backup into a new data directory or an empty database, compare it, and bring it to this version's schema.

    All or nothing: broken off at any point, the database is as before, and it can be run again.
    """
    from hopper.adapters.postgres import migrate
    from hopper.config import load_settings
    from hopper.services.backup_file import open_backup
    from hopper.services.restore import restore as put_back

    path = path_of(file)
    require_file(path)
    settings = load_settings(**flags(home, database_url))
    with open_backup(path) as reader:
        manifest = reader.manifest
        migrate.refuse_newer(manifest.schema)
        with progress("verifying", manifest.dump_bytes) as show:
            reader.verify(show)
        with database_of(settings, exclusive=True) as database:
            asyncio.run(migrate.require_rights(database.url))
            with progress("restoring", manifest.dump_bytes) as show:
                put_back(database.url, reader, known_tables=migrate.tables(), replace=replace, show=show)
            asyncio.run(migrate.upgrade(database.url, pgvector=settings.database.pgvector.enabled))
    _tell(path, manifest, json, "Restored")
    if not json:
        for name in manifest.left_out:
            note(f"{name} is made anew when a server runs.")


def _verify(file: str | None, json: bool) -> None:
    from hopper.services.backup_file import open_backup

    if file is None:
        raise typer.BadParameter("Name the file to verify.", param_hint="FILE")
    path = path_of(file)
    require_file(path)
    with open_backup(path) as reader, progress("verifying", reader.manifest.dump_bytes) as show:
        reader.verify(show)
    _tell(path, reader.manifest, json, "Whole:")


def _tell(path: Path, manifest: "Manifest", json: bool, what: str) -> None:
    size = path.stat().st_size
    if json:
        say_json({"file": str(path), "bytes": size, **asdict(manifest)})
        return
    say(
        f"{what} {manifest.rows:,} rows in {len(manifest.tables)} tables of {manifest.made_at} "
        f"(Hopper {manifest.hopper}, schema {manifest.schema}): {path}, {size / 1e6:,.1f} MB"
    )


def register(app: typer.Typer) -> None:
    app.command()(backup)
    app.command()(restore)
