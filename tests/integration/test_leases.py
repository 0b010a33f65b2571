"""Claiming, heartbeats, giving back and running out, with what Hopper learns from it."""

import asyncio
from collections import Counter
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from tests.builders import later
from tests.steps import CARD, delegations, drained, episodes, filed, joined, record, rule, task_now

from hopper.app import lifecycle
from hopper.app.instances import edit_instance
from hopper.app.leases import claim_task, expire_lease, heartbeat, release_task
from hopper.app.retry import Retry
from hopper.app.tasks import delete_task, edit_task
from hopper.domain.delegation import DelegationStatus
from hopper.domain.errors import Conflict, IdempotencyMismatch, Invalid, LeaseLost, NotFound
from hopper.domain.ids import TaskId
from hopper.domain.instance import InstanceStatus, Scope
from hopper.domain.lease import Claim, Proof
from hopper.domain.task import Priority, TaskStatus
from hopper.ports import Ports
from hopper.ports.vectors import VectorKind

MINUTE = timedelta(minutes=1)
OVER = timedelta(0)
"""A lease that has run out as soon as it is given."""


@pytest.fixture(autouse=True)
async def team(ports: Ports) -> None:
    await joined(ports, "cards")


async def claimed(ports: Ports, duration: timedelta = MINUTE, worker: str | None = "w", **options: Retry) -> Claim:
    claim = await claim_task("cards", worker, duration, ports=ports, **options)
    assert claim
    return claim


async def taken_back(ports: Ports, task: TaskId) -> None:
    """Wait until somebody has taken the task back: the test or the server's sweeper."""
    async with asyncio.timeout(20):
        while (await task_now(ports, task)).status is not TaskStatus.PENDING:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def held(ports: Ports, **fields: Any) -> TaskId:
    return (await filed(ports, instance_id="cards", **fields)).id


async def test_a_claimed_task_is_worked_on_and_done(ports: Ports) -> None:
    """Handing work to agents wouldn't go from the first step to the last."""
    await rule(ports, "cards")
    task = await filed(ports)
    await lifecycle.route_task(task.id, ports=ports)
    claim = await claimed(ports)
    [delegation] = await delegations(ports, task.id)
    assert (claim.task.id, delegation.status) == (task.id, DelegationStatus.ACCEPTED)
    lease = await heartbeat(task.id, Proof(claim.token), 2 * MINUTE, ports=ports)
    assert lease.expires_at > claim.lease.expires_at
    done = await lifecycle.complete_task(task.id, ports=ports, token=claim.token)
    assert done.status is TaskStatus.DONE
    [delegation] = await delegations(ports, task.id)
    assert (delegation.status, delegation.expired_leases) == (DelegationStatus.COMPLETED, 0)
    again = await lifecycle.complete_task(task.id, ports=ports, token=claim.token)
    assert again == done
    with pytest.raises(LeaseLost, match="is done"):
        await heartbeat(task.id, Proof(claim.token), MINUTE, ports=ports)
    assert await claim_task("cards", "w", MINUTE, ports=ports) is None


@pytest.mark.parametrize("status", [status for status in InstanceStatus if status is not InstanceStatus.RUNNING])
async def test_an_instance_that_does_not_run_hands_nothing_out(status: InstanceStatus, ports: Ports) -> None:
    """A person who paused an instance would see its agents go on."""
    await held(ports)
    await edit_instance("cards", {"status": status}, ports=ports)
    with pytest.raises(Conflict, match=f"is {status}.*Start it"):
        await claimed(ports)
    with pytest.raises(Invalid) as refused:
        await claim_task("nobody", "w", MINUTE, ports=ports)
    assert refused.value.field == "instance_id"


async def test_a_repeated_claim_is_the_same_claim(ports: Ports) -> None:
    """An answer that was lost on the way would leave a task with nobody until its lease runs out."""
    first, second = await held(ports), await held(ports, created_at=later(1))
    retry = Retry("claim:1", "fingerprint")
    claims = [await claimed(ports, retry=retry) for _ in range(2)]
    assert [claim.task.id for claim in claims] == [first, first]
    assert claims[0] == claims[1]
    assert (await claimed(ports, retry=Retry("claim:2", "fingerprint"))).task.id == second
    with pytest.raises(IdempotencyMismatch):
        await claimed(ports, retry=Retry("claim:1", "other"))
    await lifecycle.complete_task(first, ports=ports)
    with pytest.raises(LeaseLost, match="new key"):
        await claimed(ports, retry=retry)


