"""Leases in a store: each task to one worker at a time, and how it comes back."""

import asyncio
from datetime import timedelta

import pytest
from tests.builders import a_delegation, a_task, an_instance, later
from tests.contracts.working import UnitOfWorkFactory, add, keep

from hopper.domain.delegation import DelegationStatus
from hopper.domain.errors import Conflict
from hopper.domain.task import TaskStatus
from hopper.ports.unit_of_work import UnitOfWork

MINUTE = timedelta(minutes=1)
OVER = timedelta(0)
"""A lease that has run out as soon as it is given."""


async def claimed(uow: UnitOfWork, token: str = "token", duration: timedelta = MINUTE) -> str | None:
    claim = await uow.leases.claim("a", token, "w", duration)
    return claim.task.id if claim else None


async def test_a_claim_is_the_task_and_its_lease(uow: UnitOfWork) -> None:
    """A worker wouldn't know what to do, until when, or how to prove that it may."""
    await add(uow, an_instance("a"), a_task(id="t", instance_id="a"), a_delegation("t", "a"))
    claim = await uow.leases.claim("a", "token", "w", MINUTE)
    assert claim
    assert (claim.task.status, claim.task.version, claim.token) == (TaskStatus.IN_PROGRESS, 2, "token")
    assert claim.task == await uow.tasks.get("t")
    assert (claim.lease.task_id, claim.lease.instance_id, claim.lease.worker) == ("t", "a", "w")
    assert claim.lease.expires_at - claim.lease.acquired_at == MINUTE
    [delegation] = await uow.delegations.of_task("t")
    assert delegation.status is DelegationStatus.ACCEPTED
    found = await uow.leases.find("t")
    assert found
    assert (found.shown(), found.token, found.live) == (claim.lease, "token", True)
    assert await uow.leases.claimed_with("token") == claim


async def test_tasks_are_handed_out_in_the_order_of_the_listing(uow: UnitOfWork) -> None:
    """Urgent work would wait behind what is only old, and people couldn't see what comes next."""
    fields = [("low", 0), (None, 1), ("urgent", 5), ("urgent", 4), ("high", 9), ("medium", 2)]
    tasks = [a_task(instance_id="a", priority=priority, created_at=later(at)) for priority, at in fields]
    await add(uow, an_instance("a"), *tasks)
    listed = [task.id for task in (await uow.tasks.ready(50, instance_id="a")).items]
    assert listed == [tasks[n].id for n in (3, 2, 4, 5, 0, 1)]
    assert [await claimed(uow, f"token{n}") for n in range(6)] == listed
    assert await claimed(uow) is None


async def test_only_what_the_instance_holds_and_nothing_holds_up_is_handed_out(uow: UnitOfWork) -> None:
    """A worker would do what is another's, finished, or can't be done yet."""
    await add(
        uow,
        an_instance("a"),
        an_instance("b"),
        a_task(id="another's", instance_id="b"),
        a_task(id="nobody's"),
        *(a_task(id=status, instance_id="a", status=status) for status in TaskStatus if status != "pending"),
        a_task(id="blocked", instance_id="a", depends_on=("done", "another's")),
        a_task(id="free", instance_id="a", depends_on=("done", "cancelled"), created_at=later(1)),
    )
    assert await claimed(uow) == "free"
    assert await claimed(uow) is None


async def test_a_lease_is_prolonged_from_now_on(uow: UnitOfWork) -> None:
    """A worker that goes on working would lose its task."""
    await add(uow, an_instance("a"), a_task(id="t", instance_id="a"))
    await claimed(uow, duration=OVER)
    lease = await uow.leases.extend("t", 2 * MINUTE)
    assert lease.live
    assert lease.expires_at - lease.acquired_at == 2 * MINUTE
    assert await uow.leases.expire_next() is None


