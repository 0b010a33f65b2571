"""What a server hands south: patterns that enough sources have in common."""

import re
from dataclasses import dataclass
from typing import Any, Self

from hopper.domain.errors import Invalid
from hopper.domain.ids import InstanceId, PatternId
from hopper.domain.instance import Scope
from hopper.domain.pattern import Criteria, Pattern, PatternSource, PatternType, check_criteria
from hopper.domain.task import Priority
from hopper.domain.told import identifier, matching, share, text, whole
from hopper.sync.payload import PROTOCOL_VERSION, FeedbackStats

PACKED = 5_000
"""A pack has so many patterns at most, the best supported ones."""

HEEDED = 500
"""Decisions heed so many of them: each is held against every task."""

_KEY = re.compile(r"[!-~]{1,128}")
_LONGEST = 200
_TERMS = 200
"""A payload has 100 at most in a group, which may take in another one's in the normal form."""


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

    @classmethod
    def read(cls, said: Any, min_sources: int) -> Self:
        """The pattern as a server sends it. Raises ValueError, TypeError, KeyError or Invalid for anything else."""
        pattern = cls(
            key=matching(said["key"], _KEY),
            name=text(said["name"], _LONGEST),
            pattern_type=PatternType(said["pattern_type"]),
            tag_criteria=_criteria(said["tag_criteria"]),
            text_criteria=_criteria(said["text_criteria"]),
            priority_criteria=None if said["priority_criteria"] is None else Priority(said["priority_criteria"]),
            target_scope=None if said["target_scope"] is None else Scope(said["target_scope"]),
            target_name=None if said["target_name"] is None else text(said["target_name"], _LONGEST),
            confidence=share(said["confidence"]),
            usage_count=whole(said["usage_count"]),
            success_count=whole(said["success_count"]),
            failure_count=whole(said["failure_count"]),
            sources=whole(said["sources"], min_sources),
            source_instance_id=identifier(said["source_instance_id"]),
            derived_from=identifier(said["derived_from"]),
        )
        check_criteria(pattern)
        return pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternPack:
    """`min_sources` contribute to each of the patterns, and to the statistics, which are None while too few do."""

    protocol_version: int = PROTOCOL_VERSION
    source_instance_id: InstanceId
    min_sources: int
    patterns: tuple[PackedPattern, ...]
    feedback_stats: FeedbackStats | None

    @classmethod
    def read(cls, said: Any) -> Self:
        """What decisions take of a pack: the best supported patterns, and no statistics.

        Raises Invalid for what no server of this version sends, whatever it is: a pack is taken or refused whole.
        """
        try:
            least, patterns = whole(said["min_sources"], 1), said["patterns"]
            if said["protocol_version"] != PROTOCOL_VERSION or not isinstance(patterns, list) or len(patterns) > PACKED:
                raise ValueError("another pack")
            return cls(
                source_instance_id=identifier(said["source_instance_id"]),
                min_sources=least,
                patterns=tuple([PackedPattern.read(one, least) for one in patterns][:HEEDED]),
                feedback_stats=None,
            )
        except (Invalid, KeyError, TypeError, ValueError):
            raise Invalid(
                "patterns",
                "These shared patterns aren't as a server of this version sends them, and aren't heeded. See which "
                "version it has, then `hopper sync pull`.",
            ) from None


def _criteria(said: Any) -> Criteria | None:
    return None if said is None else Criteria(**{group: _terms(said[group]) for group in ("any", "all", "none")})


def _terms(said: Any) -> tuple[str, ...]:
    if not isinstance(said, list) or len(said) > _TERMS:
        raise ValueError("no list of terms")
    return tuple(text(term, _LONGEST) for term in said)
