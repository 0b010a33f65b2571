"""hopper demo: a real sample, routed task by task, so that a person sees Hopper learn."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.entrypoints.cli.common import Json
from hopper.entrypoints.cli.decisions import explain
from hopper.entrypoints.cli.output import clipped, percent, progress, say, say_json, task_table
from hopper.entrypoints.cli.references import Names

if TYPE_CHECKING:
    from hopper.app.replay import Step
    from hopper.domain.task import Task
    from hopper.ports import Ports

Entity = dict[str, Any]

SAMPLE = Path(__file__).parents[2] / "samples" / "banking77.jsonl.gz"
CREDIT = "BANKING77 by PolyAI (Casanueva et al. 2020), CC BY 4.0; a part of it, in mixed order"

_STRETCH = 150
"""Tasks a line of the report."""

_SHOWN_TRIAGE = 5


def demo(
    home: Annotated[
        Path | None,
        typer.Option(help="Keep the demo's database in this new directory, to look around in with `hopper serve`."),
    ] = None,
    json: Json = False,
) -> None:
    """Route 1,500 real questions to a bank among 20 instances, one after the other, and watch Hopper learn.

    After each decision Hopper hears where the question belonged. The database is the demo's own, and thrown away at
    the end unless you name a directory for it.
    """
    from hopper.app.replay import create_targets, replay, targets_of
    from hopper.bootstrap import open_hopper
    from hopper.config import load_settings
    from hopper.entrypoints.cli.examples import read_examples
    from hopper.entrypoints.cli.scratch import run, scratch_database

    examples = read_examples(SAMPLE)

    async def play(url: str) -> None:
        async with open_hopper(load_settings(), url) as ports:
            targets = targets_of(examples)
            await create_targets(targets, ports=ports)
            names = Names({id: name for name, id in targets.items()})
            steps: list[Step] = []
            with progress("routing", len(examples)) as show:
                async for step in replay(examples, targets, ports=ports):
                    steps.append(step)
                    show(len(steps))
                    tell(steps)
            await _finish(steps, names, ports, json)

    tell = _quiet if json else _report
    if not json:
        say(f"{len(examples):,} questions to a bank, each for one of 20 instances. {CREDIT}.\n")
    with scratch_database(home) as url:
        run(play(url))
    if home and not json:
        say(f"\nLook around: hopper serve --home {home}")


async def _finish(steps: "Sequence[Step]", names: Names, ports: "Ports", json: bool) -> None:
    """What is left to see at the end: a few decisions with their reasons, and what waits in triage."""
    async with ports.reading() as uow:
        waiting = await uow.tasks.triage(_SHOWN_TRIAGE)
        in_triage = (await uow.episodes.statistics()).in_triage
    telling = _telling(steps)
    if not json:
        _show_decisions(telling, names)
        _show_triage(waiting.items, in_triage, names)
        return
    say_json(
        {
            "sample": CREDIT,
            "quality": _quality(steps),
            "stretches": [_quality(steps[at : at + _STRETCH]) for at in range(0, len(steps), _STRETCH)],
            "decisions": [{"title": step.task.title, **_plain(step)} for step in telling],
            "instances": names.by_id,
            "triage": {"tasks": in_triage, "oldest": [task.title for task in waiting.items]},
        }
    )


def _report(steps: "Sequence[Step]") -> None:
    """A line about the last stretch, whenever one is full."""
    if len(steps) == 1:
        say("tasks   best guess right   decided   right when decided")
    if len(steps) % _STRETCH:
        return
    now = _quality(steps[-_STRETCH:])
    precision = "-" if now["precision_decided"] is None else percent(now["precision_decided"])
    say(f"{len(steps):5}   {percent(now['accuracy']):>16}   {percent(now['decided']):>7}   {precision:>18}")


def _quiet(_steps: "Sequence[Step]") -> None:
    pass


def _telling(steps: "Sequence[Step]") -> "list[Step]":
    """The last decision that was right, the last that was wrong, and the last that Hopper left to a person."""
    kinds: list[Callable[[Step], bool]] = [
        lambda step: step.judged.decided and step.judged.right,
        lambda step: step.judged.decided and not step.judged.right,
        lambda step: not step.judged.decided,
    ]
    found = (next((step for step in reversed(steps) if kind(step)), None) for kind in kinds)
    return [step for step in found if step]


def _show_decisions(steps: "Sequence[Step]", names: Names) -> None:
    for step in steps:
        say(f"\n“{step.task.title}”")
        explain(_plain(step)["decision"], names, dry_run=True)
        say(f"  it belonged to {names.of(step.judged.target)}")


def _show_triage(waiting: "Sequence[Task]", in_triage: int, names: Names) -> None:
    say(f"\n{in_triage} tasks wait in triage, where Hopper wasn't sure enough. The oldest:")
    task_table(names, [{**asdict(task), "title": clipped(task.title)} for task in waiting], "Nothing waits in triage.")


def _quality(steps: "Sequence[Step]") -> Entity:
    from hopper.routing.quality import assess

    return asdict(assess([step.judged for step in steps]))


def _plain(step: "Step") -> Entity:
    return {"decision": asdict(step.decision), "target": step.judged.target}


def register(app: typer.Typer) -> None:
    app.command()(demo)