async def test_a_claim_that_found_nothing_may_be_repeated_with_its_key(ports: Ports) -> None:
    """A worker that asks again with the key that it had would never be given anything."""
    retry = Retry("claim:1", "fingerprint")
    assert await claim_task("cards", "w", MINUTE, ports=ports, retry=retry) is None
    task = await held(ports)
    assert (await claimed(ports, retry=retry)).task.id == task


async def test_one_claim_sent_many_times_at_once_takes_one_task(ports: Ports) -> None:
    """A client that repeats too early would hold tasks that it doesn't know of."""
    for _ in range(8):
        await held(ports)
    claims = await asyncio.gather(*(claimed(ports, retry=Retry("claim:1", "f")) for _ in range(8)))
    assert len({claim.task.id for claim in claims}) == len({claim.token for claim in claims}) == 1


async def test_giving_back_twice_is_no_error_until_another_has_it(ports: Ports) -> None:
    """A worker whose answer was lost couldn't tell whether the task is free, or would take it from the next one."""
    task = await held(ports)
    claim = await claimed(ports)
    for _ in range(2):
        after = await release_task(task, Proof(claim.token), ports=ports, reason="no key")
        assert (after.status, after.instance_id) == (TaskStatus.PENDING, "cards")
    with pytest.raises(LeaseLost, match="given the task"):
        await heartbeat(task, Proof(claim.token), MINUTE, ports=ports)
    await claimed(ports, worker="another")
    for proof in (Proof(claim.token), Proof(worker="w")):
        with pytest.raises(LeaseLost, match="another has it until"):
            await release_task(task, proof, ports=ports)
    await release_task(task, Proof(worker="another"), ports=ports)


async def test_a_lease_without_a_name_is_proved_by_its_token_alone(ports: Ports) -> None:
    """Whoever calls itself by no name either would take the task."""
    task = await held(ports)
    claim = await claimed(ports, worker=None)
    for proof in (Proof(worker="w"), Proof("0" * 32), Proof()):
        with pytest.raises(LeaseLost, match="another worker has it until"):
            await heartbeat(task, proof, MINUTE, ports=ports)
    await heartbeat(task, Proof(claim.token), MINUTE, ports=ports)


async def test_what_has_run_out_is_free_at_once(ports: Ports) -> None:
    """A crashed worker's task would lie until something in the background came by; and the urgent one first."""
    urgent = await held(ports, priority=Priority.URGENT)
    late = await claimed(ports, OVER)
    await held(ports)
    for end in (
        heartbeat(urgent, Proof(late.token), MINUTE, ports=ports),
        release_task(urgent, Proof("0"), ports=ports),
    ):
        with pytest.raises(LeaseLost):
            await end
    with pytest.raises(LeaseLost, match=r"ran out at .* claim again"):
        await release_task(urgent, Proof(late.token), ports=ports)
    assert (await claimed(ports)).task.id == urgent


@pytest.mark.parametrize("swept", [False, True])
async def test_late_work_counts_while_nobody_else_has_the_task(swept: bool, ports: Ports) -> None:
    """Work that took a second too long would be thrown away, and done once more."""
    task = await held(ports)
    late = await claimed(ports, OVER)
    if swept:
        await expire_lease(ports=ports)
        await taken_back(ports, task)
        await edit_task(task, {"title": "Better said"}, ports=ports)
    assert (await lifecycle.complete_task(task, ports=ports, token=late.token)).status is TaskStatus.DONE


async def test_late_work_is_refused_once_another_has_the_task(ports: Ports) -> None:
    """Two workers' results would overwrite each other, and the second would work on what is done."""
    await joined(ports, "refunds")
    task = await held(ports)
    late = await claimed(ports, OVER)
    await claimed(ports, worker="next")
    with pytest.raises(LeaseLost, match="next has it until"):
        await lifecycle.complete_task(task, ports=ports, token=late.token)
    assert (await task_now(ports, task)).status is TaskStatus.IN_PROGRESS
    await lifecycle.delegate_task(task, "refunds", ports=ports)
    with pytest.raises(LeaseLost, match="nobody has it"):
        await lifecycle.complete_task(task, ports=ports, token=late.token)
    assert (await lifecycle.complete_task(task, ports=ports)).status is TaskStatus.DONE  # a person needs no lease


