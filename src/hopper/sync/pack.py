"""What a server hands south: patterns that enough sources have in common."""

from dataclasses import dataclass
from typing import Self

from hopper.domain.ids import InstanceId, PatternId
from hopper.domain.instance import Scope
from hopper.domain.pattern import Criteria, Pattern, PatternSource, PatternType
from hopper.domain.task import Priority
from hopper.sync.payload import PROTOCOL_VERSION, FeedbackStats


@dataclass(frozen=True, slots=True)
class SharedPattern:
    """A pattern that came north, and how many sources contribute to it."""

    pattern: Pattern
    sources: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedPattern:
    """A pattern with its record over all `sources` that contribute to it, and its provenance.

    Whoever takes it over keeps `source` and `source_instance_id` (the server) with it, and derives it from
    `derived_from`, its id there.
    """

    key: str
    name: str
    pattern_type: PatternType
    tag_criteria: Criteria | None
    text_criteria: Criteria | None
    priority_criteria: Priority | None
    target_scope: Scope | None
    target_name: str | None
    confidence: float
    usage_count: int
    success_count: int
    failure_count: int
    sources: int
    source: PatternSource = PatternSource.NORTHBOUND
    source_instance_id: InstanceId
    derived_from: PatternId

    @classmethod
    def of(cls, shared: SharedPattern, server: InstanceId) -> Self:
        """The pattern as the server of this identity hands it out."""
        pattern = shared.pattern
        return cls(
            key=pattern.learned_key or "",
            name=pattern.name,
            pattern_type=pattern.pattern_type,
            tag_criteria=pattern.tag_criteria,
            text_criteria=pattern.text_criteria,
            priority_criteria=pattern.priority_criteria,
            target_scope=pattern.target_scope,
            target_name=pattern.target_name,
            confidence=pattern.confidence,
            usage_count=pattern.usage_count,
            success_count=pattern.success_count,
            failure_count=pattern.failure_count,
            sources=shared.sources,
            source_instance_id=server,
            derived_from=pattern.id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternPack:
    """`min_sources` contribute to each of the patterns, and to the statistics, which are None while too few do."""

    protocol_version: int = PROTOCOL_VERSION
    source_instance_id: InstanceId
    min_sources: int
    patterns: tuple[PackedPattern, ...]
    feedback_stats: FeedbackStats | None
