"""Tasks in a store: kept whole, changed by version, removed with all that is said of them."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.builders import a_delegation, a_task, an_episode, an_instance, feedback_on, later
from tests.contracts.working import UnitOfWorkFactory, add, keep, waiting

from hopper.domain.errors import Conflict, Invalid, NotFound, StaleVersion
from hopper.domain.task import Priority, Task, TaskStatus
from hopper.ports.unit_of_work import UnitOfWork


def a_full_task() -> Task:
    return a_task(
        "Überweisung “hängt” 💸",
        id="full",
        description="Zeile 1\nZeile 2\t'; DROP TABLE tasks; --",
        status=TaskStatus.IN_PROGRESS,
        priority=Priority.URGENT,
        project="Zahlungen",
        instance_id="payments",
        tags={"Cards": True, "area": "ui, web", "ключ": "значение"},
        source="mail",
        source_instance_id="laptop",
        parent_task_id="parent",
        depends_on=("first", "second"),
        version=3,
        created_at=later(0.123456),
        updated_at=later(1),
    )


FRIENDS = (an_instance("payments"), a_task(id="parent"), a_task(id="first"), a_task(id="second"))


async def test_a_task_comes_back_as_it_was_filed(uow: UnitOfWork) -> None:
    """A field would be lost on the way, or letters that aren't English."""
    plain, full = a_task(), a_full_task()
    await add(uow, *FRIENDS, plain, full)
    assert await uow.tasks.get(plain.id) == plain
    assert await uow.tasks.get("full") == full
    assert await uow.tasks.get_for_update("full") == full


async def test_tasks_filed_together_come_back_as_they_were(uow: UnitOfWork) -> None:
    """What is imported or filed under load would be kept less well than what is filed alone."""
    await add(uow, *FRIENDS)
    tasks = [a_full_task(), a_task(id="a"), a_task(id="b", depends_on=("a", "full"))]
    assert await uow.tasks.add_many(tasks) == {"full", "a", "b"}
    assert [await uow.tasks.get(task.id) for task in tasks] == tasks


async def test_filing_many_leaves_those_that_are_there_as_they_are(uow: UnitOfWork) -> None:
    """Repeating an import would undo everything that was done since the first one."""
    old = a_task("as edited", id="old")
    await add(uow, old, a_task(id="other"))
    again, new = a_task("as imported", id="old", depends_on=("other",)), a_task(id="new")
    assert await uow.tasks.add_many([again, new]) == {"new"}
    assert await uow.tasks.get("old") == old
    assert await uow.tasks.add_many([again, new]) == set()


async def test_a_task_that_stands_twice_in_a_batch_is_kept_as_it_stood_first(uow: UnitOfWork) -> None:
    """A task would be kept with the text of one line of an import and the dependencies of another."""
    await add(uow, a_task(id="other"))
    first, second = a_task("first", id="t"), a_task("second", id="t", depends_on=("other",))
    assert await uow.tasks.add_many([first, second]) == {"t"}
    assert await uow.tasks.get("t") == first


async def test_filing_none_adds_none(uow: UnitOfWork) -> None:
    """A batch that is empty after its bad rows were put aside would end in an error."""
    assert await uow.tasks.add_many([]) == set()


async def test_an_unknown_task_is_not_found(uow: UnitOfWork) -> None:
    """A mistyped id would end in an error that doesn't name it, or change nothing in silence."""
    await add(uow, a_task())
    unknown = a_task(id="unknown")
    for attempt in (
        uow.tasks.get("unknown"),
        uow.tasks.get_for_update("unknown"),
        uow.tasks.update(unknown),
        uow.tasks.update(unknown, 1),
        uow.tasks.delete("unknown"),
        uow.tasks.delete("unknown", 1),
    ):
        with pytest.raises(NotFound) as refused:
            await attempt
        assert (refused.value.kind, refused.value.id) == ("task", "unknown")


