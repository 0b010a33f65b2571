"""How what sources send becomes one state, whatever the order, however often, and with whatever was lost between.

A source's contribution to a pattern is cumulative, so that joining two of them takes the larger of each count: that is
commutative, associative and idempotent (a state-based CRDT; Shapiro et al. 2011), and what is merged is a sum over
sources. What replaces rather than grows (a confidence, the feedback statistics) is the one with the highest sequence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from hopper.domain.errors import Invalid
from hopper.domain.pattern import check_criteria
from hopper.sync.identity import LONGEST_NAME, CanonicalPattern, canonical
from hopper.sync.payload import EpisodeSummary, FeedbackStats, NorthboundPayload, PatternSync

_COUNTS = ("usage_count", "success_count", "failure_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What one source says of one pattern; `sequence` is that of the push whose confidence it has."""

    usage_count: int
    success_count: int
    failure_count: int
    confidence: float
    sequence: int = 0

    @classmethod
    def of(cls, pattern: PatternSync, sequence: int) -> "Contribution":
        return cls(
            usage_count=pattern.usage_count,
            success_count=pattern.success_count,
            failure_count=pattern.failure_count,
            confidence=pattern.confidence,
            sequence=sequence,
        )

    def says_the_same(self, other: "Contribution") -> bool:
        """Whether merging the other one changes nothing that anybody could see."""
        return self.confidence == other.confidence and all(getattr(self, c) == getattr(other, c) for c in _COUNTS)


def join(one: Contribution, other: Contribution) -> Contribution:
    """What is known after both, whichever came first."""
    sequence, confidence = max((one.sequence, one.confidence), (other.sequence, other.confidence))
    return Contribution(
        usage_count=max(one.usage_count, other.usage_count),
        success_count=max(one.success_count, other.success_count),
        failure_count=max(one.failure_count, other.failure_count),
        confidence=confidence,
        sequence=sequence,
    )


@dataclass(frozen=True, slots=True)
class Contributed:
    """A pattern and what a source says of it; `place` is where the payload has it first."""

    place: int
    pattern: CanonicalPattern
    contribution: Contribution


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributionMerge:
    """`joined` is what is to be stored; `new` and `changed` count patterns."""

    joined: tuple[Contributed, ...]
    new: int
    changed: int


def contributed(patterns: Sequence[PatternSync], sequence: int = 0) -> Mapping[str, Contributed]:
    """A push's patterns by their keys; those that are the same are joined.

    Raises Invalid for one that lacks the criteria of its type, whose target's name is too long as it is compared (some
    letters stand for words), or whose source knows it by another key.
    """
    found: dict[str, Contributed] = {}
    for place, pattern in enumerate(patterns):
        shared, given = _checked(pattern, place), Contribution.of(pattern, sequence)
        before = found.get(shared.key)
        if before:
            found[shared.key] = replace(before, contribution=join(before.contribution, given))
        else:
            found[shared.key] = Contributed(place, shared, given)
    return found


def _checked(pattern: PatternSync, place: int) -> CanonicalPattern:
    try:
        check_criteria(pattern)
    except Invalid as error:
        raise Invalid(f"patterns.{place}.{error.field}", error.message) from None
    shared = canonical(pattern)
    if len(shared.target_name or "") > LONGEST_NAME:
        raise Invalid(f"patterns.{place}.target_name", f"Its words have more than {LONGEST_NAME} characters.")
    if pattern.key not in (None, shared.key):
        raise Invalid(f"patterns.{place}.key", f"The key of this pattern is {shared.key}: leave it out, or mend it.")
    return shared


def merge_contributions(known: Mapping[str, Contribution], given: Mapping[str, Contributed]) -> ContributionMerge:
    """Join what a source said before with what it says now. Raises Invalid where a later push says less."""
    joined: list[Contributed] = []
    new = changed = 0
    for key, one in given.items():
        before = known.get(key)
        if before is None:
            joined.append(one)
            new += 1
            continue
        _refuse_less(before, one)
        after = join(before, one.contribution)
        changed += not after.says_the_same(before)
        if after != before:
            joined.append(replace(one, contribution=after))
    return ContributionMerge(joined=tuple(joined), new=new, changed=changed)


def _refuse_less(before: Contribution, one: Contributed) -> None:
    """An earlier push that arrives late says less, and harms nothing; a later one that does is wrong."""
    given = one.contribution
    if given.sequence <= before.sequence:
        return
    for count in _COUNTS:
        if getattr(given, count) < getattr(before, count):
            raise Invalid(
                f"patterns.{one.place}.{count}",
                f"Counts are cumulative: this was {getattr(before, count)} in the push {before.sequence}, and is "
                f"{getattr(given, count)} in the push {given.sequence}.",
            )


def newest(before: tuple[int, FeedbackStats] | None, given: tuple[int, FeedbackStats]) -> tuple[int, FeedbackStats]:
    """The statistics of the later push; of two without an order, those of more feedback."""
    return given if before is None or _rank(given) > _rank(before) else before


def _rank(told: tuple[int, FeedbackStats]) -> tuple[float, ...]:
    sequence, stats = told
    return (
        sequence,
        stats.total_feedback,
        stats.good_matches,
        stats.bad_matches,
        -1.0 if stats.avg_quality_score is None else stats.avg_quality_score,
        -1.0 if stats.avg_complexity is None else stats.avg_complexity,
    )


def keyed(payload: NorthboundPayload) -> Mapping[str, EpisodeSummary]:
    """The summaries by the keys that they are stored under, each once.

    One without a key of its own is known by the push that it came with and its place there.
    """
    source = payload.source_instance_id
    found: dict[str, EpisodeSummary] = {}
    for at, episode in enumerate(payload.episode_summaries):
        own = ("key", episode.key) if episode.key is not None else (payload.digest, str(at))
        found.setdefault(sha256("\0".join((source, *own)).encode()).hexdigest(), episode)
    return found
