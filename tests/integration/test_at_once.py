"""Many requests at the same moment: nothing is done twice, and nothing is lost."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from tests.steps import CARD, delegations, episodes, filed, joined, record, rule, said

from hopper.app import lifecycle
from hopper.app.instances import edit_instance
from hopper.app.patterns import edit_pattern
from hopper.app.tasks import edit_task
from hopper.domain.decision import Decision
from hopper.domain.instance import InstanceStatus
from hopper.domain.task import Priority
from hopper.ports import Ports
from hopper.ports.unit_of_work import UnitOfWork


@pytest.fixture
async def teams(ports: Ports) -> None:
    """Two instances to choose from: cards and refunds."""
    for name in ("cards", "refunds"):
        await joined(ports, name)


@pytest.mark.usefixtures("teams")
async def test_routing_one_task_many_times_at_once_delegates_it_once(ports: Ports) -> None:
    """A double click, or two agents, would set two instances to work on one task."""
    pattern = await rule(ports, "cards")
    task = await filed(ports)
    results = await asyncio.gather(
        *(lifecycle.route_task(task.id, ports=ports) for _ in range(8)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["Conflict"] * 7 + ["Decision"]
    [delegation] = await delegations(ports, task.id)
    [decision] = [result for result in results if isinstance(result, Decision)]
    assert delegation.target_instance_id == decision.chosen_instance
    assert len(await episodes(ports, task.id)) == 1
    assert await record(ports, pattern) == (1, 0, 0)


@pytest.mark.usefixtures("teams")
async def test_decisions_and_feedback_at_once_all_count(ports: Ports) -> None:
    """A rule's record, and with it Hopper's confidence, would be wrong on every busy server."""
    pattern = await rule(ports, "cards")
    tasks = [await filed(ports, f"{CARD} {number}") for number in range(12)]
    await asyncio.gather(*(lifecycle.route_task(task.id, ports=ports) for task in tasks))
    assert await record(ports, pattern) == (12, 0, 0)
    await asyncio.gather(*(said(ports, task.id, was_good_match=at % 3 > 0) for at, task in enumerate(tasks)))
    assert await record(ports, pattern) == (12, 8, 4)


@pytest.mark.usefixtures("teams")
async def test_contradicting_feedback_at_once_ends_in_one_state(ports: Ports) -> None:
    """The stored feedback and what was learned from it would contradict each other."""
    pattern = await rule(ports, "cards")
    task = await filed(ports)
    await lifecycle.route_task(task.id, ports=ports)
    await asyncio.gather(*(said(ports, task.id, was_good_match=number % 2 == 0) for number in range(10)))
    async with ports.unit_of_work() as uow:
        stored = await uow.feedback.get(task.id)
    [episode] = await episodes(ports, task.id)
    assert episode.outcome_success is stored.was_good_match
    assert await record(ports, pattern) == ((1, 1, 0) if stored.was_good_match else (1, 0, 1))


async def beside(
    ports: Ports, url: str, first: Callable[[UnitOfWork], Coroutine[Any, Any, Any]], second: Coroutine[Any, Any, Any]
) -> None:
    """Run `second` while `first` has made its change but hasn't committed it yet."""
    async with ports.unit_of_work() as uow:
        await first(uow)
        running = asyncio.create_task(second)
        await until_waiting(url)
        await uow.commit()
    await running


async def until_waiting(url: str, many: int = 1) -> None:
    """Until so many transactions wait for another's lock."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(10):
            while True:
                waiting: int = await connection.fetchval(
                    """SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'"""
                )
                if waiting >= many:
                    return
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def test_two_edits_of_a_task_at_once_both_count(ports: Ports, database_url: str) -> None:
    """One person's change would vanish because another changed something else at the same moment."""
    task = await filed(ports)

    async def retitle(uow: UnitOfWork) -> None:
        before = await uow.tasks.get_for_update(task.id)
        await uow.tasks.update(replace(before, title="Another title"))

    await beside(ports, database_url, retitle, edit_task(task.id, {"priority": Priority.HIGH}, ports=ports))
    async with ports.unit_of_work() as uow:
        after = await uow.tasks.get(task.id)
    assert (after.title, after.priority, after.version) == ("Another title", Priority.HIGH, 3)


async def test_two_edits_of_an_instance_at_once_both_count(ports: Ports, database_url: str) -> None:
    """An instance that was just stopped would be running again because somebody renamed it."""
    await joined(ports, "cards")

    async def stop(uow: UnitOfWork) -> None:
        before = await uow.instances.get("cards")
        await uow.instances.update(replace(before, status=InstanceStatus.STOPPED))

    await beside(ports, database_url, stop, edit_instance("cards", {"name": "Card team"}, ports=ports))
    async with ports.unit_of_work() as uow:
        after = await uow.instances.get("cards")
    assert (after.status, after.name, after.version) == (InstanceStatus.STOPPED, "Card team", 3)


@pytest.mark.usefixtures("teams")
async def test_a_rules_record_survives_its_being_edited(ports: Ports, database_url: str) -> None:
    """What a rule has proved would be forgotten because somebody renamed it at the wrong moment."""
    pattern = await rule(ports, "cards")

    async def count(uow: UnitOfWork) -> None:
        [before] = await uow.patterns.get_many_for_update([pattern.id])
        await uow.patterns.update(replace(before, usage_count=7, success_count=5))

    await beside(ports, database_url, count, edit_pattern(pattern.id, {"name": "Cards"}, ports=ports))
    assert await record(ports, pattern) == (7, 5, 0)