async def test_a_second_task_with_the_same_id_is_a_conflict(uow_factory: UnitOfWorkFactory) -> None:
    """One task would silently replace another."""
    await keep(uow_factory, a_task("first", id="t"))
    with pytest.raises(Conflict):
        await keep(uow_factory, a_task("second", id="t"))
    async with uow_factory() as uow:
        assert (await uow.tasks.get("t")).title == "first"


async def test_an_update_stores_everything_but_the_filing_time(uow: UnitOfWork) -> None:
    """Editing one of a task's fields would have no effect, or when it was filed would change."""
    before = a_task(id="full")
    await add(uow, *FRIENDS, before)
    wanted = replace(a_full_task(), created_at=before.created_at)
    after = await uow.tasks.update(wanted)
    assert after == replace(wanted, version=after.version)
    assert await uow.tasks.get("full") == replace(wanted, version=2)
    emptied = a_task("only a title", id="full", updated_at=later(2))
    await uow.tasks.update(emptied)
    assert await uow.tasks.get("full") == replace(emptied, version=3)


async def test_each_change_gives_the_next_version(uow: UnitOfWork) -> None:
    """Two clients couldn't tell whether they look at the same state of a task."""
    task = a_task()
    await add(uow, task)
    versions = [(await uow.tasks.update(replace(task, title=f"edit {n}"))).version for n in range(3)]
    assert versions == [2, 3, 4]
    assert (await uow.tasks.get(task.id)).version == 4


async def test_a_change_to_a_version_that_has_gone_is_refused(uow: UnitOfWork) -> None:
    """The later of two people would overwrite what the earlier one wrote, without either knowing."""
    task = a_task()
    await add(uow, task)
    await uow.tasks.update(replace(task, title="theirs"), 1)
    with pytest.raises(StaleVersion, match="version 2"):
        await uow.tasks.update(replace(task, title="mine"), 1)
    with pytest.raises(StaleVersion, match="version 2"):
        await uow.tasks.delete(task.id, 1)
    assert (await uow.tasks.get(task.id)).title == "theirs"
    await uow.tasks.delete(task.id, 2)
    assert await uow.tasks.missing([task.id]) == {task.id}


async def test_a_refused_change_leaves_the_dependencies_too(uow: UnitOfWork) -> None:
    """An edit that was refused would still take a task's dependencies away, and make it ready too early."""
    task = a_task(depends_on=("first", "second"))
    await add(uow, *FRIENDS, task)
    with pytest.raises(StaleVersion):
        await uow.tasks.update(replace(task, depends_on=()), 7)
    assert (await uow.tasks.get(task.id)).depends_on == ("first", "second")


async def test_of_two_changes_to_one_version_only_one_goes_through(uow_factory: UnitOfWorkFactory) -> None:
    """Two people who save at the same moment would both be told that their text was kept."""
    task = a_task()
    await keep(uow_factory, task)

    async def edit(title: str) -> str:
        async with uow_factory() as uow:
            await uow.tasks.update(replace(task, title=title), 1)
            await uow.commit()
        return title

    ends = await asyncio.gather(*(edit(f"edit {n}") for n in range(5)), return_exceptions=True)
    kept = [end for end in ends if isinstance(end, str)]
    assert sum(isinstance(end, StaleVersion) for end in ends) == 4
    async with uow_factory() as uow:
        assert [(await uow.tasks.get(task.id)).title] == kept


async def test_a_task_taken_for_an_update_is_not_changed_by_others(uow_factory: UnitOfWorkFactory) -> None:
    """Two decisions on one task at the same moment would each be made on what the other is changing."""
    task = a_task()
    await keep(uow_factory, task)

    async def title_for_update() -> str:
        async with uow_factory() as uow:
            return (await uow.tasks.get_for_update(task.id)).title

    async with uow_factory() as uow:
        await uow.tasks.get_for_update(task.id)
        async with waiting(title_for_update()) as other:
            await uow.tasks.update(replace(task, title="mine"))
            await uow.commit()
    assert other.result() == "mine"


