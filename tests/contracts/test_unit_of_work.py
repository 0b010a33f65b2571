"""The unit of work: all or nothing, seen by others when it is done, and marked for the projections."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.builders import NOW, a_delegation, a_pattern, a_task, an_episode, an_instance, feedback_on
from tests.contracts.working import UnitOfWorkFactory, add, keep

from hopper.app.projections import EMBEDDING
from hopper.domain.errors import Conflict, NotFound
from hopper.ports.unit_of_work import UnitOfWork

EVERYTHING = (
    an_instance("a"),
    a_task(id="t"),
    a_pattern("a", id="p"),
    an_episode("t", "a", id="e"),
    a_delegation("t", "a", id="d"),
    feedback_on("t"),
)


async def marked(uow_factory: UnitOfWorkFactory) -> set[tuple[str, str]]:
    """What waits for the embeddings; it is taken off the queue."""
    async with uow_factory() as uow:
        items = await uow.queue.claim(EMBEDDING, 1000, timedelta(minutes=1))
        await uow.queue.done(EMBEDDING, items)
        await uow.commit()
    return {(item.entity_type, item.entity_id) for item in items}


async def counts(uow: UnitOfWork) -> tuple[int, ...]:
    found = await uow.episodes.statistics()
    delegations = await uow.delegations.of_task("t")
    return found.tasks, found.instances, found.episodes, found.patterns, found.feedback, len(delegations)


async def test_what_is_committed_is_seen_by_others(uow_factory: UnitOfWorkFactory) -> None:
    """Work that was acknowledged would be gone at the next look."""
    await keep(uow_factory, *EVERYTHING)
    async with uow_factory() as uow:
        assert await counts(uow) == (1, 1, 1, 1, 1, 1)


async def test_what_is_not_committed_is_undone(uow_factory: UnitOfWorkFactory) -> None:
    """A dry run, or a step that stopped half-way, would leave half of its work behind."""
    async with uow_factory() as uow:
        await add(uow, *EVERYTHING)
        await uow.idempotency.begin("k", "f", "t", NOW)
        assert await counts(uow) == (1, 1, 1, 1, 1, 1)
    async with uow_factory() as uow:
        assert await counts(uow) == (0, 0, 0, 0, 0, 0)
        assert await uow.idempotency.begin("k", "f", "other", NOW) is None


async def test_an_error_undoes_everything_and_passes_through(uow_factory: UnitOfWorkFactory) -> None:
    """A failing step would leave what came before it, or its failure would be hidden."""
    await keep(uow_factory, a_task("before", id="old"))
    with pytest.raises(ZeroDivisionError):
        async with uow_factory() as uow:
            await add(uow, *EVERYTHING)
            await uow.tasks.update(a_task("after", id="old"))
            raise ZeroDivisionError
    async with uow_factory() as uow:
        assert await counts(uow) == (1, 0, 0, 0, 0, 0)
        assert (await uow.tasks.get("old")).title == "before"


async def test_others_see_nothing_before_the_commit(uow_factory: UnitOfWorkFactory) -> None:
    """Another request would act on a task that may never come to be."""
    async with uow_factory() as writer, uow_factory() as reader:
        await writer.tasks.add(a_task(id="t"))
        assert await reader.tasks.missing(["t"]) == {"t"}
        await writer.commit()
        assert await reader.tasks.missing(["t"]) == set()


async def test_a_unit_sees_its_own_changes(uow: UnitOfWork) -> None:
    """A step couldn't build on the one before it."""
    await add(uow, *EVERYTHING)
    task = await uow.tasks.get("t")
    await uow.tasks.update(replace(task, title="edited"))
    assert (await uow.tasks.get("t")).title == "edited"
    await uow.tasks.delete("t")
    with pytest.raises(NotFound):
        await uow.tasks.get("t")


async def test_what_happens_after_the_commit_does_not_undo_it(uow_factory: UnitOfWorkFactory) -> None:
    """A client that goes away after its task was stored would take the task with it."""
    with pytest.raises(ZeroDivisionError):
        async with uow_factory() as uow:
            await add(uow, a_task(id="t"))
            await uow.commit()
            raise ZeroDivisionError
    async with uow_factory() as uow:
        assert await uow.tasks.missing(["t"]) == set()


