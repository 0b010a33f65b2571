"""Delegations: a task handed from one instance to another."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hopper.domain.ids import DelegationId, EpisodeId, InstanceId, TaskId


class DelegationType(StrEnum):
    """Who decided: the router, or a person."""

    ROUTED = "routed"
    MANUAL = "manual"


class DelegationStatus(StrEnum):
    """pending → accepted → completed (done, or passed on below), or rejected by the target, or recalled."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    COMPLETED = "completed"
    RECALLED = "recalled"

    @property
    def is_live(self) -> bool:
        return self in (DelegationStatus.PENDING, DelegationStatus.ACCEPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """A task has at most one live delegation; `episode_id` is the decision that it comes from.

    `source_instance_id` is None when the server itself delegated, and either is when its instance is gone.
    `expired_leases` counts the workers of the target that took the task and weren't heard of again.
    """

    id: DelegationId
    task_id: TaskId
    episode_id: EpisodeId | None = None
    source_instance_id: InstanceId | None
    target_instance_id: InstanceId | None
    delegation_type: DelegationType
    status: DelegationStatus = DelegationStatus.PENDING
    delegated_at: datetime
    completed_at: datetime | None = None
    expired_leases: int = 0
