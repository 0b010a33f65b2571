"""hopper import and hopper stats: many tasks at once, and what has become of all of them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hopper.entrypoints.cli.common import DEFAULT_SERVER, Json, Server, connect, require_file
from hopper.entrypoints.cli.output import facts, note, percent, say, say_json

Entity = dict[str, Any]

_SHOWN_ERRORS = 20
_BAD_LINES = 6


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            dir_okay=False,
            readable=True,
            help="JSON Lines, gzipped or not; - is standard input.",
        ),
    ],
    atomic: Annotated[bool, typer.Option("--atomic", help="All lines or none.")] = False,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """File many tasks, one JSON object a line. Running it again on the same file makes no doubles."""
    from hopper.entrypoints.cli.imports import Source, send

    require_file(file)
    with connect(server) as api, Source(file) as source:
        report = send(api, source, atomic=atomic)
    if source.left_out:
        note(f"Left out, since tasks have no such fields: {', '.join(sorted(source.left_out))}.")
    if json:
        say_json(report)
    else:
        _say_report(report, atomic)
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


def _say_report(report: Entity, atomic: bool) -> None:
    errors = report["errors"]
    for error in errors[:_SHOWN_ERRORS]:
        field = f"{error['field']}: " if error["field"] else ""
        note(f"line {error['line']}: {field}{error['detail']}")
    if len(errors) > _SHOWN_ERRORS:
        note(f"… and {report['failed'] - _SHOWN_ERRORS} more lines; --json names more of them.")
    if errors and atomic:
        say(f"Nothing was imported: {report['failed']} lines can't be used. Correct them and run it again.")
        return
    say(f"{report['created']} created, {report['unchanged']} there already, {report['failed']} refused")
    if errors:
        note("Import corrected lines from a file of their own: lines of a changed file count as new ones.")


def register(app: typer.Typer) -> None:
    app.command("import")(import_)
    app.command()(stats)
