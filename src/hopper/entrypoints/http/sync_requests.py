"""What other Hoppers send of what they have learned. Types are taken at their word: "5" is no number here."""

from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from hopper.domain.instance import Scope
from hopper.domain.pattern import PatternType
from hopper.domain.task import Priority
from hopper.entrypoints.http.requests import Id, Name, Request, TermCriteria, TextCriteria
from hopper.sync import payload
from hopper.sync.payload import PROTOCOL_VERSION

Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]
Sequence = Annotated[int, Field(strict=True, ge=1, le=2**53)]
Probability = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Complexity = Annotated[float, Field(strict=True, ge=0, le=5, allow_inf_nan=False)]
Told = Annotated[bool, Field(strict=True)]
Key = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")]
Strategy = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,50}$")]


class PatternSync(Request):
    """A pattern, and what became of its decisions from the beginning."""

    key: Key | None = Field(None, description="Its identity, to be sure that both sides mean the same.")
    name: Name
    pattern_type: PatternType
    tag_criteria: TermCriteria | None = None
    text_criteria: TextCriteria | None = None
    priority_criteria: Priority | None = None
    target_scope: Scope | None = Field(None, description="The scope of the instance that it routes to.")
    target_name: Name | None = Field(None, description="What the source calls that instance: its name, or a code.")
    confidence: Probability
    usage_count: Count
    success_count: Count
    failure_count: Count | None = Field(None, description="Left out: whatever wasn't a success.")

    @model_validator(mode="after")
    def _no_more_than_used(self) -> Self:
        for name in ("success_count", "failure_count"):
            if (getattr(self, name) or 0) > self.usage_count:
                raise ValueError(f"{name} can't be larger than usage_count")
        return self

    def to_pattern(self) -> payload.PatternSync:
        missing = self.usage_count - self.success_count
        return payload.PatternSync(
            key=self.key,
            name=self.name,
            pattern_type=self.pattern_type,
            tag_criteria=self.tag_criteria.to_criteria() if self.tag_criteria else None,
            text_criteria=self.text_criteria.to_criteria() if self.text_criteria else None,
            priority_criteria=self.priority_criteria,
            target_scope=self.target_scope,
            target_name=self.target_name,
            confidence=self.confidence,
            usage_count=self.usage_count,
            success_count=self.success_count,
            failure_count=missing if self.failure_count is None else self.failure_count,
        )


class EpisodeSummary(Request):
    """A decision without its task."""

    key: Key | None = Field(None, description="The source's own name for it, so that it counts once.")
    tags: Annotated[tuple[Name, ...], Field(max_length=100)] = ()
    chosen_instance_scope: Scope | None
    confidence: Probability
    outcome_success: Told | None
    strategy: Strategy

    def to_summary(self) -> payload.EpisodeSummary:
        return payload.EpisodeSummary(
            key=self.key,
            tags=self.tags,
            chosen_instance_scope=self.chosen_instance_scope,
            confidence=self.confidence,
            outcome_success=self.outcome_success,
            strategy=self.strategy,
        )


class FeedbackStats(Request):
    """All of the source's feedback; it replaces what was sent before."""

    total_feedback: Count
    good_matches: Count
    bad_matches: Count
    avg_quality_score: Probability | None = None
    avg_complexity: Complexity | None = None

    @model_validator(mode="after")
    def _no_more_than_given(self) -> Self:
        if self.good_matches + self.bad_matches > self.total_feedback:
            raise ValueError("good_matches and bad_matches can't be more than total_feedback")
        return self

    def to_stats(self) -> payload.FeedbackStats:
        return payload.FeedbackStats(**self.model_dump())


class NorthboundPayload(Request):
    """What a Hopper has learned, from the beginning."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "source_instance_id": "laptop-1",
                    "source_instance_name": "a laptop",
                    "protocol_version": PROTOCOL_VERSION,
                    "sequence": 7,
                    "patterns": [
                        {
                            "name": "cards",
                            "pattern_type": "tag",
                            "tag_criteria": {"any": ["payments"]},
                            "text_criteria": {},
                            "target_scope": "PROJECT",
                            "confidence": 0.9,
                            "usage_count": 12,
                            "success_count": 10,
                            "failure_count": 1,
                        }
                    ],
                    "episode_summaries": [
                        {
                            "key": "e-1",
                            "tags": ["payments"],
                            "chosen_instance_scope": "PROJECT",
                            "confidence": 0.8,
                            "outcome_success": True,
                            "strategy": "learned_pattern",
                        }
                    ],
                    "feedback_stats": {
                        "total_feedback": 5,
                        "good_matches": 4,
                        "bad_matches": 1,
                        "avg_quality_score": 0.8,
                        "avg_complexity": 2.5,
                    },
                }
            ]
        }
    )

    protocol_version: Annotated[int, Field(strict=True, ge=PROTOCOL_VERSION, le=PROTOCOL_VERSION)] = PROTOCOL_VERSION
    source_instance_id: Id
    source_instance_name: Name
    sequence: Sequence | None = Field(None, description="One more with each push, so that late ones are known.")
    patterns: Annotated[tuple[PatternSync, ...], Field(max_length=10_000)] = ()
    episode_summaries: Annotated[tuple[EpisodeSummary, ...], Field(max_length=100_000)] = ()
    feedback_stats: FeedbackStats | None = None

    def to_payload(self, digest: str) -> payload.NorthboundPayload:
        """`digest` is that of the body as it came."""
        return payload.NorthboundPayload(
            source_instance_id=self.source_instance_id,
            source_instance_name=self.source_instance_name,
            sequence=self.sequence or 0,
            digest=digest,
            patterns=tuple(pattern.to_pattern() for pattern in self.patterns),
            episode_summaries=tuple(episode.to_summary() for episode in self.episode_summaries),
            feedback_stats=self.feedback_stats.to_stats() if self.feedback_stats else None,
        )


def _not_a_path(id: str) -> str:
    if not id.strip("."):
        raise ValueError(f"{id!r} can't be an id: in an address it means something else")
    return id


class NewSyncSource(Request):
    """A Hopper that may sync from now on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"source_instance_id": "laptop-1", "name": "Ann's laptop"}]}
    )

    source_instance_id: Annotated[Id, AfterValidator(_not_a_path)]
    name: Name


class EditSyncSource(Request):
    """What to change; the rest stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"is_muted": True}, {"contribution_cap": 20}]})

    is_muted: Told | None = None
    contribution_cap: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] | None = None
