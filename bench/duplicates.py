"""How often a known duplicate is among the likeliest that Hopper names, and how long that takes.

Each bug that has a known duplicate in the set is asked for among all the others: recall@k is the share of those
bugs of which at least one known duplicate is among the first k.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import asyncpg
import numpy as np
import uvloop

from bench.data import rows
from bench.decisions import embedded
from bench.figures import Figure
from hopper.adapters.postgres import migrate
from hopper.app.duplicates import SURE, most_alike
from hopper.app.lifecycle import create_task
from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.domain.duplicate import Duplicate
from hopper.domain.ids import new_id
from hopper.domain.task import TITLE_LENGTH, Task
from hopper.ports import Ports
from hopper.services.postgres import EmbeddedPostgres

FILE = "seamonkey-bugs-duplicates.jsonl.gz"
CROWD = "banking77-train.jsonl.gz"
DEPTH = 10


def measure(data: Path) -> list[Figure]:
    """The bugs alone, then beside ten thousand other tasks."""
    bugs, crowd = rows(data / FILE), rows(data / CROWD)
    return uvloop.run(_measure(bugs, [row["title"] for row in crowd]))


async def _measure(bugs: list[dict[str, Any]], crowd: Sequence[str]) -> list[Figure]:
    known = _known(bugs)
    with TemporaryDirectory(prefix="hopper-bench-") as place, EmbeddedPostgres(Path(place)) as postgres:
        await migrate.upgrade(postgres.url)
        async with open_hopper(load_settings(), postgres.url) as ports:
            tasks = [_task(str(bug["id"]), bug["title"], bug["description"], ports) for bug in bugs]
            await asyncio.gather(*(create_task(task, ports=ports) for task in tasks))
            await embedded(ports)
            await _analysed(postgres.url)
            found = {task.id: (await most_alike(task, DEPTH, ports=ports)) for task in tasks}
            await asyncio.gather(*(create_task(_task(None, title, None, ports), ports=ports) for title in crowd))
            await embedded(ports)
            await _analysed(postgres.url)
            crowded = {task.id: await most_alike(task, DEPTH, ports=ports) for task in tasks if task.id in known}
            times = [await _timed(task, ports) for task in tasks if task.id in known]
    return [
        *(
            Figure(name=f"duplicates, recall@{k}", value=_recall(found, known, k), goal=goal)
            for k, goal in ((1, None), (5, 0.82), (10, None))
        ),
        Figure(name="duplicates among 11,000 tasks, recall@5", value=_recall(crowded, known, 5)),
        Figure(name=f"bugs with a score of {SURE} or more", value=_sure(found), unit="bugs"),
        Figure(
            name="duplicates among 11,000 tasks, p50",
            value=float(np.percentile(times, 50)),
            unit="ms",
            goal=20,
            at_least=False,
        ),
        Figure(name="duplicates among 11,000 tasks, p99", value=float(np.percentile(times, 99)), unit="ms"),
    ]


async def _analysed(url: str) -> None:
    """What autovacuum does by itself within a minute."""
    connection = await asyncpg.connect(url)
    await connection.execute("ANALYZE tasks")
    await connection.close()


def _task(id: str | None, title: str, description: str | None, ports: Ports) -> Task:
    now = ports.clock.now()
    return Task(id=id or new_id(), title=title[:TITLE_LENGTH], description=description, created_at=now, updated_at=now)


def _known(bugs: list[dict[str, Any]]) -> dict[str, set[str]]:
    """The duplicates in the set, of each bug that has any."""
    ids = {str(bug["id"]) for bug in bugs}
    pairs = {str(bug["id"]): ids.intersection(map(str, bug["duplicates"])) for bug in bugs}
    return {id: others for id, others in pairs.items() if others}


def _recall(found: dict[str, tuple[Duplicate, ...]], known: dict[str, set[str]], k: int) -> float:
    hits = [bool(others & {duplicate.task_id for duplicate in found[id][:k]}) for id, others in known.items()]
    return float(np.mean(hits))


def _sure(found: dict[str, tuple[Duplicate, ...]]) -> int:
    return sum(bool(duplicates) and duplicates[0].score >= SURE for duplicates in found.values())


async def _timed(task: Task, ports: Ports) -> float:
    began = perf_counter()
    await most_alike(task, DEPTH, ports=ports)
    return 1000 * (perf_counter() - began)
