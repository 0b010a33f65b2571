"""What one Hopper tells another of what it has learned; nothing here says what a task is about."""

from dataclasses import dataclass

from hopper.domain.ids import InstanceId
from hopper.domain.instance import Scope
from hopper.domain.pattern import Criteria, PatternType
from hopper.domain.task import Priority

PROTOCOL_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternSync:
    """A pattern and its record at its source; counts are cumulative, from the beginning.

    `key` is its identity as its source knows it, if that is told; `target_scope` that of the instance it routes to, and
    `target_name` what the source calls that instance, if it does: its name, or a code for it (`targets`).
    """

    key: str | None = None
    name: str
    pattern_type: PatternType
    tag_criteria: Criteria | None = None
    text_criteria: Criteria | None = None
    priority_criteria: Priority | None = None
    target_scope: Scope | None = None
    target_name: str | None = None
    confidence: float
    usage_count: int
    success_count: int
    failure_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeSummary:
    """A decision without its task; `key` is its source's own name for it."""

    key: str | None = None
    tags: tuple[str, ...] = ()
    chosen_instance_scope: Scope | None
    confidence: float
    outcome_success: bool | None
    strategy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackStats:
    """All of a source's feedback; quality runs from 0 to 1, complexity from 1 to 5 (0: nothing is known of it)."""

    total_feedback: int
    good_matches: int
    bad_matches: int
    avg_quality_score: float | None = None
    avg_complexity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NorthboundPayload:
    """One push. `sequence` grows by one with each (0: not told); `digest` is that of the bytes that came."""

    source_instance_id: InstanceId
    source_instance_name: str
    sequence: int
    digest: str
    patterns: tuple[PatternSync, ...]
    episode_summaries: tuple[EpisodeSummary, ...]
    feedback_stats: FeedbackStats | None
