"""The projection queue: a set of what changed, handed out once, and kept until it is done."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from tests.builders import a_task
from tests.contracts.working import UnitOfWorkFactory, keep

from hopper.app.projections import EMBEDDING
from hopper.ports.queue import Dirty
from hopper.ports.unit_of_work import UnitOfWork

LEASE = timedelta(minutes=1)
NO_TIME = timedelta(0)


async def change(uow_factory: UnitOfWorkFactory, *ids: str) -> None:
    """File the tasks, or change those that are there."""
    async with uow_factory() as uow:
        there = set(ids) - await uow.tasks.missing(ids)
        for id in ids:
            await (uow.tasks.update(a_task(id=id)) if id in there else uow.tasks.add(a_task(id=id)))
        await uow.commit()


async def claim(uow_factory: UnitOfWorkFactory, limit: int = 100, lease: timedelta = LEASE) -> list[Dirty]:
    async with uow_factory() as uow:
        items = await uow.queue.claim(EMBEDDING, limit, lease)
        await uow.commit()
    return sorted(items, key=lambda item: item.entity_id)


async def done(uow_factory: UnitOfWorkFactory, items: Sequence[Dirty]) -> set[tuple[str, str]]:
    async with uow_factory() as uow:
        removed = await uow.queue.done(EMBEDDING, items)
        await uow.commit()
    return removed


async def failed(uow_factory: UnitOfWorkFactory, items: Sequence[Dirty], pause: timedelta) -> None:
    async with uow_factory() as uow:
        await uow.queue.failed(EMBEDDING, items, "Unavailable", pause)
        await uow.commit()


async def depth(uow_factory: UnitOfWorkFactory) -> int:
    async with uow_factory() as uow:
        found = await uow.queue.depth(EMBEDDING)
        assert (await uow.episodes.statistics()).queue == ({EMBEDDING: found} if found else {})
    return found


def ids(items: Sequence[Dirty]) -> list[str]:
    return [item.entity_id for item in items]


async def test_changes_to_one_entity_coalesce(uow_factory: UnitOfWorkFactory) -> None:
    """A task that is edited often would be embedded as often."""
    for _ in range(5):
        await change(uow_factory, "a", "b")
    assert await depth(uow_factory) == 2
    items = await claim(uow_factory)
    assert [(item.entity_type, item.entity_id, item.attempts) for item in items] == [("task", "a", 1), ("task", "b", 1)]


async def test_what_is_done_is_gone(uow_factory: UnitOfWorkFactory) -> None:
    """The projections would do the same work for ever."""
    await change(uow_factory, "a", "b")
    first, _ = await claim(uow_factory)
    assert await done(uow_factory, [first]) == {("task", "a")}
    assert await depth(uow_factory) == 1
    assert await done(uow_factory, [first]) == await done(uow_factory, []) == set()
    assert await depth(uow_factory) == 1


async def test_what_changed_meanwhile_stays(uow_factory: UnitOfWorkFactory) -> None:
    """A task that is edited while it is being embedded would be found by its old words for ever."""
    await change(uow_factory, "a", "b")
    items = await claim(uow_factory)
    await change(uow_factory, "b")
    assert await done(uow_factory, items) == {("task", "a")}
    assert await depth(uow_factory) == 1
    again = await claim(uow_factory)
    assert ids(again) == ["b"]
    await done(uow_factory, again)
    assert await depth(uow_factory) == 0


async def test_what_came_back_is_not_taken_for_what_was_claimed(uow_factory: UnitOfWorkFactory) -> None:
    """A worker whose claim had run out would take off a change that it has never seen."""
    await change(uow_factory, "t")
    slow = await claim(uow_factory, lease=NO_TIME)
    await done(uow_factory, await claim(uow_factory))
    await change(uow_factory, "t")
    assert await done(uow_factory, slow) == set()
    assert await depth(uow_factory) == 1


async def test_what_is_claimed_is_not_handed_out_again(uow_factory: UnitOfWorkFactory) -> None:
    """Two workers would do the same work, and the slower one undo what the faster did."""
    await change(uow_factory, "a", "b", "c")
    first = await claim(uow_factory, limit=2)
    assert len(first) == 2
    second = await claim(uow_factory, limit=2)
    assert sorted(ids(first) + ids(second)) == ["a", "b", "c"]
    assert await claim(uow_factory) == []
    assert await depth(uow_factory) == 3


@pytest.mark.row_locks
async def test_workers_that_claim_at_the_same_time_share_the_work(uow_factory: UnitOfWorkFactory) -> None:
    """Workers of several processes would wait for one another, or embed everything as often as there are workers."""
    await change(uow_factory, *(f"t{n:02}" for n in range(20)))
    all_have_claimed = asyncio.Barrier(4)

    async def worker() -> list[str]:
        async with uow_factory() as uow:
            items = await uow.queue.claim(EMBEDDING, 5, LEASE)
            await all_have_claimed.wait()  # nobody commits before everyone has claimed
            await uow.commit()
        return ids(items)

    async with asyncio.timeout(10):
        shares = await asyncio.gather(*(worker() for _ in range(4)))
    assert [len(share) for share in shares] == [5] * 4
    assert sorted(id for share in shares for id in share) == [f"t{n:02}" for n in range(20)]


async def test_a_claim_that_is_not_committed_is_free_at_once(uow_factory: UnitOfWorkFactory) -> None:
    """A worker that is stopped while it claims would hold its share up."""
    await change(uow_factory, "a")
    async with uow_factory() as uow:
        assert await uow.queue.claim(EMBEDDING, 10, LEASE)
    assert [(item.entity_id, item.attempts) for item in await claim(uow_factory)] == [("a", 1)]


async def test_what_a_dead_worker_had_comes_back_when_its_lease_passes(uow_factory: UnitOfWorkFactory) -> None:
    """A crash in the middle of a batch would leave its tasks unembedded for ever."""
    await change(uow_factory, "a")
    first = await claim(uow_factory, lease=NO_TIME)
    again = await claim(uow_factory)
    assert [(item.entity_id, item.version) for item in again] == [(item.entity_id, item.version) for item in first]
    assert [item.attempts for item in again] == [2]


async def test_a_writer_does_not_wait_for_the_worker(uow_factory: UnitOfWorkFactory) -> None:
    """While a task is being embedded by a slow provider, nobody could edit it."""
    await change(uow_factory, "a")
    await claim(uow_factory)
    async with asyncio.timeout(5):
        await change(uow_factory, "a")
    assert ids(await claim(uow_factory)) == ["a"]


async def test_what_failed_rests_and_stays_visible(uow_factory: UnitOfWorkFactory) -> None:
    """While a provider is down, workers would ask it without rest, or forget what they couldn't do."""
    await change(uow_factory, "a", "b")
    items = await claim(uow_factory, lease=NO_TIME)
    await failed(uow_factory, items[:1], timedelta(hours=1))
    assert ids(await claim(uow_factory)) == ["b"]
    assert await depth(uow_factory) == 2


