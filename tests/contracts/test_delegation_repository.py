"""Delegations in a store: a task's way from one instance to another."""

from dataclasses import replace

import pytest
from tests.builders import a_delegation, a_task, an_instance, later
from tests.contracts.working import UnitOfWorkFactory, add, keep, waiting, walk

from hopper.domain.delegation import Delegation, DelegationStatus, DelegationType
from hopper.domain.errors import Conflict, Invalid, NotFound
from hopper.ports.unit_of_work import UnitOfWork

FRIENDS = (an_instance("a"), an_instance("b"), a_task(id="t"), a_task(id="u"))


async def test_a_delegation_comes_back_as_it_was_made(uow: UnitOfWork) -> None:
    """Who handed a task to whom, and when, would be lost."""
    full = a_delegation(
        "t",
        "b",
        episode_id="e",
        source_instance_id="a",
        delegation_type=DelegationType.MANUAL,
        status=DelegationStatus.COMPLETED,
        delegated_at=later(0.123456),
        completed_at=later(2),
    )
    plain = a_delegation("u", "a")
    await add(uow, *FRIENDS, full, plain)
    assert await uow.delegations.get_for_update(full.id) == full
    assert await uow.delegations.of_task("u") == (plain,)


async def test_an_update_stores_how_it_went(uow: UnitOfWork) -> None:
    """A delegation that was accepted or completed would stay pending."""
    delegation = a_delegation("t", "a")
    await add(uow, *FRIENDS, delegation)
    for change in (
        {"status": DelegationStatus.ACCEPTED},
        {"status": DelegationStatus.COMPLETED, "completed_at": later(9)},
    ):
        delegation = replace(delegation, **change)
        await uow.delegations.update(delegation)
        assert await uow.delegations.get_for_update(delegation.id) == delegation


async def test_an_unknown_delegation_is_not_found(uow: UnitOfWork) -> None:
    """Accepting a delegation that isn't there would look like a success."""
    with pytest.raises(NotFound) as refused:
        await uow.delegations.get_for_update("unknown")
    assert (refused.value.kind, refused.value.id) == ("delegation", "unknown")


@pytest.mark.parametrize("status", DelegationStatus)
async def test_the_live_delegation_is_the_pending_or_accepted_one(status: DelegationStatus, uow: UnitOfWork) -> None:
    """Finishing a task would close a delegation of the past, or leave the present one open."""
    past = a_delegation("t", "b", status=DelegationStatus.REJECTED, delegated_at=later(5))
    delegation = a_delegation("t", "a", status=status)
    await add(uow, *FRIENDS, past, delegation)
    assert await uow.delegations.live("t") == (delegation if status.is_live else None)
    assert await uow.delegations.live("u") is None


@pytest.mark.parametrize("first", [DelegationStatus.PENDING, DelegationStatus.ACCEPTED])
async def test_a_task_has_at_most_one_live_delegation(first: DelegationStatus, uow_factory: UnitOfWorkFactory) -> None:
    """Two instances would work on one task at the same time."""
    await keep(uow_factory, *FRIENDS, a_delegation("t", "a", status=first))
    with pytest.raises(Conflict):
        await keep(uow_factory, a_delegation("t", "b"))
    await keep(uow_factory, a_delegation("t", "b", status=DelegationStatus.RECALLED), a_delegation("u", "b"))


async def test_a_tasks_delegations_are_told_in_the_order_of_time(uow: UnitOfWork) -> None:
    """A person would read a task's way through the teams in the wrong order."""
    steps = [a_delegation("t", "ab"[n % 2], status=DelegationStatus.REJECTED, delegated_at=later(n)) for n in (3, 1, 2)]
    await add(uow, *FRIENDS, *steps, a_delegation("u", "a"))
    assert await uow.delegations.of_task("t") == (steps[1], steps[2], steps[0])
    assert await uow.delegations.of_task("unknown") == ()


async def test_an_instances_delegations_are_listed_newest_first_in_pages(uow: UnitOfWork) -> None:
    """A worker would look for the newest work on the last page, or miss some that came at one moment."""
    ended = [
        a_delegation("t", "a", id=f"d{n}", status=DelegationStatus.RECALLED, delegated_at=later(n // 3))
        for n in range(7)
    ]
    await add(uow, *FRIENDS, *ended, a_delegation("t", "b"))
    found = await walk(lambda cursor: uow.delegations.to_instance("a", 2, cursor), 2)
    assert [delegation.id for delegation in found] == ["d6", "d5", "d4", "d3", "d2", "d1", "d0"]
    assert found == ended[::-1]


async def test_an_instances_delegations_are_filtered_by_status(uow: UnitOfWork) -> None:
    """A worker would have to look through finished work for what is waiting."""
    waiting_one = a_delegation("t", "a")
    done = [a_delegation("u", "a", status=DelegationStatus.COMPLETED, delegated_at=later(n)) for n in range(3)]
    await add(uow, *FRIENDS, waiting_one, *done)
    pending = await uow.delegations.to_instance("a", 10, status=DelegationStatus.PENDING)
    assert pending.items == (waiting_one,)
    completed = await walk(lambda cursor: uow.delegations.to_instance("a", 1, cursor, DelegationStatus.COMPLETED), 1)
    assert completed == done[::-1]
    assert (await uow.delegations.to_instance("unknown", 10)).items == ()


@pytest.mark.parametrize(
    ("field", "delegation"),
    [
        ("task_id", a_delegation("nobody", "a")),
        ("target_instance_id", a_delegation("t", "nobody")),
        ("source_instance_id", a_delegation("t", "a", source_instance_id="nobody")),
    ],
)
async def test_a_reference_to_nothing_is_refused_by_the_field(
    field: str, delegation: Delegation, uow_factory: UnitOfWorkFactory
) -> None:
    """A task would be handed to an instance that doesn't exist."""
    await keep(uow_factory, *FRIENDS)
    with pytest.raises(Invalid, match="nobody") as refused:
        await keep(uow_factory, delegation)
    assert refused.value.field == field


async def test_a_delegation_taken_for_an_update_is_not_changed_by_others(uow_factory: UnitOfWorkFactory) -> None:
    """A delegation could be accepted and rejected at the same moment."""
    delegation = a_delegation("t", "a")
    await keep(uow_factory, *FRIENDS, delegation)

    async def status_for_update() -> DelegationStatus:
        async with uow_factory() as uow:
            return (await uow.delegations.get_for_update(delegation.id)).status

    async with uow_factory() as uow:
        await uow.delegations.get_for_update(delegation.id)
        async with waiting(status_for_update()) as other:
            await uow.delegations.update(replace(delegation, status=DelegationStatus.REJECTED))
            await uow.commit()
    assert other.result() is DelegationStatus.REJECTED


async def test_its_task_is_held_with_it(uow_factory: UnitOfWorkFactory) -> None:
    """Completing a task and rejecting its delegation at the same moment would each wait for the other for ever."""
    delegation = a_delegation("t", "a")
    await keep(uow_factory, *FRIENDS, delegation)

    async def take_task() -> None:
        async with uow_factory() as uow:
            await uow.tasks.get_for_update("t")

    async with uow_factory() as uow:
        await uow.delegations.get_for_update(delegation.id)
        async with waiting(take_task()):
            await uow.commit()