async def test_a_task_that_is_given_back_is_ready_again(uow: UnitOfWork) -> None:
    """Work that one worker can't do would be lost to all, or nobody would learn why it came back."""
    await add(uow, an_instance("a"), a_task(id="t", instance_id="a"))
    await claimed(uow)
    await uow.leases.release("t", "needs a key")
    lease = await uow.leases.find("t")
    assert lease
    assert (lease.live, lease.released, lease.reason) == (False, True, "needs a key")
    assert (await uow.tasks.get("t")).status is TaskStatus.PENDING
    assert await uow.leases.claimed_with("token") is None
    assert await claimed(uow, "another") == "t"
    lease = await uow.leases.find("t")
    assert lease
    assert (lease.token, lease.live, lease.reason, lease.returned_at) == ("another", True, None, None)


async def test_a_lease_that_has_run_out_gives_the_task_back_once(uow: UnitOfWork) -> None:
    """A crashed worker's task would never be done, or count as let go again and again."""
    await add(uow, an_instance("a"), an_instance("b"), a_task(id="t", instance_id="a"), a_task(id="u", instance_id="a"))
    await claimed(uow, "one")
    await uow.leases.extend("t", OVER)
    await claimed(uow, "two")
    assert await uow.leases.expire_next("b") is None
    assert await uow.leases.expire_next("a") == "t"
    assert await uow.leases.expire_next() is None
    assert (await uow.tasks.get("t")).status is TaskStatus.PENDING
    lease = await uow.leases.find("t")
    assert lease
    assert (lease.live, lease.released, lease.token) == (False, False, "one")


@pytest.mark.parametrize(
    "change", [{"status": TaskStatus.DONE}, {"status": TaskStatus.PENDING}, {"instance_id": "b"}, {"instance_id": None}]
)
async def test_another_status_or_holder_ends_the_lease(change: dict[str, str], uow: UnitOfWork) -> None:
    """A worker would hold on to a task that was finished, taken away, or given to another."""
    await add(uow, an_instance("a"), an_instance("b"), a_task(id="t", instance_id="a"))
    await claimed(uow)
    working = {"instance_id": "a", "status": TaskStatus.IN_PROGRESS}
    await uow.tasks.update(a_task("Another title", id="t", **working))
    assert await uow.leases.find("t")
    await uow.tasks.update(a_task(id="t", **working | change))
    assert await uow.leases.find("t") is None


async def test_a_token_is_given_to_one_lease_only(uow_factory: UnitOfWorkFactory) -> None:
    """One worker's token would open another's task."""
    await keep(uow_factory, an_instance("a"), *(a_task(instance_id="a") for _ in range(2)))
    with pytest.raises(Conflict):
        async with uow_factory() as uow:
            await claimed(uow, "token")
            await claimed(uow, "token")


@pytest.mark.row_locks
async def test_many_who_ask_at_once_get_different_tasks(uow_factory: UnitOfWorkFactory) -> None:
    """Two workers would do the same, or one be sent away although there is work."""
    await keep(uow_factory, an_instance("a"), *(a_task(id=f"t{n}", instance_id="a") for n in range(6)))
    everyone_has_one = asyncio.Barrier(6)

    async def work(token: str) -> str | None:
        async with uow_factory() as uow:
            task = await claimed(uow, token)
            await everyone_has_one.wait()
            await uow.commit()
        return task

    async with asyncio.timeout(10):
        found = await asyncio.gather(*(work(f"token{n}") for n in range(6)))
    assert sorted(map(str, found)) == [f"t{n}" for n in range(6)]


@pytest.mark.row_locks
async def test_what_another_is_just_taking_back_is_passed_over(uow_factory: UnitOfWorkFactory) -> None:
    """Two servers that look after leases would wait for each other, or count one expiry twice."""
    await keep(uow_factory, an_instance("a"), a_task(id="t", instance_id="a"))
    async with uow_factory() as uow:
        await claimed(uow, duration=OVER)
        await uow.commit()
    async with uow_factory() as one, uow_factory() as other:
        assert await one.leases.expire_next() == "t"
        assert await other.leases.expire_next() is None
        await one.commit()
        assert await other.leases.expire_next() is None
