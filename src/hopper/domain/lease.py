"""Leases: who works on a task just now, and until when."""

from dataclasses import dataclass, fields
from datetime import datetime

from hopper.domain.errors import LeaseLost
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.task import Task

LONGEST_SECONDS = 86_400
"""A worker that doesn't answer for a day is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A worker's turn at a task; times are the store's, so that processes needn't agree on theirs.

    `returned_at` says when the task was given back, by the worker (with a `reason`, perhaps) or because the lease ran
    out. Such a lease is kept until somebody else claims the task.
    """

    task_id: TaskId
    instance_id: InstanceId
    worker: str | None = None
    acquired_at: datetime
    expires_at: datetime
    returned_at: datetime | None = None
    reason: str | None = None

    @property
    def released(self) -> bool:
        """Given back by the worker, before it ran out."""
        return self.returned_at is not None and self.returned_at < self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLease(Lease):
    """A lease with the token that proves it; `live` is the store's word: neither given back nor run out."""

    token: str
    live: bool

    def shown(self) -> Lease:
        """What anyone may see of it."""
        return Lease(**{field.name: getattr(self, field.name) for field in fields(Lease)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A task that was handed to a worker; whoever has the token has the lease."""

    task: Task
    lease: Lease
    token: str


@dataclass(frozen=True, slots=True)
class Proof:
    """How a worker says that a lease is its own: by the token or, where names are trusted, by its name."""

    token: str | None = None
    worker: str | None = None

    def fits(self, lease: HeldLease) -> bool:
        if self.token is not None:
            return self.token == lease.token
        return self.worker is not None and self.worker == lease.worker


def own_lease(lease: HeldLease | None, proof: Proof, task: Task) -> HeldLease:
    """The task's lease, if it is this worker's: it may have run out, as long as nobody else has claimed the task.

    Raises LeaseLost.
    """
    if lease is not None and proof.fits(lease):
        return lease
    if lease is not None and lease.live:
        now = f"{lease.worker or 'another worker'} has it until {lease.expires_at:%Y-%m-%d %H:%M:%S} UTC"
    else:
        now = f"nobody has it, and the task is {task.status}"
    raise LeaseLost(
        f"The lease on the task {task.id!r} isn't yours, or not any more: {now}. Stop working on it, and claim a task."
    )


def live_lease(lease: HeldLease | None, proof: Proof, task: Task) -> HeldLease:
    """The task's lease, if it is this worker's and hasn't ended. Raises LeaseLost."""
    own = own_lease(lease, proof, task)
    if own.released:
        raise LeaseLost(f"You have given the task {task.id!r} back. Claim a task to go on.")
    if not own.live:
        raise LeaseLost(
            f"Your lease on the task {task.id!r} ran out at {own.expires_at:%Y-%m-%d %H:%M:%S} UTC, and the task is "
            "free again. If the work is done, complete it with the token, which is good until somebody else claims the "
            "task; if not, claim again."
        )
    return own
