"""hopper import and hopper stats: many tasks at once, and what has become of all of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.domain.moving import SOURCE_LENGTH, Format
from hopper.entrypoints.cli.common import DEFAULT_SERVER, Json, Server, connect, path_of, readable, require_file
from hopper.entrypoints.cli.output import facts, note, percent, say, say_json

if TYPE_CHECKING:
    from hopper.entrypoints.cli.imports import Source

Entity = dict[str, Any]

_SHOWN_ERRORS = 20
_BAD_LINES = 6

_OF_FOLDERS = {Format.FOLDER, Format.BACKLOG, Format.BEADS}


def _source(name: str | None) -> str | None:
    if name is not None and not 0 < len(name.strip()) <= SOURCE_LENGTH:
        raise typer.BadParameter(f"A name of 1 to {SOURCE_LENGTH} characters.", param_hint="--as")
    return name


def import_(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A file, gzipped or not; the folder of Backlog.md, or a .hopper; - is standard input.",
            parser=path_of,
        ),
    ],
    format: Annotated[
        Format | None, typer.Option(help="What it is, where that isn't plain from what it holds.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="Who gave the ids, when two have the same: a name of your own.",
            callback=_source,
        ),
    ] = None,
    restore: Annotated[bool, typer.Option("--restore", help="Bring back what was removed here.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would become of each, and change nothing.")
    ] = False,
    atomic: Annotated[bool, typer.Option("--atomic", help="All lines or none (new tasks only).")] = False,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Take in tasks: new ones, one JSON object a line, or those of another program, which follow it from then on.

    Running it again makes no doubles, and what was changed here stays as it is.
    """
    from hopper.adapters.formats.kinds import format_of_file, format_of_folder
    from hopper.entrypoints.cli.choice import choose
    from hopper.entrypoints.cli.imports import Source
    from hopper.entrypoints.cli.moving import files_of

    if path.is_dir():
        files = files_of(path, choose(server).directory)
        found = format or format_of_folder(files)
        _require_fitting(found, format, source, atomic, restore, is_folder=True)
        _move(found, source, files, restore, dry_run, server, json)
        return
    require_file(path, or_input=True)
    with Source(path) as lines:
        if lines.is_empty and not format:
            found = Format.TASKS
        else:
            found = format or format_of_file(readable(path), lines.beginning())
            _require_fitting(found, format, source, atomic, restore, is_folder=False)
        if found is not Format.TASKS:
            _move(found, source, [(readable(path), lines.content())], restore, dry_run, server, json)
            return
        _file(lines, atomic, dry_run, server, json)


def _require_fitting(
    found: Format, given: Format | None, source: str | None, atomic: bool, restore: bool, *, is_folder: bool
) -> None:
    """Refuse what would otherwise be ignored, or read as what it isn't."""
    if given and is_folder is not (given in _OF_FOLDERS) and (given, is_folder) != (Format.BEADS, False):
        raise typer.BadParameter(
            f"{given} is read from {'a file' if is_folder else 'a folder'}.", param_hint="--format"
        )
    if atomic and found is not Format.TASKS:
        raise typer.BadParameter(f"This is read as {found}, and each record stands for itself.", param_hint="--atomic")
    if (source or restore) and found is Format.TASKS:
        hint = "--as" if source else "--restore"
        raise typer.BadParameter(
            "These are new tasks, which follow no source. --format says otherwise.", param_hint=hint
        )


def _move(
    format: Format,
    source: str | None,
    files: list[tuple[str, bytes]],
    restore: bool,
    dry_run: bool,
    server: str,
    json: bool,
) -> None:
    """Have tasks follow the records of another program."""
    from hopper.entrypoints.cli import moving

    read = moving.read(format, source, files)
    with connect(server) as api:
        report = moving.send(api, read, restore=restore, dry_run=dry_run)
    if json:
        say_json(report)
    else:
        moving.tell(report)
    if report["failed"]:
        raise typer.Exit(_BAD_LINES)


def _file(source: "Source", atomic: bool, dry_run: bool, server: str, json: bool) -> None:
    """File new tasks."""
    from hopper.entrypoints.cli.imports import send

    with connect(server) as api:
        report = send(api, source, atomic=atomic, dry_run=dry_run)
    if source.left_out:
        note(f"Left out, since tasks have no such fields: {', '.join(sorted(source.left_out))}.")
    if json:
        say_json(report)
    else:
        _say_report(report, atomic, dry_run)
    if report["failed"]:
        raise typer.Exit(_BAD_LINES)


def stats(server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Count tasks, decisions and outcomes, and how often the choice was right."""
    with connect(server) as api:
        counts = api.get("/learning/statistics")
    if json:
        say_json(counts)
        return
    accuracy = counts["accuracy"]
    facts(
        [
            ("tasks", counts["tasks"]),
            ("open", counts["open_tasks"]),
            ("in triage", counts["in_triage"]),
            ("instances", counts["instances"]),
            ("patterns", counts["patterns"]),
            ("decisions", counts["episodes"]),
            ("abstained", counts["abstained"]),
            ("own choices judged", counts["known_outcomes"]),
            ("right", f"{counts['successes']}{'' if accuracy is None else f' ({percent(accuracy)})'}"),
            ("feedback", counts["feedback"]),
            *((f"by {strategy.replace('_', ' ')}", count) for strategy, count in counts["by_strategy"].items()),
            *((f"{projection} queue", count) for projection, count in counts["queue"].items()),
        ]
    )


def _say_report(report: Entity, atomic: bool, dry_run: bool) -> None:
    errors = report["errors"]
    for error in errors[:_SHOWN_ERRORS]:
        field = f"{error['field']}: " if error["field"] else ""
        note(f"line {error['line']}: {field}{error['detail']}")
    if len(errors) > _SHOWN_ERRORS:
        note(f"… and {report['failed'] - _SHOWN_ERRORS} more lines; --json names more of them.")
    if not any(report[count] for count in ("created", "unchanged", "failed")):
        say("There is nothing to import.")
        return
    if errors and atomic:
        say(f"Nothing was imported: {report['failed']} lines can't be used. Correct them and run it again.")
        return
    if dry_run:
        say(f"Would be: {report['created']} created, {report['unchanged']} there already, {report['failed']} refused")
        return
    say(f"{report['created']} created, {report['unchanged']} there already, {report['failed']} refused")
    if errors:
        note("Import corrected lines from a file of their own: lines of a changed file count as new ones.")


def register(app: typer.Typer) -> None:
    app.command("import")(import_)
    app.command()(stats)
