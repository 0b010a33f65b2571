"""hopper bench routing: how well Hopper would have routed past tasks."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.entrypoints.cli.common import Json, readable, require_file
from hopper.entrypoints.cli.output import note, progress, say_json, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hopper.app.replay import Example
    from hopper.routing.quality import Judged

_INTERRUPTED = 130
_NEVER = 1_000_000


def routing(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Past tasks with their targets, JSON Lines, gzipped or not; - is standard input.",
        ),
    ],
    test: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Learn all of FILE... first, then decide about these unseen ones."),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2, max=20, help="Cut each file in so many parts; decide about each after learning the others."
        ),
    ] = None,
    shuffle: Annotated[
        int | None,
        typer.Option(metavar="SEED", help="Mix the order first, for files that are sorted by target."),
    ] = None,
    json: Json = False,
) -> None:
    """Route past tasks in order, each followed by its target as feedback, and print how good that was.

    With --test or --folds learning comes first, and what is asked then was never seen. Every file gets a fresh
    database. A decision counts by its best guess, also where Hopper abstained. Ctrl-C prints the figures so far.

    A line has `title` and `target` (the name of who should have had the task), and perhaps `description`, `tags` and
    `priority`.
    """
    from hopper.app.replay import targets_of
    from hopper.entrypoints.cli.examples import read_examples

    if test and folds:
        raise typer.BadParameter("Give --test or --folds, not both.", param_hint="--folds")
    for path in [*files, *([test] if test else [])]:
        require_file(path, or_input=True)
    exam = read_examples(test) if test else []
    results: list[dict[str, Any]] = []
    interrupted = False
    for path, examples in [(path, read_examples(path)) for path in files]:
        judged: list[Judged] = []
        targets = targets_of([*examples, *exam])
        try:
            for learned, asked in _rounds(_mixed(examples, shuffle), exam, folds):
                _measure(readable(path), targets, learned, asked, judged)
        except KeyboardInterrupt:
            interrupted = True
            note(f"Stopped after {len(judged)} of {len(examples)} tasks of {readable(path)}.")
        if judged:
            from hopper.routing.quality import assess

            results.append({"file": readable(path), "shuffle": shuffle, **asdict(assess(judged))})
        if interrupted:
            break
    if json:
        say_json(results)
    else:
        _show(results)
    if interrupted:
        raise typer.Exit(_INTERRUPTED)


def _mixed(examples: "list[Example]", seed: int | None) -> "list[Example]":
    from random import Random

    return examples if seed is None else Random(seed).sample(examples, len(examples))  # noqa: S311 - no secret


def _rounds(
    examples: "list[Example]", exam: "list[Example]", folds: int | None
) -> "Iterator[tuple[list[Example], list[Example]]]":
    """What is learned without being asked, and what is asked (and, where nothing was learned, taught as it comes)."""
    if folds is None:
        yield (examples, exam) if exam else ([], examples)
        return
    # Parts aren't parts of a stream: what is learned comes in no order. Each target's examples are dealt out in turn,
    # so that every part has some of each.
    dealt = sorted(range(len(examples)), key=lambda at: (examples[at].target, at))
    for fold in range(folds):
        asked = set(dealt[fold::folds])
        learned = [e for at, e in enumerate(examples) if at not in asked]
        yield _mixed(learned, fold), [examples[at] for at in sorted(asked)]


def _measure(
    label: str, targets: dict[str, str], learned: "list[Example]", asked: "list[Example]", judged: "list[Judged]"
) -> None:
    from hopper.app.replay import all_learned, create_targets, examine, keep_pace, replay, teach
    from hopper.bootstrap import open_hopper
    from hopper.config import load_settings
    from hopper.entrypoints.cli.scratch import run, scratch_database

    # Patterns are consolidated here, and not beside it by the clock.
    settings = load_settings(learning={"consolidate_after": _NEVER})

    async def stream(url: str) -> None:
        async with open_hopper(settings, url) as ports:
            await create_targets(targets, ports=ports)
            done = 0
            async for _ in teach(learned, targets, ports=ports):
                show(done := done + 1)
                await keep_pace(done, ports=ports)
            if learned:
                await all_learned(ports=ports)
            steps = examine(asked, targets, ports=ports) if learned else replay(asked, targets, ports=ports)
            async for step in steps:
                judged.append(step.judged)
                show(done := done + 1)
                if not learned:
                    await keep_pace(done, ports=ports)

    with scratch_database() as url, progress(label, len(learned) + len(asked)) as show:
        run(stream(url))


def _one_of_several() -> None:
    """Measure Hopper on past tasks of your own."""


def _show(results: list[dict[str, Any]]) -> None:
    shares = ("accuracy", "accuracy_last_half", "macro_f1", "ece", "coverage_at_95", "decided", "precision_decided")
    columns = ("file", "tasks", "targets", *(name.replace("_", " ") for name in shares), "ms p50", "ms p95")
    rows = [
        (
            Path(result["file"]).name,
            result["tasks"],
            result["targets"],
            *("-" if result[name] is None else f"{result[name]:.3f}" for name in shares),
            f"{result['p50_ms']:.1f}",
            f"{result['p95_ms']:.1f}",
        )
        for result in results
    ]
    table(columns, rows, "Nothing was measured.")


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Measure Hopper on past tasks of your own.")
    group.callback()(_one_of_several)
    group.command()(routing)
    app.add_typer(group, name="bench")
