"""hopper bench routing: how well Hopper would have routed past tasks."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.entrypoints.cli.common import Json, readable, require_file
from hopper.entrypoints.cli.output import note, progress, say_json, table

if TYPE_CHECKING:
    from hopper.app.replay import Example
    from hopper.routing.quality import Judged

_INTERRUPTED = 130


def routing(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Past tasks with their targets, JSON Lines, gzipped or not; - is standard input.",
        ),
    ],
    shuffle: Annotated[
        int | None,
        typer.Option(metavar="SEED", help="Mix the order first, for files that are sorted by target."),
    ] = None,
    json: Json = False,
) -> None:
    """Route past tasks in order, each followed by its target as feedback, and print how good that was.

    Every file gets a fresh database. A decision counts by its best guess, also where Hopper abstained. Ctrl-C prints
    the figures so far.
    """
    from hopper.entrypoints.cli.examples import read_examples

    for path in files:
        require_file(path)
    results: list[dict[str, Any]] = []
    interrupted = False
    for path, examples in [(path, read_examples(path)) for path in files]:
        judged: list[Judged] = []
        try:
            _measure(readable(path), _mixed(examples, shuffle), judged)
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


def _measure(label: str, examples: "list[Example]", judged: "list[Judged]") -> None:
    from hopper.app.replay import create_targets, replay
    from hopper.bootstrap import open_hopper
    from hopper.config import load_settings
    from hopper.entrypoints.cli.scratch import run, scratch_database

    async def stream(url: str) -> None:
        async with open_hopper(load_settings(), url) as ports:
            targets = await create_targets(examples, ports=ports)
            async for step in replay(examples, targets, ports=ports):
                judged.append(step.judged)
                show(len(judged))

    with scratch_database() as url, progress(label, len(examples)) as show:
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
