"""Episodes: a decision, and how it went. They are what Hopper learns from."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Self

from hopper.domain.decision import Alternative, Decision, Factor, Strategy
from hopper.domain.ids import EpisodeId, InstanceId, TaskId, new_id

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A routing decision in memory.

    `outcome_instance` is who should have taken the task, as far as is known now: the chosen instance when it
    went well, another when a person corrected it, None when unknown. `outcome_success` says whether the choice
    was right, `outcome_duration` (ISO 8601) how long the work took. `completed_at` is when the outcome became known,
    and `corrected_at` when `outcome_instance` changed after that, or was taken back: what was learned is outdated then.
    """

    id: EpisodeId
    task_id: TaskId | None
    chosen_instance: InstanceId | None
    confidence: float
    raw_confidence: float | None = None
    strategy: Strategy
    decision_factors: tuple[Factor, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    degraded: bool = False
    outcome_success: bool | None = None
    outcome_instance: InstanceId | None = None
    outcome_duration: str | None = None
    source: str = "server"
    source_instance_id: InstanceId | None = None
    routed_at: datetime
    completed_at: datetime | None = None
    corrected_at: datetime | None = None

    @classmethod
    def of(cls, decision: Decision, by: InstanceId | None, now: datetime) -> Self:
        """The episode that remembers a decision."""
        return cls(
            id=decision.episode_id or new_id(),
            task_id=decision.task_id,
            chosen_instance=decision.chosen_instance,
            confidence=decision.confidence,
            raw_confidence=decision.raw_confidence,
            strategy=decision.strategy,
            decision_factors=decision.decision_factors,
            alternatives=decision.alternatives,
            degraded=decision.degraded,
            source_instance_id=by,
            routed_at=now,
        )

    def decision(self, task_id: TaskId) -> Decision:
        """The decision that the episode remembers."""
        return Decision(
            episode_id=self.id,
            task_id=task_id,
            chosen_instance=self.chosen_instance,
            confidence=self.confidence,
            raw_confidence=self.raw_confidence,
            strategy=self.strategy,
            decision_factors=self.decision_factors,
            alternatives=self.alternatives,
            degraded=self.degraded,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarEpisode:
    """A past decision with a known outcome, and how alike its task is (cosine, -1 to 1).

    `vector` is that of its task, of length 1. `confirmed` says that a person's feedback stands behind the outcome;
    `expired_leases`, how often the chosen instance's workers let the task go.
    """

    episode_id: EpisodeId
    task_id: TaskId | None
    chosen_instance: InstanceId | None
    outcome_instance: InstanceId | None
    confirmed: bool
    required_rework: bool
    similarity: float
    vector: "NDArray[np.float32]" = field(compare=False)
    expired_leases: int = 0
