"""What one Hopper has learned, as another is told: filtered, counted up, and only what that one doesn't know yet."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Self

from hopper.domain.ids import EpisodeId, InstanceId, TaskId
from hopper.domain.instance import Scope
from hopper.domain.pattern import Criteria, Pattern
from hopper.sync.identity import canonical
from hopper.sync.payload import PROTOCOL_VERSION, EpisodeSummary, FeedbackStats, PatternSync
from hopper.sync.privacy import Filter
from hopper.sync.targets import TargetNaming

_AT_A_TIME = 2_000
"""A push has so many patterns, and so many decisions, at most: what was received isn't sent again after a break."""

_COUNTS = ("usage_count", "success_count", "failure_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A decision whose outcome is known, and what its task says: its text, and its tags that have no value."""

    episode_id: EpisodeId
    task_id: TaskId
    text: str
    tags: tuple[str, ...]
    chosen_scope: Scope | None
    confidence: float
    was_right: bool
    strategy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What may be told: patterns by their identity, decisions by their key."""

    patterns: Mapping[str, PatternSync]
    episodes: Mapping[str, EpisodeSummary]
    feedback: FeedbackStats | None


def what_leaves(
    patterns: Iterable[Pattern],
    cases: Sequence[Case],
    feedback: FeedbackStats,
    targets: Mapping[InstanceId, tuple[str, Scope]],
    *,
    source: InstanceId,
    naming: TargetNaming,
    private: Iterable[str],
) -> Learned:
    """All of what was learned that may leave; `targets` are the instances' names and scopes.

    A pattern goes whole or not at all: without one of its terms it would say something else. A decision goes without
    the tags that don't pass. What may be told depends on how many tasks have it, however often they were decided about.
    """
    allowed = Filter(private)
    for case in {case.task_id: case for case in cases}.values():
        allowed.see(case.text, case.tags)
    told: dict[str, PatternSync] = {}
    for pattern in patterns:
        if (one := _pattern(pattern, targets, naming, allowed)) and one.key:
            told[one.key] = _together(told[one.key], one) if one.key in told else one
    summaries = [_episode(case, source, allowed) for case in cases]
    return Learned(
        patterns=dict(sorted(told.items())),
        episodes={one.key: one for one in summaries if one.key},
        feedback=feedback if feedback.total_feedback else None,
    )


def _pattern(
    pattern: Pattern, targets: Mapping[InstanceId, tuple[str, Scope]], naming: TargetNaming, allowed: Filter
) -> PatternSync | None:
    target = targets.get(pattern.target_instance or "")
    if target is None or not (
        allowed.passes(pattern.tag_criteria, of_tags=True) and allowed.passes(pattern.text_criteria, of_tags=False)
    ):
        return None
    name, scope = target
    told = PatternSync(
        name="",
        pattern_type=pattern.pattern_type,
        tag_criteria=pattern.tag_criteria,
        text_criteria=pattern.text_criteria,
        priority_criteria=pattern.priority_criteria,
        target_scope=scope,
        target_name=naming.called(name),
        confidence=round(pattern.confidence, 2),
        usage_count=max(pattern.usage_count, pattern.success_count, pattern.failure_count),
        success_count=pattern.success_count,
        failure_count=pattern.failure_count,
    )
    shared = canonical(told)
    return replace(
        told, key=shared.key, name=shared.name, tag_criteria=shared.tag_criteria, text_criteria=shared.text_criteria
    )


def _together(one: PatternSync, other: PatternSync) -> PatternSync:
    """Two patterns here may be one there: where their targets are told apart here alone."""
    sums = {count: getattr(one, count) + getattr(other, count) for count in _COUNTS}
    return replace(one, confidence=min(one.confidence, other.confidence), **sums)


def _episode(case: Case, source: InstanceId, allowed: Filter) -> EpisodeSummary:
    return EpisodeSummary(
        key=sha256(f"{source}\0{case.episode_id}".encode()).hexdigest()[:32],
        tags=tuple(sorted({tag.strip().casefold() for tag in case.tags if allowed.passes_tag(tag)})),
        chosen_instance_scope=case.chosen_scope,
        confidence=round(min(1.0, max(0.0, case.confidence)), 2),
        outcome_success=case.was_right,
        strategy=case.strategy,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What the server has acknowledged: the largest counts and last confidence by pattern, keys of decisions, feedback.

    It is what keeps counts from going down, and an unchanged instance from sending anything. `sequence` is the number
    of the last push that was acknowledged, and `numbered` of the last that was made.
    """

    sequence: int = 0
    numbered: int = 0
    patterns: Mapping[str, tuple[int, int, int, float]] = field(default_factory=dict)
    episodes: frozenset[str] = frozenset()
    feedback: Mapping[str, Any] | None = None
    pushed_at: datetime | None = None

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        return cls(
            sequence=stored["sequence"],
            numbered=stored["numbered"],
            patterns={key: tuple(said) for key, said in stored["patterns"].items()},
            episodes=frozenset(stored["episodes"]),
            feedback=stored["feedback"],
            pushed_at=datetime.fromisoformat(stored["pushed_at"]) if stored["pushed_at"] else None,
        )

    def stored(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "numbered": self.numbered,
            "patterns": dict(self.patterns),
            "episodes": sorted(self.episodes),
            "feedback": self.feedback,
            "pushed_at": self.pushed_at and self.pushed_at.isoformat(),
        }

    def heard_until(self, sequence: int, begun: Sequence[bytes]) -> "Ledger":
        """As the server knows it, which has heard all pushes up to this one; of those `begun`, the rest is given up.

        A server that has heard less than it acknowledged forgot, or is an older copy: it is told everything again. What
        is given up may arrive yet, so its numbers aren't used again.
        """
        ledger = self if sequence >= self.sequence else Ledger()
        numbers = {number_of(body): body for body in begun}
        for number, body in numbers.items():
            if ledger.sequence < number <= sequence:
                ledger = ledger.with_push(body)
        return replace(ledger, sequence=sequence, numbered=max([sequence, self.numbered, *numbers]))

    def with_push(self, body: bytes) -> "Ledger":
        """After a push: everything that it needs to know stands in the push itself."""
        said = json.loads(body)
        return replace(
            self,
            sequence=max(self.sequence, said["sequence"]),
            numbered=max(self.numbered, said["sequence"]),
            patterns={**self.patterns, **{one["key"]: _said(one) for one in said["patterns"]}},
            episodes=self.episodes | {one["key"] for one in said["episode_summaries"]},
            feedback=said.get("feedback_stats") or self.feedback,
        )


def number_of(push: bytes) -> int:
    """The `sequence` of a push."""
    return int(json.loads(push)["sequence"])


def pushes(learned: Learned, ledger: Ledger, source: InstanceId) -> list[bytes]:
    """The bodies to send, in this order: nothing where nothing is new. The same state always makes the same bytes."""
    patterns = [one for key, known in learned.patterns.items() if (one := _news(known, ledger.patterns.get(key)))]
    episodes = [one for key, one in learned.episodes.items() if key not in ledger.episodes]
    stats = asdict(learned.feedback) if learned.feedback else None
    if stats == ledger.feedback:
        stats = None
    found: list[bytes] = []
    while patterns or episodes or stats:
        body = {
            "protocol_version": PROTOCOL_VERSION,
            "source_instance_id": source,
            "source_instance_name": source,
            "sequence": ledger.numbered + len(found) + 1,
            "patterns": [_told(one) for one in patterns[:_AT_A_TIME]],
            "episode_summaries": [asdict(one) for one in episodes[:_AT_A_TIME]],
            **({"feedback_stats": stats} if stats else {}),
        }
        found.append(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())
        patterns, episodes, stats = patterns[_AT_A_TIME:], episodes[_AT_A_TIME:], None
    return found


def _news(pattern: PatternSync, said: tuple[int, int, int, float] | None) -> PatternSync | None:
    """The pattern with counts that never go down; None where nothing is new."""
    if said is None:
        return pattern
    usage, right, wrong, confidence = said
    right, wrong = max(right, pattern.success_count), max(wrong, pattern.failure_count)
    usage = max(usage, right, wrong, pattern.usage_count)
    if (usage, right, wrong, pattern.confidence) == (*said[:3], confidence):
        return None
    return replace(pattern, usage_count=usage, success_count=right, failure_count=wrong)


def _said(pattern: Mapping[str, Any]) -> tuple[int, int, int, float]:
    return pattern["usage_count"], pattern["success_count"], pattern["failure_count"], pattern["confidence"]


def _told(pattern: PatternSync) -> dict[str, Any]:
    said = asdict(pattern)
    for criteria in ("tag_criteria", "text_criteria"):
        said[criteria] = said[criteria] or asdict(Criteria())
    return {name: value for name, value in said.items() if value is not None}