async def test_a_refused_unit_harms_none_that_follows(uow_factory: UnitOfWorkFactory) -> None:
    """One client's mistakes would use up the connections, or leave them broken for the next one."""
    await keep(uow_factory, a_task(id="t"))
    for _ in range(20):
        with pytest.raises(Conflict):
            await keep(uow_factory, a_task(id="t"))
    async with asyncio.timeout(10):
        await keep(uow_factory, a_task(id="u"))


async def test_a_cancelled_unit_is_undone_and_harms_none_that_follows(uow_factory: UnitOfWorkFactory) -> None:
    """A client that hangs up in the middle would leave half a step, or a lock that nobody gives back."""
    task = a_task(id="t")
    await keep(uow_factory, task)
    for _ in range(10):
        begun = asyncio.Event()

        async def hang(begun: asyncio.Event = begun) -> None:
            async with uow_factory() as uow:
                await uow.tasks.update(replace(task, title="half"))
                begun.set()
                await asyncio.Event().wait()

        hanging = asyncio.create_task(hang())
        await begun.wait()
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
    async with asyncio.timeout(10), uow_factory() as uow:
        assert await uow.tasks.get_for_update("t") == task


async def test_more_units_than_the_store_has_room_for_wait_their_turn(uow_factory: UnitOfWorkFactory) -> None:
    """Under load requests would fail that only had to wait a moment."""
    async with asyncio.timeout(20):
        await asyncio.gather(*(keep(uow_factory, a_task()) for _ in range(50)))
    async with uow_factory() as uow:
        assert (await uow.episodes.statistics()).tasks == 50


async def test_new_and_changed_entities_are_marked_for_the_projections(uow_factory: UnitOfWorkFactory) -> None:
    """New tasks would never be embedded, and edited ones be found by their old words."""
    await keep(uow_factory, *EVERYTHING)
    assert await marked(uow_factory) == {("task", "t"), ("episode", "e"), ("pattern", "p")}
    assert await marked(uow_factory) == set()
    async with uow_factory() as uow:
        await uow.tasks.update(a_task("edited", id="t"))
        await uow.tasks.add_many([a_task(id="u"), a_task(id="v"), a_task(id="t")])
        await uow.commit()
    assert await marked(uow_factory) == {("task", "t"), ("task", "u"), ("task", "v")}


async def test_a_removed_task_is_marked_too(uow_factory: UnitOfWorkFactory) -> None:
    """A projection would keep what was deleted, and what hung on it."""
    below = [a_task(id="child", parent_task_id="t"), a_task(id="next", depends_on=("t",))]
    await keep(uow_factory, a_task(id="t"), *below, a_task(id="other"))
    await marked(uow_factory)
    async with uow_factory() as uow:
        await uow.tasks.delete("t")
        await uow.commit()
    assert await marked(uow_factory) == {("task", "t"), ("task", "child"), ("task", "next")}


async def test_tasks_that_were_there_already_are_not_marked(uow_factory: UnitOfWorkFactory) -> None:
    """Repeating an import would have every task looked at again."""
    await keep(uow_factory, a_task(id="t"))
    await marked(uow_factory)
    async with uow_factory() as uow:
        await uow.tasks.add_many([a_task(id="t")])
        await uow.commit()
    assert await marked(uow_factory) == set()


async def test_what_is_undone_is_not_marked(uow_factory: UnitOfWorkFactory) -> None:
    """Projections would look for tasks that never were."""
    async with uow_factory() as uow:
        await add(uow, *EVERYTHING)
    assert await marked(uow_factory) == set()


async def test_reading_marks_nothing(uow_factory: UnitOfWorkFactory) -> None:
    """Every look at a task would make work for the projections."""
    await keep(uow_factory, *EVERYTHING)
    await marked(uow_factory)
    async with uow_factory() as uow:
        await uow.tasks.get_for_update("t")
        await uow.episodes.latest("t")
        await uow.commit()
    assert await marked(uow_factory) == set()