async def test_whoever_takes_a_task_away_ends_its_lease(ports: Ports) -> None:
    """A worker would go on, although a person has rejected, cancelled, or taken back the task."""
    await rule(ports, "cards")
    task = (await filed(ports)).id
    await lifecycle.route_task(task, ports=ports)
    claim = await claimed(ports)
    [delegation] = await delegations(ports, task)
    await lifecycle.reject_delegation(delegation.id, ports=ports)
    with pytest.raises(LeaseLost, match="the task is pending"):
        await heartbeat(task, Proof(claim.token), MINUTE, ports=ports)
    await lifecycle.delegate_task(task, "cards", ports=ports)
    claim = await claimed(ports)
    await edit_task(task, {"status": TaskStatus.PENDING}, ports=ports)
    claim = await claimed(ports)
    await edit_task(task, {"status": TaskStatus.CANCELLED}, ports=ports)
    with pytest.raises(LeaseLost, match="the task is cancelled"):
        await heartbeat(task, Proof(claim.token), MINUTE, ports=ports)
    await delete_task(task, ports=ports)
    with pytest.raises(NotFound):
        await heartbeat(task, Proof(claim.token), MINUTE, ports=ports)


async def test_leases_that_run_out_are_weak_evidence_against_the_choice(ports: Ports) -> None:
    """One crash would brand a right choice as wrong, or an instance that never works would be chosen for ever."""
    pattern = await rule(ports, "cards")
    task = (await filed(ports)).id
    await lifecycle.route_task(task, ports=ports)
    for times in range(1, 4):
        await claimed(ports, OVER)
        await expire_lease(ports=ports)
        await taken_back(ports, task)
        [delegation], [episode] = await delegations(ports, task), await episodes(ports, task)
        assert (delegation.expired_leases, delegation.status) == (times, DelegationStatus.ACCEPTED)
        assert episode.outcome_success is (False if times == 3 else None)
    assert await record(ports, pattern) == (1, 0, 1)
    await lifecycle.complete_task(task, ports=ports, token=(await claimed(ports)).token)
    [episode] = await episodes(ports, task)
    assert (episode.outcome_success, episode.outcome_instance) == (True, "cards")
    assert await record(ports, pattern) == (1, 1, 0)


async def test_the_router_is_told_of_leases_that_ran_out(ports: Ports) -> None:
    """It couldn't tell a choice that went smoothly from one that was let go again and again."""
    await rule(ports, "cards")
    task = await filed(ports)
    await lifecycle.route_task(task.id, ports=ports)
    for _ in range(2):
        await claimed(ports, OVER)
        await expire_lease(ports=ports)
        await taken_back(ports, task.id)
    await lifecycle.complete_task(task.id, ports=ports)
    await drained(ports)
    async with ports.reading() as uow:
        vector = await uow.vectors.get(VectorKind.TASK, task.id, ports.embedder.model)
        assert vector
        [similar] = await uow.vectors.similar_episodes(vector.vector, ports.embedder.model, Scope, 5)
    assert (similar.chosen_instance, similar.expired_leases) == ("cards", 2)


async def test_the_server_takes_back_what_nobody_claims(ports: Ports) -> None:
    """A crashed worker's task would look as if it were in progress for as long as nobody claims."""
    task = await held(ports)
    await claimed(ports, OVER)
    await taken_back(ports, task)


@pytest.mark.parametrize("seed", range(2))
async def test_crowds_of_workers_that_crash_do_every_task_and_none_twice_at_once(seed: int, ports: Ports) -> None:
    """Two agents would work on one task at the same time, or one would be done by nobody."""
    random = Random(seed)
    first = [await held(ports, title=f"{CARD} {n}", priority=random.choice([None, *Priority])) for n in range(60)]
    for n in range(60):
        await held(ports, title=f"{CARD} after {n}", depends_on=(first[n],), priority=Priority.URGENT)
    working: dict[TaskId, str] = {}
    outcome = Counter[str]()
    done: list[TaskId] = []

    async def work(name: str) -> None:
        chance = Random(f"{seed} {name}")
        while len(done) < 120:
            short = chance.random() < 0.3
            claim = await claim_task("cards", name, OVER if short else MINUTE, ports=ports)
            if claim is None:
                await asyncio.sleep(0.01)
                continue
            task = claim.task
            assert set(task.depends_on) <= set(done), "it was blocked"
            assert task.id not in done
            if short:  # it crashes
                outcome["crashed"] += 1
                continue
            assert task.id not in working, f"{working[task.id]} has it already"
            working[task.id] = name
            await asyncio.sleep(chance.random() / 200)
            if chance.random() < 0.2:
                del working[task.id]
                await release_task(task.id, Proof(claim.token), ports=ports)
                outcome["released"] += 1
                continue
            await heartbeat(task.id, Proof(claim.token), MINUTE, ports=ports)
            done.append(task.id)  # before it is stored: what waits for it may be claimed at the same moment
            await lifecycle.complete_task(task.id, ports=ports, token=claim.token)
            del working[task.id]

    async with asyncio.timeout(120):
        await asyncio.gather(*(work(f"w{n}") for n in range(64)))
    assert len(set(done)) == len(done) == 120
    assert min(outcome["crashed"], outcome["released"]) > 5
