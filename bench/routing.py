"""How good decisions are on banking77, and how long one takes when there are 10,000 past ones."""

import asyncio
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import uvloop

from bench.figures import Figure
from hopper.adapters.postgres import migrate
from hopper.app.lifecycle import create_task, route_task
from hopper.app.projections import EMBEDDING
from hopper.app.replay import Example, create_targets, replay, targets_of
from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.entrypoints.cli.examples import read_examples
from hopper.ports import Ports
from hopper.routing.quality import Quality, assess
from hopper.services.postgres import EmbeddedPostgres

DECISIONS = 500

Times = tuple[float, float]
"""p50 and p99, in milliseconds."""


def measure(data: Path) -> list[Figure]:
    """The training set in its own order, which is sorted by intent, and mixed; decisions about the test set's."""
    train, test = (read_examples(data / f"banking77-{part}.jsonl.gz") for part in ("train", "test"))
    mixed = Random(1).sample(train, len(train))
    new = Random(1).sample(test, 2 * DECISIONS)
    in_order, _, _ = _run(train, [])
    shuffled, waiting, at_once = _run(mixed, new)
    return [
        Figure(name="banking77 in order, accuracy of the last half", value=in_order.accuracy_last_half, goal=0.85),
        Figure(name="banking77 mixed, accuracy of the last half", value=shuffled.accuracy_last_half),
        Figure(name="banking77 mixed, expected calibration error", value=shuffled.ece),
        Figure(name="banking77 mixed, coverage at 95 % precision", value=shuffled.coverage_at_95),
        Figure(name="a decision, p50", value=waiting[0], unit="ms", goal=5, at_least=False),
        Figure(name="a decision, p99", value=waiting[1], unit="ms"),
        Figure(name="a decision about a task not embedded yet, p50", value=at_once[0], unit="ms"),
    ]


def _run(past: list[Example], new: list[Example]) -> tuple[Quality, Times, Times]:
    """On the event loop that a server has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measured(past, new))


async def _measured(past: list[Example], new: list[Example]) -> tuple[Quality, Times, Times]:
    """The quality over the past, then p50 and p99 of decisions about embedded tasks and about brand-new ones."""
    with TemporaryDirectory(prefix="hopper-bench-") as place, EmbeddedPostgres(Path(place)) as postgres:
        await migrate.upgrade(postgres.url)
        async with open_hopper(load_settings(), postgres.url) as ports:
            targets = targets_of(past)
            await create_targets(targets, ports=ports)
            judged = [step.judged async for step in replay(past, targets, ports=ports)]
            half = len(new) // 2
            for example in new[:half]:
                await create_task(example.task, ports=ports)
            await embedded(ports)
            waiting = [await _timed(example, ports) for example in new[:half]]
            at_once = []
            for example in new[half:]:
                await create_task(example.task, ports=ports)
                at_once.append(await _timed(example, ports))
    return assess(judged), _percentiles(waiting), _percentiles(at_once)


async def _timed(example: Example, ports: Ports) -> float:
    began = perf_counter()
    await route_task(example.task.id, ports=ports)
    return 1000 * (perf_counter() - began)


async def embedded(ports: Ports) -> None:
    """Return when the worker has nothing left to do."""
    depth = 1
    while depth:
        await asyncio.sleep(0.1)
        async with ports.reading() as uow:
            depth = await uow.queue.depth(EMBEDDING)


def _percentiles(times: list[float]) -> Times:
    return (float(np.percentile(times, 50)), float(np.percentile(times, 99))) if times else (0.0, 0.0)
