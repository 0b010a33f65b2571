"""Handing tasks out to the workers of an instance, one at a time, each for so long.

Nobody has to notice that a lease has run out: the next claim does. The sweeper only brings such tasks back into the
listings while nobody claims.
"""

from dataclasses import replace
from datetime import timedelta
from secrets import token_hex

from hopper.app.background import Log, Repeating
from hopper.app.lifecycle import learn_outcomes
from hopper.app.retry import Retry
from hopper.domain.errors import Conflict, Invalid, LeaseLost, NotFound
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.instance import InstanceStatus
from hopper.domain.lease import Claim, Lease, Proof, live_lease, own_lease
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.ports.tally import Counted
from hopper.ports.unit_of_work import UnitOfWork

_SWEEP_SECONDS = 5.0


async def claim_task(
    instance_id: InstanceId, worker: str | None, duration: timedelta, *, ports: Ports, retry: Retry | None = None
) -> Claim | None:
    """Hand the next ready task that the instance holds to a worker; None when there is none just now.

    With a retry key, what the first try claimed; raises LeaseLost when that lease has ended.
    """
    while True:
        # In a transaction of its own: one that changes two tasks could wait in a ring with the projections' worker.
        freed = await expire_lease(ports=ports, instance_id=instance_id)
        claim = await _claim(instance_id, worker, duration, ports, retry)
        if claim or not freed:
            return claim


async def _claim(
    instance_id: InstanceId, worker: str | None, duration: timedelta, ports: Ports, retry: Retry | None
) -> Claim | None:
    token = token_hex(16)
    async with ports.unit_of_work() as uow:
        if retry and (earlier := await uow.idempotency.begin(retry.key, retry.fingerprint, token, ports.clock.now())):
            return await _claimed_before(earlier, uow)
        await _require_running(instance_id, uow)
        claim = await uow.leases.claim(instance_id, token, worker, duration)
        if claim:
            uow.count(Counted.CLAIM)
            await uow.commit()
    return claim


async def heartbeat(task_id: TaskId, proof: Proof, duration: timedelta, *, ports: Ports) -> Lease:
    """The worker is still at it: its lease lasts so long from now on. Raises LeaseLost."""
    async with ports.unit_of_work() as uow:
        task = await uow.tasks.get_for_update(task_id)
        live_lease(await uow.leases.find(task_id), proof, task)
        lease = await uow.leases.extend(task_id, duration)
        await uow.commit()
    return lease.shown()


async def release_task(task_id: TaskId, proof: Proof, *, ports: Ports, reason: str | None = None) -> Task:
    """The worker gives the task back, for another to claim. Twice is no error; raises LeaseLost."""
    async with ports.unit_of_work() as uow:
        task = await uow.tasks.get_for_update(task_id)
        lease = own_lease(await uow.leases.find(task_id), proof, task)
        if lease.released:
            return task
        live_lease(lease, proof, task)
        await uow.leases.release(task_id, reason)
        task = await uow.tasks.get(task_id)
        await uow.commit()
    return task


async def expire_lease(*, ports: Ports, instance_id: InstanceId | None = None) -> bool:
    """Take the most urgent task back whose lease has run out, and keep what that says of the choice.

    Of one instance's tasks, or of all. Returns whether there was one.
    """
    async with ports.unit_of_work() as uow:
        task_id = await uow.leases.expire_next(instance_id)
        if task_id is None:
            return False
        uow.count(Counted.EXPIRED_LEASE)
        delegation = await uow.delegations.live(task_id)
        if delegation:
            await uow.delegations.update(replace(delegation, expired_leases=delegation.expired_leases + 1))
            await learn_outcomes(await uow.tasks.get(task_id), ports.clock.now(), uow)
        await uow.commit()
    return True


async def _claimed_before(token: str, uow: UnitOfWork) -> Claim:
    claim = await uow.leases.claimed_with(token)
    if claim is None:
        raise LeaseLost("What was claimed with this Idempotency-Key has ended. Claim the next task with a new key.")
    return claim


async def _require_running(instance_id: InstanceId, uow: UnitOfWork) -> None:
    try:
        instance = await uow.instances.get(instance_id)
    except NotFound as absent:
        raise Invalid("instance_id", absent.message) from None
    if instance.status is not InstanceStatus.RUNNING:
        raise Conflict(
            f"The instance {instance_id!r} is {instance.status}, so nothing is handed out. Start it before you claim."
        )


def lease_sweeper(ports: Ports, log: Log) -> Repeating:
    """Takes tasks back whose leases have run out. Several may run at once."""

    async def sweep() -> None:
        while await expire_lease(ports=ports):
            pass

    return Repeating(sweep, _SWEEP_SECONDS, "taking back expired leases failed", log)
