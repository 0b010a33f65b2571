"""What hangs together: parents and dependencies of tasks, and the tree of instances. Never a circle, never a gap."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from tests.builders import a_task, an_instance
from tests.steps import belongs, delegations, episodes, filed, joined, record, rule, task_now

from hopper.app import lifecycle
from hopper.app.instances import delete_instance, edit_instance
from hopper.app.tasks import delete_task, edit_task
from hopper.domain.errors import Conflict, Cycle, Invalid
from hopper.domain.ids import TaskId
from hopper.ports import Ports

NOBODY = "0198c0de-0000-7000-8000-00000000dead"


async def depend(ports: Ports, task: TaskId, *on: TaskId) -> None:
    await edit_task(task, {"depends_on": on}, ports=ports)


async def put_below(ports: Ports, task: TaskId, parent: TaskId | None) -> None:
    await edit_task(task, {"parent_task_id": parent}, ports=ports)


async def link(ports: Ports, task: TaskId, original: TaskId) -> None:
    await edit_task(task, {"duplicate_of": original}, ports=ports)


async def move(ports: Ports, instance: str, parent: str | None) -> None:
    await edit_instance(instance, {"parent_id": parent}, ports=ports)


async def tasks(ports: Ports, number: int) -> list[TaskId]:
    return [(await filed(ports, f"Task {at}")).id for at in range(number)]


# Tasks


@pytest.mark.parametrize("length", [1, 2, 4])
async def test_a_task_never_waits_for_itself(ports: Ports, length: int) -> None:
    """Tasks that wait for each other in a circle would never be ready, and nobody would see why."""
    ids = await tasks(ports, length)
    for task, needed in pairwise(ids):
        await depend(ports, task, needed)
    with pytest.raises(Cycle):
        await depend(ports, ids[-1], ids[0])
    assert (await task_now(ports, ids[-1])).depends_on == ()


@pytest.mark.parametrize("length", [1, 2, 4])
async def test_a_task_is_never_its_own_ancestor(ports: Ports, length: int) -> None:
    """A circle of subtasks would hang everything that walks up or down it."""
    ids = await tasks(ports, length)
    for task, parent in pairwise(ids):
        await put_below(ports, task, parent)
    with pytest.raises(Cycle):
        await put_below(ports, ids[-1], ids[0])
    assert (await task_now(ports, ids[-1])).parent_task_id is None


@pytest.mark.parametrize("length", [2, 4])
async def test_a_task_is_never_a_duplicate_of_its_own_duplicate(ports: Ports, length: int) -> None:
    """Two tasks that were each closed in favour of the other would be done by nobody."""
    ids = await tasks(ports, length)
    for task, original in pairwise(ids):
        await link(ports, task, original)
    with pytest.raises(Cycle, match="is a duplicate of"):
        await link(ports, ids[-1], ids[0])
    assert (await task_now(ports, ids[-1])).duplicate_of is None
    await link(ports, ids[0], ids[-1])  # past those between, which is no circle


async def test_several_ways_to_one_task_are_no_circle(ports: Ports) -> None:
    """Two parts that wait for the same third one are everyday work."""
    top, left, right, bottom = await tasks(ports, 4)
    await depend(ports, top, left, right)
    await depend(ports, left, bottom)
    await depend(ports, right, bottom)
    assert set((await task_now(ports, top)).depends_on) == {left, right}
    await depend(ports, top, bottom)  # dropping two and adding one
    assert (await task_now(ports, top)).depends_on == (bottom,)


@pytest.mark.parametrize("field", ["parent_task_id", "depends_on", "duplicate_of", "instance_id"])
async def test_what_a_task_names_has_to_be_there(ports: Ports, field: str) -> None:
    """A mistyped id would be taken, and the task would wait for something that doesn't exist."""
    value: Any = (NOBODY,) if field == "depends_on" else NOBODY
    with pytest.raises(Invalid, match=NOBODY) as refused:
        await lifecycle.create_task(a_task(**{field: value}), ports=ports)
    assert refused.value.field == field
    task = await filed(ports)
    with pytest.raises(Invalid, match=NOBODY) as refused:
        await edit_task(task.id, {field: value}, ports=ports)
    assert refused.value.field == field
    assert await task_now(ports, task.id) == task


async def test_a_task_that_is_removed_holds_nobody_up(ports: Ports) -> None:
    """Tasks would wait for ever for one that is gone, or removing it would take its subtasks along."""
    first, second, below = await tasks(ports, 3)
    await depend(ports, second, first)
    await put_below(ports, below, first)
    await delete_task(first, ports=ports)
    assert (await task_now(ports, second)).depends_on == ()
    assert (await task_now(ports, below)).parent_task_id is None
    assert (await lifecycle.complete_task(second, ports=ports)).status == "done"


# Instances


async def test_instances_form_a_tree(ports: Ports) -> None:
    """Nobody could see who stands below whom, or a listing from the leaf to the root would never end."""
    for name, parent in (("top", None), ("middle", "top"), ("leaf", "middle")):
        await joined(ports, name, parent_id=parent)
    for instance, parent in (("top", "top"), ("top", "middle"), ("top", "leaf")):
        with pytest.raises(Cycle):
            await move(ports, instance, parent)
    async with ports.unit_of_work() as uow:
        assert [above.id for above in await uow.instances.hierarchy("leaf")] == ["leaf", "middle", "top"]
        assert [child.id for child in await uow.instances.children("top")] == ["middle"]
    await move(ports, "leaf", "top")
    await move(ports, "middle", "leaf")


