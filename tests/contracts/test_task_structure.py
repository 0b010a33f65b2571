"""What hangs together: parents, dependencies, and which tasks are ready or in triage because of them."""

import pytest
from tests.builders import a_delegation, a_task, an_episode, an_instance, later
from tests.contracts.working import UnitOfWorkFactory, add, keep, waiting, walk

from hopper.domain.delegation import DelegationStatus
from hopper.domain.task import TaskStatus
from hopper.ports.unit_of_work import UnitOfWork


async def ready(uow: UnitOfWork, instance: str | None = None, limit: int = 50) -> list[str]:
    tasks = await walk(lambda cursor: uow.tasks.ready(limit, cursor, instance), limit)
    return [task.id for task in tasks]


async def triage(uow: UnitOfWork, limit: int = 50) -> list[str]:
    return [task.id for task in await walk(lambda cursor: uow.tasks.triage(limit, cursor), limit)]


async def test_ancestors_are_all_parents_up_to_the_top(uow: UnitOfWork) -> None:
    """A task could be made the parent of its own grandparent, and the tree become a ring."""
    await add(
        uow,
        a_task(id="top"),
        a_task(id="middle", parent_task_id="top"),
        a_task(id="leaf", parent_task_id="middle"),
        a_task(id="aside", parent_task_id="top"),
    )
    assert await uow.tasks.ancestors("leaf") == {"middle", "top"}
    assert await uow.tasks.ancestors("top") == set()
    assert await uow.tasks.ancestors("unknown") == set()


async def test_originals_are_found_through_other_duplicates(uow: UnitOfWork) -> None:
    """Two tasks could come to be duplicates of each other through a third."""
    await add(uow, a_task(id="first"), a_task(id="copy", duplicate_of="first"), a_task(id="third", duplicate_of="copy"))
    assert await uow.tasks.originals("third") == {"copy", "first"}
    assert await uow.tasks.originals("first") == set()


async def test_prerequisites_are_direct_and_through_others(uow: UnitOfWork) -> None:
    """Two tasks could come to wait for each other through a third."""
    await add(
        uow,
        a_task(id="base"),
        a_task(id="left", depends_on=("base",)),
        a_task(id="right", depends_on=("base",)),
        a_task(id="roof", depends_on=("left", "right")),
        a_task(id="garden"),
    )
    assert await uow.tasks.prerequisites(["roof"]) == {"left", "right", "base"}
    assert await uow.tasks.prerequisites(["left", "garden"]) == {"base"}
    assert await uow.tasks.prerequisites(["base"]) == set()
    assert await uow.tasks.prerequisites([]) == set()


async def test_a_ring_that_is_there_already_does_not_hang_the_search(uow: UnitOfWork) -> None:
    """One ring, from an import or an old version, would make every later edit hang."""
    await add(uow, a_task(id="a"), a_task(id="b", depends_on=("a",), parent_task_id="a"))
    await uow.tasks.update(a_task(id="a", depends_on=("b",), parent_task_id="b", duplicate_of="b"))
    await uow.tasks.update(a_task(id="b", depends_on=("a",), parent_task_id="a", duplicate_of="a"))
    assert await uow.tasks.originals("a") == {"a", "b"}
    assert await uow.tasks.prerequisites(["a"]) == {"a", "b"}
    assert await uow.tasks.ancestors("a") == {"a", "b"}


@pytest.mark.parametrize("status", TaskStatus)
async def test_a_dependency_holds_a_task_up_while_it_is_open(status: TaskStatus, uow: UnitOfWork) -> None:
    """Work would be handed out before what it needs is done, or never."""
    await add(
        uow,
        a_task(id="done", status=TaskStatus.DONE),
        a_task(id="needed", status=status, depends_on=("done",)),
        a_task(id="next", depends_on=("needed", "done"), created_at=later(1)),
        a_task(id="last", depends_on=("next",), created_at=later(2)),
    )
    assert ("next" in await ready(uow)) is not status.is_open
    assert "last" not in await ready(uow)


async def test_the_open_ones_among_some_tasks_are_told(uow: UnitOfWork) -> None:
    """A task could be finished while what it needs is still to do."""
    await add(uow, *(a_task(id=status, status=status) for status in TaskStatus))
    assert await uow.tasks.open_among([*TaskStatus, "unknown"]) == ("in_progress", "pending")
    assert await uow.tasks.open_among(["done", "pending"]) == ("pending",)
    assert await uow.tasks.open_among([]) == ()


async def test_urgent_tasks_are_ready_before_older_ones(uow: UnitOfWork) -> None:
    """What the list shows first wouldn't be what workers are given first."""
    await add(
        uow,
        a_task(id="none", created_at=later(0)),
        *(a_task(id=f"{p}{n}", priority=p, created_at=later(n)) for n in (1, 2) for p in ("low", "urgent", "medium")),
        a_task(id="high", priority="high", created_at=later(9)),
    )
    expected = ["urgent1", "urgent2", "high", "medium1", "medium2", "low1", "low2", "none"]
    assert await ready(uow) == expected
    assert await ready(uow, limit=3) == expected


