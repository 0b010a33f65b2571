"""Feedback: what a person or an agent says about a decision afterwards."""

from dataclasses import dataclass
from datetime import datetime

from hopper.domain.ids import InstanceId, TaskId


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One a task, replaced as a whole.

    `quality_score` runs from 0 to 1 and `complexity_rating` from 1 (trivial) to 5 (hard).
    """

    task_id: TaskId
    was_good_match: bool | None = None
    routing_feedback: str | None = None
    should_have_routed_to: InstanceId | None = None
    quality_score: float | None = None
    complexity_rating: int | None = None
    required_rework: bool | None = None
    source: str = "api"
    source_instance_id: InstanceId | None = None
    created_at: datetime
