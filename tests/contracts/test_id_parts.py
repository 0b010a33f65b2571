"""Listings by a part of an id: what stands behind the short ids that people see and type."""

import asyncpg
import pytest
from tests.builders import a_pattern, a_task, an_instance
from tests.contracts.working import add

from hopper.adapters.postgres.sql import HAS_ID_PART
from hopper.ports.repositories import TaskFilter
from hopper.ports.unit_of_work import UnitOfWork

IDS = ("0198-a_b-cafe", "0198-aXb-Cafe", "fe.d-0198")


async def found(kind: str, part: str, uow: UnitOfWork) -> set[str]:
    """The ids of those that are listed."""
    if kind == "task":
        return {task.id for task in (await uow.tasks.list(TaskFilter(id_part=part), 50)).items}
    if kind == "instance":
        return {instance.id for instance in (await uow.instances.list(50, id_part=part)).items}
    return {pattern.id for pattern in (await uow.patterns.list(50, id_part=part)).items}


@pytest.mark.parametrize("kind", ["task", "instance", "pattern"])
async def test_either_end_of_an_id_finds_it_and_nothing_else(kind: str, uow: UnitOfWork) -> None:
    """A person who types the id that a table shows would be told that there is nothing, or change the wrong thing."""
    for id in IDS:
        match kind:
            case "task":
                await add(uow, a_task(id=id))
            case "instance":
                await add(uow, an_instance(id))
            case _:
                await add(uow, a_pattern(id=id))
    for part, those in {
        "0198-": set(IDS[:2]),
        "0198": set(IDS),
        "cafe": {IDS[0]},
        "-Cafe": {IDS[1]},
        "0198-a_b": {IDS[0]},  # no wildcard
        "fe.d": {IDS[2]},
        "-a_b-": set(),
        "8910": set(),
        IDS[0]: {IDS[0]},
    }.items():
        assert await found(kind, part, uow) == those, part


async def test_the_indexes_serve_both_ends_of_a_tasks_id(database_url: str) -> None:
    """Every command that names a task would read through all tasks."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET enable_seqscan = off")
    rows = await connection.fetch(f"EXPLAIN SELECT FROM tasks WHERE {HAS_ID_PART.format(repr('cafe'))}")
    await connection.close()
    plan = "\n".join(row[0] for row in rows)
    assert "idx_tasks_id_prefix" in plan
    assert "idx_tasks_id_suffix" in plan