async def test_a_task_is_ready_when_the_last_thing_that_it_waits_for_has_gone(uow: UnitOfWork) -> None:
    """Work would wait for ever for what was done, taken off, or deleted."""
    await add(
        uow,
        *(a_task(id=id) for id in "abc"),
        a_task(id="x", depends_on=("a", "b", "c")),
        a_task(id="y", depends_on=("c",)),
    )
    await uow.tasks.update(a_task(id="a", status=TaskStatus.DONE))
    assert {"x", "y"}.isdisjoint(await ready(uow))
    await uow.tasks.update(a_task(id="x", depends_on=("a", "c")))
    assert {"x", "y"}.isdisjoint(await ready(uow))
    await uow.tasks.delete("c")
    assert await ready(uow) == ["b", "x", "y"]
    await uow.tasks.update(a_task(id="a"))
    assert await ready(uow) == ["a", "b", "y"]


@pytest.mark.row_locks
async def test_a_task_that_is_filed_while_what_it_needs_is_finished_becomes_ready(
    uow_factory: UnitOfWorkFactory,
) -> None:
    """It would wait for ever for something that was done at the very moment when it was filed."""
    await keep(uow_factory, a_task(id="needed"))

    async def finish() -> None:
        async with uow_factory() as uow:
            await uow.tasks.update(a_task(id="needed", status=TaskStatus.DONE))
            await uow.commit()

    async with uow_factory() as filing:
        await filing.tasks.add(a_task(id="first", depends_on=("needed",)))
        async with waiting(finish()):
            await filing.commit()
    async with uow_factory() as uow:
        assert await ready(uow) == ["first"]

    async with uow_factory() as finishing:
        await finishing.tasks.update(a_task(id="needed", status=TaskStatus.IN_PROGRESS))
        await finishing.commit()
    async with uow_factory() as finishing:
        await finishing.tasks.update(a_task(id="needed", status=TaskStatus.DONE))
        await keep(uow_factory, a_task(id="second", depends_on=("needed",)))
        await finishing.commit()
    async with uow_factory() as uow:
        assert await ready(uow) == ["first", "second"]


async def test_ready_tasks_are_pending_and_the_oldest_comes_first(uow: UnitOfWork) -> None:
    """A worker would be given finished tasks, or old ones would wait behind every new one."""
    await add(
        uow,
        an_instance("one"),
        *(a_task(id=f"t{n}", created_at=later(n), instance_id="one" if n % 2 else None) for n in (4, 2, 3, 1)),
        *(a_task(id=status, status=status) for status in TaskStatus if status is not TaskStatus.PENDING),
    )
    assert await ready(uow) == ["t1", "t2", "t3", "t4"]
    assert await ready(uow, limit=1) == ["t1", "t2", "t3", "t4"]
    assert await ready(uow, "one", limit=1) == ["t1", "t3"]


async def test_triage_lists_what_nobody_holds_the_oldest_first(uow: UnitOfWork) -> None:
    """A task that Hopper wasn't sure of would be forgotten, or one that somebody has be handed out again."""
    held = {"instance_id": "one"}
    await add(
        uow,
        an_instance("one"),
        a_task(id="new", created_at=later(4)),
        a_task(id="abstained", created_at=later(3)),
        an_episode("abstained"),
        a_task(id="rejected", created_at=later(2)),
        a_delegation("rejected", "one", status=DelegationStatus.REJECTED),
        a_task(id="recalled", created_at=later(1)),
        a_delegation("recalled", "one", status=DelegationStatus.RECALLED),
        a_task(id="placed", **held),
        a_task(id="delegated", **held),
        a_delegation("delegated", "one", status=DelegationStatus.PENDING),
        a_task(id="back at its sender", **held),
        a_delegation("back at its sender", "one", status=DelegationStatus.REJECTED),
        *(a_task(id=status, status=status) for status in TaskStatus if status is not TaskStatus.PENDING),
    )
    expected = ["recalled", "rejected", "abstained", "new"]
    assert await triage(uow) == expected
    assert await triage(uow, limit=2) == expected
    assert (await uow.episodes.statistics()).in_triage == 4


async def test_the_structure_of_tasks_is_changed_by_one_at_a_time(uow_factory: UnitOfWorkFactory) -> None:
    """Two edits at the same moment, each harmless, would together make a ring."""

    async def change() -> None:
        async with uow_factory() as uow:
            await uow.tasks.lock_structure()

    async with uow_factory() as first:
        await first.tasks.lock_structure()
        async with waiting(change()):
            await first.commit()


@pytest.mark.row_locks
async def test_those_who_file_or_read_tasks_do_not_wait_for_the_structure(uow_factory: UnitOfWorkFactory) -> None:
    """While somebody edits a dependency, nobody could file a task."""
    async with uow_factory() as first, uow_factory() as second:
        await first.tasks.lock_structure()
        task = a_task()
        await second.tasks.add(task)
        await second.instances.lock_structure()
        await second.commit()
        assert await first.tasks.missing([task.id]) == set()