@pytest.mark.parametrize("field", ["instance_id", "parent_task_id", "depends_on"])
async def test_a_reference_to_nothing_is_refused_by_the_field(field: str, uow_factory: UnitOfWorkFactory) -> None:
    """A task would hang on a parent, a dependency or a holder that isn't there."""
    reference: Any = ("nobody",) if field == "depends_on" else "nobody"
    wrong = a_task(**{field: reference})
    with pytest.raises(Invalid, match="nobody") as refused:
        await keep(uow_factory, wrong)
    assert refused.value.field == field
    with pytest.raises(Invalid, match="nobody") as refused_together:
        async with uow_factory() as uow:
            await uow.tasks.add_many([a_task(), wrong])
    assert refused_together.value.field == field


async def test_removing_a_task_removes_all_that_is_said_of_it(uow: UnitOfWork) -> None:
    """What somebody deleted would go on teaching, or turn up in lists as a task that isn't there."""
    gone, stays = a_task(id="gone"), a_task(id="stays")
    await add(uow, an_instance("a"), gone, stays)
    for id in ("gone", "stays"):
        await add(uow, a_delegation(id, "a"), an_episode(id, "a", outcome_instance="a"), feedback_on(id))
    await uow.tasks.delete("gone")
    assert await uow.tasks.missing(["gone", "stays"]) == {"gone"}
    assert await uow.delegations.of_task("gone") == ()
    assert await uow.episodes.of_task("gone") == ()
    with pytest.raises(NotFound):
        await uow.feedback.get("gone")
    statistics = await uow.episodes.statistics()
    assert (statistics.tasks, statistics.episodes, statistics.feedback) == (1, 1, 1)
    assert len(await uow.delegations.of_task("stays")) == 1
    assert await uow.feedback.get("stays")


def a_family() -> tuple[Task, ...]:
    """A task, one below it, one that waits for it, and one that has nothing to do with it."""
    return (
        a_task(id="gone"),
        a_task(id="child", parent_task_id="gone"),
        a_task(id="next", depends_on=("gone",)),
        a_task(id="other"),
    )


async def test_removing_a_task_frees_those_that_hung_on_it(uow: UnitOfWork) -> None:
    """Deleting a task would delete its subtasks, or leave others waiting for it for ever."""
    _, child, following, other = a_family()
    await add(uow, *a_family())
    await uow.tasks.delete("gone")
    assert await uow.tasks.get("child") == replace(child, parent_task_id=None, version=2)
    assert await uow.tasks.get("next") == replace(following, depends_on=(), version=2)
    assert await uow.tasks.get("other") == other


async def test_a_refused_removal_leaves_those_that_hang_on_the_task(uow: UnitOfWork) -> None:
    """A removal that was refused would still tear a task's subtasks off."""
    await add(uow, *a_family())
    with pytest.raises(StaleVersion):
        await uow.tasks.delete("gone", 7)
    assert [await uow.tasks.get(task.id) for task in a_family()] == [*a_family()]


async def test_who_waits_for_a_task_sees_what_it_depends_on_by_then(uow_factory: UnitOfWorkFactory) -> None:
    """Two edits at once, one of them of the title alone: the other's dependency would be lost without a word."""
    await keep(uow_factory, a_task(id="first"), a_task(id="next"))
    async with uow_factory() as ahead:
        task = await ahead.tasks.get_for_update("next")

        async def behind() -> Task:
            async with uow_factory() as uow:
                return await uow.tasks.get_for_update("next")

        seen = asyncio.create_task(behind())
        await asyncio.sleep(0.2)  # it waits for the lock by now
        await ahead.tasks.update(replace(task, depends_on=("first",)))
        await ahead.commit()
    assert (await seen).depends_on == ("first",)
