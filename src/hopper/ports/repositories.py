"""Where entities are kept.

`get` raises NotFound. `update` takes the entity as it should be; `expected_version` (If-Match) makes it raise
StaleVersion when the stored one has moved on. Everything runs inside the unit of work that holds the repository.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from hopper.domain.decision import Strategy
    from hopper.domain.delegation import Delegation, DelegationStatus
    from hopper.domain.episode import Episode
    from hopper.domain.feedback import Feedback
    from hopper.domain.ids import DelegationId, EpisodeId, InstanceId, PatternId, TaskId
    from hopper.domain.instance import Instance, InstanceStatus, Scope
    from hopper.domain.lease import Claim, HeldLease
    from hopper.domain.moving import Origin
    from hopper.domain.pattern import Pattern
    from hopper.domain.task import Priority, Tags, Task, TaskStatus
    from hopper.sync.payload import FeedbackStats


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a listing; `next_cursor` continues it and is None at the end."""

    items: tuple[T, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Only tasks that match everything given; a `tag` is a name or name=value, `id_part` either end of an id."""

    status: TaskStatus | None = None
    priority: Priority | None = None
    project: str | None = None
    instance_id: InstanceId | None = None
    tag: str | None = None
    source: str | None = None
    parent_task_id: TaskId | None = None
    id_part: str | None = None
    is_open: bool | None = None


class TaskRepository(Protocol):
    async def add(self, task: Task) -> None: ...

    async def add_many(self, tasks: Sequence[Task]) -> set[TaskId]:
        """Add those whose id isn't there yet; returns the ids that were added."""
        ...

    async def get(self, task_id: TaskId) -> Task: ...

    async def get_many(self, task_ids: Sequence[TaskId]) -> tuple[Task, ...]:
        """Those that are there, in any order."""
        ...

    async def get_for_update(self, task_id: TaskId) -> Task:
        """Like get, and no one else changes the task until this unit of work ends."""
        ...

    async def update(self, task: Task, expected_version: int | None = None) -> Task:
        """Store the task with the next version, which is returned. Another status or holder ends its lease."""
        ...

    async def delete(self, task_id: TaskId, expected_version: int | None = None) -> None:
        """Remove the task and everything that says something of it."""
        ...

    async def list(self, where: TaskFilter, limit: int, cursor: str | None = None) -> Page[Task]:
        """Newest first."""
        ...

    async def triage(self, limit: int, cursor: str | None = None) -> Page[Task]:
        """Pending tasks that nobody holds: never routed, abstained on, rejected or recalled; oldest first."""
        ...

    async def ready(self, limit: int, cursor: str | None = None, instance_id: InstanceId | None = None) -> Page[Task]:
        """Pending tasks whose dependencies are all done or cancelled; urgent ones first, then the oldest."""
        ...

    async def missing(self, task_ids: Sequence[TaskId]) -> set[TaskId]:
        """Those of the ids that aren't there."""
        ...

    async def lock_structure(self) -> None:
        """Let no one else change parents, dependencies or originals until this unit of work ends."""
        ...

    async def ancestors(self, task_id: TaskId) -> set[TaskId]:
        """Everything above the task through parent_task_id, without itself."""
        ...

    async def originals(self, task_id: TaskId) -> set[TaskId]:
        """What the task is a duplicate of, directly or through others."""
        ...

    async def prerequisites(self, task_ids: Sequence[TaskId]) -> set[TaskId]:
        """Everything that the tasks depend on, directly or through others."""
        ...

    async def open_among(self, task_ids: Sequence[TaskId]) -> tuple[TaskId, ...]:
        """Those of the tasks that are still open."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who may be given a task: how many open ones it takes (its config's `capacity`; None: any number).

    `scopes` are its present one and those that it had: its episodes are where they belonged when they were decided.
    """

    capacity: int | None
    scopes: frozenset[Scope]


class InstanceRepository(Protocol):
    async def add(self, instance: Instance) -> None: ...

    async def get(self, instance_id: InstanceId) -> Instance: ...

    async def get_for_update(self, instance_id: InstanceId) -> Instance:
        """Like get, and no one else changes the instance until this unit of work ends."""
        ...

    async def update(self, instance: Instance, expected_version: int | None = None) -> Instance: ...

    async def delete(self, instance_id: InstanceId, expected_version: int | None = None) -> None: ...

    async def list(
        self,
        limit: int,
        cursor: str | None = None,
        *,
        scope: Scope | None = None,
        status: InstanceStatus | None = None,
        name: str | None = None,
        id_part: str | None = None,
    ) -> Page[Instance]:
        """Oldest first; `id_part` is either end of an id."""
        ...

    async def lock_structure(self) -> None:
        """Let no one else change parents until this unit of work ends."""
        ...

    async def missing(self, instance_ids: Sequence[InstanceId]) -> set[InstanceId]:
        """Those of the ids that aren't there."""
        ...

    async def names(self) -> Mapping[InstanceId, str]:
        """All instances' names."""
        ...

    async def children(self, instance_id: InstanceId) -> tuple[Instance, ...]: ...

    async def hierarchy(self, instance_id: InstanceId) -> tuple[Instance, ...]:
        """From the instance up to its root, both included."""
        ...

    async def routable_from(self, by: InstanceId | None) -> Mapping[InstanceId, Candidate]:
        """The running instances that `by` may delegate to: all below it, or everyone for the server (None).

        In the order of their ids.
        """
        ...

    async def open_tasks(self, instance_ids: Sequence[InstanceId]) -> Mapping[InstanceId, int]:
        """How many open tasks each of these holds."""
        ...

    async def held_tasks(self, instance_id: InstanceId) -> int:
        """How many tasks the instance holds."""
        ...


class DelegationRepository(Protocol):
    async def add(self, delegation: Delegation) -> None: ...

    async def get_for_update(self, delegation_id: DelegationId) -> Delegation: ...

    async def missing(self, delegation_ids: Sequence[DelegationId]) -> set[DelegationId]:
        """Those of the ids that aren't there."""
        ...

    async def update(self, delegation: Delegation) -> None: ...

    async def live(self, task_id: TaskId) -> Delegation | None:
        """The task's pending or accepted delegation, if it has one."""
        ...

    async def of_task(self, task_id: TaskId) -> tuple[Delegation, ...]:
        """The task's delegations, the first one first."""
        ...

    async def to_instance(
        self,
        instance_id: InstanceId,
        limit: int,
        cursor: str | None = None,
        status: DelegationStatus | None = None,
    ) -> Page[Delegation]:
        """Delegations to the instance, newest first."""
        ...


class LeaseRepository(Protocol):
    """Times are the store's own: whether a lease is live doesn't depend on the clocks of its callers."""

    async def claim(self, instance_id: InstanceId, token: str, worker: str | None, duration: timedelta) -> Claim | None:
        """Hand out the first of the instance's ready tasks, which is in progress then, its delegation accepted.

        The order is that of `TaskRepository.ready`; tasks that others are just changing are passed over. Of many who
        ask at once, no two get the same.
        """
        ...

    async def claimed_with(self, token: str) -> Claim | None:
        """What was claimed with the token, while the lease is live."""
        ...

    async def find(self, task_id: TaskId) -> HeldLease | None:
        """The task's lease: the live one, or the last one while nobody has claimed the task since."""
        ...

    async def extend(self, task_id: TaskId, duration: timedelta) -> HeldLease:
        """Let the task's lease end so long from now."""
        ...

    async def release(self, task_id: TaskId, reason: str | None) -> None:
        """The worker gives the task back, which is pending again."""
        ...

    async def expire_next(self, instance_id: InstanceId | None = None) -> TaskId | None:
        """Take back the first of the tasks whose lease has run out (of one instance, or of all): it is pending again.

        None if there is none that nobody else is just changing.
        """
        ...


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts over everything that has been decided.

    Outcomes are those of Hopper's own decisions, not of people's; `accuracy` is the share of right choices among
    those with a known outcome (None while there are none).
    """

    tasks: int
    open_tasks: int
    in_triage: int
    instances: int
    episodes: int
    abstained: int
    known_outcomes: int
    successes: int
    accuracy: float | None
    feedback: int
    patterns: int
    by_strategy: dict[str, int]
    queue: dict[str, int]


@dataclass(frozen=True, slots=True)
class RecentOutcomes:
    """Who should have taken some tasks, the oldest outcome first; `span` is when the first and last became known."""

    instances: tuple[InstanceId, ...]
    span: tuple[datetime, datetime] | None

    def idle(self, now: datetime) -> float:
        """For how long no outcome has become known, in mean gaps between these."""
        if self.span is None or len(self.instances) < 2:
            return 0.0
        first, last = self.span
        gap = max((last - first).total_seconds() / (len(self.instances) - 1), 1e-3)
        return max((now - last).total_seconds(), 0.0) / gap


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOutcome:
    """An episode whose outcome is known, with what its task says now (of the text its first 4,000 characters).

    `decided_by` is the instance that decided (None: the server); the other names are those of an episode.
    """

    episode_id: EpisodeId
    task_id: TaskId
    title: str
    description: str
    tags: Tags
    priority: Priority | None
    strategy: Strategy
    confidence: float
    chosen_instance: InstanceId | None
    outcome_instance: InstanceId | None
    decided_by: InstanceId | None
    completed_at: datetime


class EpisodeRepository(Protocol):
    async def add(self, episode: Episode) -> None: ...

    async def update(self, episode: Episode) -> None: ...

    async def latest(self, task_id: TaskId) -> Episode | None: ...

    async def of_task(self, task_id: TaskId) -> tuple[Episode, ...]:
        """The task's episodes, the newest first."""
        ...

    async def recent_outcomes(self, limit: int) -> RecentOutcomes:
        """Those that became known last."""
        ...

    async def known_outcomes(
        self, limit: int, cursor: str | None = None, *, decided: bool = False
    ) -> Page[KnownOutcome]:
        """Episodes of tasks with a known outcome, the one that became known last first.

        `decided` leaves out what people chose themselves, and those of which only the wrong choice is known.
        """
        ...

    async def statistics(self) -> Statistics: ...


class PatternRepository(Protocol):
    """What came from other Hoppers is there for nobody before enough of them share it."""

    async def add(self, pattern: Pattern) -> None: ...

    async def get(self, pattern_id: PatternId) -> Pattern: ...

    async def get_for_update(self, pattern_id: PatternId) -> Pattern:
        """Like get, and no one else changes the pattern until this unit of work ends."""
        ...

    async def get_many(self, pattern_ids: Sequence[PatternId]) -> tuple[Pattern, ...]:
        """Those that exist, in order of id."""
        ...

    async def get_many_for_update(self, pattern_ids: Sequence[PatternId]) -> tuple[Pattern, ...]:
        """Those that still exist, in order of id."""
        ...

    async def update(self, pattern: Pattern, expected_version: int | None = None) -> Pattern: ...

    async def delete(self, pattern_id: PatternId, expected_version: int | None = None) -> None: ...

    async def list(
        self,
        limit: int,
        cursor: str | None = None,
        *,
        target_instance: InstanceId | None = None,
        is_active: bool | None = None,
        source: str | None = None,
        id_part: str | None = None,
    ) -> Page[Pattern]:
        """Oldest first; `id_part` is either end of an id."""
        ...

    async def active(self) -> tuple[Pattern, ...]:
        """Those that decide: without what came from other Hoppers."""
        ...

    async def for_learning(self, *, for_update: bool = False) -> tuple[Pattern, ...]:
        """All learned patterns, those that people made out of one, and all that people have active; by id.

        With `for_update` no one else changes them until this unit of work ends.
        """
        ...

    async def derivations(self) -> Mapping[PatternId, tuple[PatternId, ...]]:
        """Which patterns each one refines, sorted; without those that refine none."""
        ...

    async def derive(self, pattern_id: PatternId, derived_from: Sequence[PatternId]) -> None:
        """Say which patterns this one refines, instead of what was said before."""
        ...

    async def reject(self, learned_key: str) -> None:
        """Remember that a person doesn't want this rule."""
        ...

    async def rejected(self) -> frozenset[str]:
        """The keys of the rules that people don't want."""
        ...

    async def deactivate_for(self, instance_id: InstanceId) -> None:
        """Switch off every pattern that routes to the instance."""
        ...


class ConsolidationRepository(Protocol):
    async def due(self, outcomes: int, pause: timedelta, now: datetime) -> bool:
        """Whether so many outcomes became known since the last consolidation, and that is so long ago."""
        ...

    async def done(self, now: datetime) -> None:
        """Patterns are consolidated with what was known until now."""
        ...


class FeedbackRepository(Protocol):
    async def get(self, task_id: TaskId) -> Feedback: ...

    async def find(self, task_id: TaskId) -> Feedback | None:
        """Like get, but None where there is none."""
        ...

    async def put(self, feedback: Feedback) -> None:
        """Add or replace."""
        ...

    async def stats(self) -> FeedbackStats:
        """All of it in numbers; means to three digits."""
        ...


class IdempotencyRepository(Protocol):
    async def begin(self, key: str, fingerprint: str, entity_id: str, now: datetime) -> str | None:
        """Claim a key for the entity that this unit of work makes.

        Returns the id of the entity that was made with the key before, or None. Waits for another unit of work
        that holds the same key; raises IdempotencyMismatch when the key came with another fingerprint.
        """
        ...


class OriginRepository(Protocol):
    """Which task each record from elsewhere became."""

    async def find(self, source: str, external_ids: Sequence[str]) -> Mapping[str, Origin]:
        """Those that are known, by their external ids; also of tasks that were removed since."""
        ...

    async def of_source(self, source: str) -> tuple[Origin, ...]:
        """All of a source, by their external ids."""
        ...

    async def put(self, source: str, origins: Sequence[Origin]) -> None:
        """Remember what each record says now."""
        ...

    async def rename(self, source: str, new: str) -> None:
        """Know a source by another name; what is known of a record by that name already stays."""
        ...
