"""hopper learn …: patterns out of outcomes, and trying patterns on the past."""

from json import JSONDecodeError, loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.entrypoints.cli.common import DEFAULT_SERVER, Json, Server, connect, readable, require_file
from hopper.entrypoints.cli.output import clipped, note, percent, say, say_json, table, working
from hopper.entrypoints.cli.references import Names, instance_id, names_of, short

if TYPE_CHECKING:
    from hopper.adapters.http.api import Api

Entity = dict[str, Any]

_COUNTS = ("made", "refined", "updated", "deactivated", "reactivated", "unchanged")


def consolidate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Learn patterns from outcomes. The server does so by itself; doing it again changes nothing."""
    with connect(server) as api, working("learning from outcomes"):
        answer = api.post("/learning/consolidate", repeatable=True, long=True, dry_run=dry_run)
    if json:
        say_json(answer)
        return
    would = "Would have from" if dry_run else "From"
    counts = ", ".join(f"{answer[name]} {name}" for name in _COUNTS)
    say(f"{would} {answer['examples']} past tasks: {counts}")
    rows = [
        (one["change"], percent(one["pattern"]["confidence"]), one["pattern"]["name"], one["pattern"]["description"])
        for one in answer["changes"]
    ]
    if rows:
        table(("change", "confidence", "pattern", "because"), rows, "")


def backtest(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="JSON: a list of patterns, or the API's request; - is standard input."),
    ] = None,
    consolidate: Annotated[
        bool, typer.Option("--consolidate", help="Try what `learn consolidate` would make.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, max=2000, help="So many of the last decisions.", show_default="200")
    ] = None,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Replay past decisions against patterns and show what would have changed. Nothing is stored."""
    if consolidate is (file is not None):
        raise typer.BadParameter("Name a FILE with patterns, or say --consolidate.", param_hint="FILE")
    body: Entity = {"consolidate": True} if file is None else _request(file)
    if limit is not None:
        body["limit"] = limit
    with connect(server) as api:
        _find_targets(api, body)
        with working("replaying past decisions"):
            answer = api.post("/learning/backtest", body, repeatable=True, long=True)
        if json:
            say_json(answer)
            return
        shown = [one for one in answer["episodes"] if one["old_choice"] != one["new_choice"]]
        ids = [one[name] for one in shown for name in ("old_choice", "new_choice", "outcome_instance")]
        _show(answer, shown, names_of(api, ids))


def rebuild(server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Make the text model again from the outcomes that it was made of; decisions stay the same."""
    with connect(server) as api, working("learning again"):
        answer = api.post("/learning/rebuild", repeatable=True, long=True)
    if json:
        say_json(answer)
        return
    say(f"Made version {answer['version']} from {answer['outcomes']} past tasks.")


def _request(file: Path) -> Entity:
    """What a file asks for; a list of patterns is short for a request with nothing else."""
    import sys

    from hopper.domain.errors import Invalid

    require_file(file, or_input=True)
    try:
        said = loads(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
    except (JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("FILE", f"{readable(file)} isn't JSON: {error}") from None
    if said == []:
        raise Invalid("FILE", f"{readable(file)} holds an empty list: name a pattern to try, or say --consolidate.")
    if isinstance(said, list):
        said = {"patterns": said}
    if not isinstance(said, dict):
        raise Invalid("FILE", f"{readable(file)} has to hold a list of patterns, or an object with `patterns`.")
    return said


def _find_targets(api: "Api", body: Entity) -> None:
    """Let patterns name their target as every command does, by its name or an end of its id."""
    patterns = body.get("patterns")
    for pattern in patterns if isinstance(patterns, list) else ():
        if isinstance(pattern, dict) and isinstance(pattern.get("target_instance"), str):
            pattern["target_instance"] = instance_id(api, pattern["target_instance"])


def _show(answer: Entity, changed: list[Entity], names: Names) -> None:
    totals = answer["totals"]
    called = {pattern["id"]: pattern["name"] for pattern in answer["patterns"]}
    rows = [
        (
            short(one["task_id"]),
            names.of(one["old_choice"]) or "(nobody)",
            names.of(one["new_choice"]),
            names.of(one["outcome_instance"]),
            one["verdict"],
            ", ".join(called[id] for id in one["pattern_ids"]),
            clipped(one["title"]),
        )
        for one in changed
    ]
    if rows:
        table(("task", "was", "would be", "right", "verdict", "by", "title"), rows, "")
    if not totals["episodes"]:
        note("No past decision has a known outcome yet: `hopper feedback` and `hopper done` tell how one went.")
    say(
        f"{totals['right_before']} of {totals['episodes']} were right; {totals['right_after']} would be "
        f"({totals['changed']} changed: {totals['improved']} better, {totals['worsened']} worse)"
    )


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Learn patterns from outcomes, and try them on the past.")
    for command in (consolidate, backtest, rebuild):
        group.command()(command)
    app.add_typer(group, name="learn")