async def test_the_parent_of_an_instance_has_to_be_there(ports: Ports) -> None:
    """A mistyped parent would be reported as if the instance itself were missing, or silently lead nowhere."""
    with pytest.raises(Invalid) as refused:
        await joined(ports, "orphan", parent_id=NOBODY)
    assert refused.value.field == "parent_id"
    before = await joined(ports, "cards")
    with pytest.raises(Invalid) as refused:
        await move(ports, "cards", NOBODY)
    assert refused.value.field == "parent_id"
    async with ports.unit_of_work() as uow:
        assert await uow.instances.get("cards") == before


async def test_an_instance_in_use_isnt_removed(ports: Ports) -> None:
    """Tasks would be left with nobody, and no one would know that they are there."""
    await joined(ports, "team")
    await joined(ports, "member", parent_id="team")
    task = await filed(ports, instance_id="member")
    with pytest.raises(Conflict, match=r"1 task.*[Dd]elegate.*stop"):
        await delete_instance("member", ports=ports)
    with pytest.raises(Conflict, match=r"children.*[Mm]ove or delete"):
        await delete_instance("team", ports=ports)
    await delete_task(task.id, ports=ports)
    await delete_instance("member", ports=ports)
    await delete_instance("team", ports=ports)


async def test_an_instance_that_is_gone_is_remembered(ports: Ports) -> None:
    """Nobody could ever remove an instance that has worked, or the history of its tasks would go with it."""
    await joined(ports, "old")
    await joined(ports, "new")
    pattern = await rule(ports, "old")
    task = await filed(ports)
    await lifecycle.route_task(task.id, ports=ports)
    await lifecycle.delegate_task(task.id, "new", ports=ports)
    await delete_instance("old", ports=ports)
    assert len(await delegations(ports, task.id)) == 2
    assert [episode.chosen_instance for episode in await episodes(ports, task.id)] == ["new", "old"]
    await belongs(ports, task.id, "new")
    assert await record(ports, pattern) == (1, 0, 1)
    assert (await lifecycle.route_task((await filed(ports)).id, ports=ports)).chosen_instance == "new"


# At once


async def refusals(*changes: Coroutine[Any, Any, None]) -> list[str]:
    """What the changes that weren't made were told."""
    results = await asyncio.gather(*changes, return_exceptions=True)
    return [type(result).__name__ for result in results if result is not None]


def ring(ids: list[str]) -> list[tuple[str, str]]:
    """Each with the next, and the last with the first."""
    return list(pairwise([*ids, ids[0]]))


@pytest.mark.parametrize("length", [2, 5])
async def test_changes_at_once_make_no_circle_of_dependencies(ports: Ports, length: int) -> None:
    """Each change is fine by itself; together they would lock tasks in a circle."""
    ids = await tasks(ports, length)
    assert await refusals(*(depend(ports, task, needed) for task, needed in ring(ids))) == ["Cycle"]


@pytest.mark.parametrize("length", [2, 5])
async def test_changes_at_once_make_no_circle_of_parents(ports: Ports, length: int) -> None:
    """Each change is fine by itself; together they would make a task its own ancestor."""
    ids = await tasks(ports, length)
    assert await refusals(*(put_below(ports, task, parent) for task, parent in ring(ids))) == ["Cycle"]


@pytest.mark.parametrize("length", [2, 5])
async def test_changes_at_once_make_no_circle_of_duplicates(ports: Ports, length: int) -> None:
    """Each link is fine by itself; together they would leave no task that says it first."""
    ids = await tasks(ports, length)
    assert await refusals(*(link(ports, task, original) for task, original in ring(ids))) == ["Cycle"]


@pytest.mark.parametrize("length", [2, 5])
async def test_changes_at_once_make_no_circle_of_instances(ports: Ports, length: int) -> None:
    """Two people who rearrange the tree would leave a part of it that hangs from nothing."""
    ids = [(await joined(ports, f"instance-{at}")).id for at in range(length)]
    assert await refusals(*(move(ports, instance, parent) for instance, parent in ring(ids))) == ["Cycle"]


async def test_a_parent_that_goes_at_the_same_moment_leaves_no_gap(ports: Ports) -> None:
    """An instance would end up below one that is gone."""
    for at in range(5):
        await joined(ports, f"parent-{at}")
        results = await asyncio.gather(
            joined(ports, f"child-{at}", parent_id=f"parent-{at}"),
            delete_instance(f"parent-{at}", ports=ports),
            return_exceptions=True,
        )
        child, removed = results
        assert isinstance(child, Invalid) != isinstance(removed, Conflict), results
    async with ports.unit_of_work() as uow:
        there = (await uow.instances.list(200)).items
    assert {instance.parent_id for instance in there} - {None} <= {instance.id for instance in there}
    assert all(instance == replace(an_instance(instance.id), parent_id=instance.parent_id) for instance in there)