async def test_what_failed_is_tried_again_after_its_pause(uow_factory: UnitOfWorkFactory) -> None:
    """After a provider's outage its tasks would never be embedded."""
    await change(uow_factory, "a")
    for attempt in (1, 2, 3):
        items = await claim(uow_factory)
        assert [item.attempts for item in items] == [attempt]
        await failed(uow_factory, items, NO_TIME)


async def test_a_failure_does_not_hold_up_what_changed_meanwhile(uow_factory: UnitOfWorkFactory) -> None:
    """The text that broke the provider was mended, but the task would wait out the old text's pause."""
    await change(uow_factory, "a", "b")
    items = await claim(uow_factory)
    await change(uow_factory, "a")
    await failed(uow_factory, items, timedelta(hours=1))
    assert [(item.entity_id, item.attempts) for item in await claim(uow_factory)] == [("a", 1)]


async def test_a_change_ends_the_pause_of_what_failed(uow_factory: UnitOfWorkFactory) -> None:
    """A task that was edited would keep its old vector until the pause of an earlier failure is over."""
    await change(uow_factory, "a")
    await failed(uow_factory, await claim(uow_factory), timedelta(hours=1))
    assert await claim(uow_factory) == []
    await change(uow_factory, "a")
    assert [(item.entity_id, item.attempts) for item in await claim(uow_factory)] == [("a", 1)]


async def test_what_is_to_be_looked_at_again_is_handed_out_again(uow_factory: UnitOfWorkFactory) -> None:
    """A worker that finds that it had read an outdated text couldn't set it right."""
    await change(uow_factory, "a", "b")
    items = await claim(uow_factory)
    await done(uow_factory, items[1:])
    async with uow_factory() as uow:
        await uow.queue.again(EMBEDDING, items)
        await uow.queue.again(EMBEDDING, [])
        await uow.commit()
    assert ids(await claim(uow_factory)) == ["a", "b"]
    assert await done(uow_factory, items[:1]) == set()


async def test_what_has_waited_longest_is_handed_out_first(uow_factory: UnitOfWorkFactory) -> None:
    """Under steady traffic the oldest tasks would never be embedded."""
    for id in ("c", "a", "b"):
        await change(uow_factory, id)
    assert [ids(await claim(uow_factory, limit=1)) for _ in range(3)] == [["c"], ["a"], ["b"]]


@pytest.mark.server_only
async def test_each_projection_has_a_queue_of_its_own(uow: UnitOfWork, uow_factory: UnitOfWorkFactory) -> None:
    """One projection's worker would take another's work away."""
    await keep(uow_factory, a_task(id="a"))
    assert await uow.queue.claim("another", 10, LEASE) == ()
    assert await uow.queue.depth("another") == 0
    [item] = await claim(uow_factory)
    await uow.queue.done("another", [item])
    await uow.queue.failed("another", [item], "Unavailable", NO_TIME)
    assert await depth(uow_factory) == 1
