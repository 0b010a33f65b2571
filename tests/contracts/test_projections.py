"""Which projections are followed, how far they are, and since when nothing can be missed."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.builders import NOW, a_delegation, a_task, an_instance, later
from tests.contracts.working import UnitOfWorkFactory, keep, waiting

from hopper.app.projections import EMBEDDING, GRAPH
from hopper.domain.delegation import DelegationStatus
from hopper.ports.projections import ProjectionState

pytestmark = pytest.mark.server_only

LEASE = timedelta(minutes=1)


async def follow(uow_factory: UnitOfWorkFactory) -> bool:
    async with uow_factory() as uow:
        began = await uow.projections.follow(GRAPH, NOW)
        await uow.commit()
    return began


async def unfollow(uow_factory: UnitOfWorkFactory) -> None:
    async with uow_factory() as uow:
        await uow.projections.unfollow(GRAPH)
        await uow.commit()


async def state(uow_factory: UnitOfWorkFactory) -> ProjectionState:
    async with uow_factory() as uow:
        return await uow.projections.state(GRAPH)


async def queued(uow_factory: UnitOfWorkFactory) -> list[str]:
    """What waits for the graph, as one reads it."""
    async with uow_factory() as uow:
        items = await uow.queue.claim(GRAPH, 100, LEASE)
    return sorted(f"{item.entity_type} {item.entity_id}" for item in items)


async def test_embeddings_are_followed_and_the_graph_only_when_wanted(uow_factory: UnitOfWorkFactory) -> None:
    """Whoever has no graph database would pay for one with every write, and fill a queue that nobody empties."""
    await keep(uow_factory, an_instance("a"), a_task(id="t"), a_delegation("t", "a"))
    assert await queued(uow_factory) == []
    assert await state(uow_factory) == ProjectionState(None, 0, 0, False)
    async with uow_factory() as uow:
        assert (await uow.projections.state(EMBEDDING)).followed_since is not None
        assert await uow.queue.depth(EMBEDDING) == 1


async def test_a_followed_graph_hears_of_every_change(uow_factory: UnitOfWorkFactory) -> None:
    """The graph would stay as it was when it was built."""
    assert await follow(uow_factory) is True
    assert await follow(uow_factory) is False
    assert (await state(uow_factory)).followed_since == NOW
    await keep(uow_factory, an_instance("a"), a_task(id="t"), a_task(id="u"))
    assert await queued(uow_factory) == ["instance a", "task t", "task u"]


async def test_a_delegation_is_looked_at_with_its_task(uow_factory: UnitOfWorkFactory) -> None:
    """Each decision would be two entries for the graph, one of them under an id that it doesn't know."""
    given = a_delegation("t", "a", id="d")
    await keep(uow_factory, an_instance("a"), a_task(id="t"), given)
    await follow(uow_factory)
    async with uow_factory() as uow:
        await uow.delegations.update(replace(given, status=DelegationStatus.ACCEPTED))
        await uow.commit()
    assert await queued(uow_factory) == ["task t"]


async def test_what_nobody_follows_any_more_leaves_nothing(uow_factory: UnitOfWorkFactory) -> None:
    """A graph that was switched off would keep a queue that is never emptied."""
    await follow(uow_factory)
    await keep(uow_factory, a_task(id="t"))
    async with uow_factory() as uow:
        await uow.projections.reserve(GRAPH)
        await uow.projections.applied(GRAPH, 1)
        await uow.projections.begin_rebuilding(GRAPH)
        await uow.commit()
    assert await state(uow_factory) == ProjectionState(NOW, 1, 1, True)
    await unfollow(uow_factory)
    assert await state(uow_factory) == ProjectionState(None, 1, 0, False)
    await keep(uow_factory, a_task(id="u"))
    assert await queued(uow_factory) == []
    async with uow_factory() as uow:
        assert await uow.queue.depth(EMBEDDING) == 2


async def test_numbers_are_given_once(uow_factory: UnitOfWorkFactory) -> None:
    """Two transactions on the graph with one number: nobody could tell which of them had been lost."""
    async with uow_factory() as first, uow_factory() as second:
        assert await first.projections.reserve(GRAPH) == 1
        async with waiting(second.projections.reserve(GRAPH)) as other:
            await first.commit()
        assert other.result() == 2
    async with uow_factory() as uow:
        assert await uow.projections.reserve(GRAPH) == 2  # the other was undone
        assert await uow.projections.reserve(EMBEDDING) == 1


async def test_what_was_applied_never_goes_back(uow_factory: UnitOfWorkFactory) -> None:
    """A late report would make a whole graph look as if it had lost something."""
    await follow(uow_factory)
    async with uow_factory() as uow:
        for position in (2, 5, 3):
            await uow.projections.applied(GRAPH, position)
        assert (await uow.projections.state(GRAPH)).applied == 5


async def test_nothing_is_noted_of_what_is_not_followed(uow_factory: UnitOfWorkFactory) -> None:
    """A report that comes after `forget` would make a graph look current that nobody keeps so."""
    async with uow_factory() as uow:
        await uow.projections.applied(GRAPH, 2)
        assert (await uow.projections.state(GRAPH)).applied == 0
        assert not (await uow.projections.graph_stamp()).is_current


async def test_one_can_wait_for_whoever_did_not_see_that_the_graph_is_followed(uow_factory: UnitOfWorkFactory) -> None:
    """A task that was being filed while the graph was switched on would be missing from it for ever."""
    async with uow_factory() as filing:
        await filing.tasks.add(a_task(id="t"))
        await follow(uow_factory)
        async with uow_factory() as uow:
            all_before = await uow.projections.last_writer()
            assert await uow.projections.oldest_writer() < all_before
        async with uow_factory() as uow:  # whoever begins later is not waited for
            await uow.tasks.add(a_task(id="later", created_at=later(1)))
            await filing.commit()
            async with uow_factory() as other, asyncio.timeout(10):
                while True:  # others on this PostgreSQL may be at it still
                    if await other.projections.oldest_writer() >= all_before:
                        break
                    await asyncio.sleep(0.01)
