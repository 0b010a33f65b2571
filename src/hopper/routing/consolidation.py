"""What becomes of the learned patterns when the rules that outcomes bear out are known. Pure.

People have the last word: patterns that they wrote, changed or switched stay as they are, and no rule is learned that
goes against an active one of theirs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from hopper.domain.ids import InstanceId, PatternId, new_id
from hopper.domain.pattern import Pattern, PatternSource
from hopper.routing.rules import Conditions, Criterion, Rule, RuleKey, asked, covers, implied, key_of, written

_NAME_LENGTH = 200
_NOTEWORTHY = 0.01
"""Confidence moves a little with every outcome of other tasks, through the prior: that alone is no change."""


class ChangeKind(StrEnum):
    """What consolidation does to a pattern; `refined`: made, to be more precise than another one."""

    MADE = "made"
    REFINED = "refined"
    UPDATED = "updated"
    DEACTIVATED = "deactivated"
    REACTIVATED = "reactivated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A pattern as it is to be, and the patterns that it makes more precise."""

    change: ChangeKind
    pattern: Pattern
    derived_from: tuple[PatternId, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes, and how many learned patterns stay as they are."""

    changes: tuple[Change, ...]
    unchanged: int


def standing(patterns: Iterable[Pattern]) -> tuple[RuleKey, ...]:
    """The rules that active learned patterns stand for."""
    learned = (p for p in patterns if p.source is PatternSource.LEARNED and p.is_active)
    return tuple(key for pattern in learned if (key := key_of(pattern)))


def permitted(patterns: Sequence[Pattern], rejected: Set[str] = frozenset()) -> Callable[[RuleKey], bool]:
    """Tells whether a rule may be learned beside people's word. `rejected` are digests of rules that they deleted."""
    spoken = {digest for pattern in patterns if (digest := _overruled(pattern))} | rejected
    manual = [pattern for pattern in patterns if pattern.source is PatternSource.MANUAL and pattern.is_active]
    said = {key_of(pattern) for pattern in manual}
    about: dict[Criterion, list[Pattern]] = defaultdict(list)
    for pattern in manual:
        for criterion in asked(pattern):
            about[criterion].append(pattern)

    def allowed(key: RuleKey) -> bool:
        if key in said or key.digest() in spoken:
            return False
        nearby = (pattern for criterion in implied(key.criteria) for pattern in about.get(criterion, ()))
        return not any(pattern.target_instance != key.target and covers(pattern, key.criteria) for pattern in nearby)

    return allowed


def planned(
    rules: Sequence[Rule],
    patterns: Sequence[Pattern],
    derivations: Mapping[PatternId, tuple[PatternId, ...]],
    names: Mapping[InstanceId, str],
    now: datetime,
    rejected: Set[str] = frozenset(),
) -> Plan:
    """The changes that bring learned patterns to what the rules say.

    `patterns` are all learned ones and people's own, `derivations` what is stored of them, `names` those of the
    instances that there are, and `rejected` the rules that people deleted.
    """
    learned = {key: p for p in patterns if p.source is PatternSource.LEARNED and (key := key_of(p))}
    allowed = permitted(patterns, rejected)
    wanted = {rule.key: rule for rule in rules if rule.key.target in names and allowed(rule.key)}
    after = {key: _as_said(rule, learned.get(key), names[key.target], now) for key, rule in wanted.items()}
    changes = []
    for key, pattern in after.items():
        derived = tuple(sorted(after[wider].id for wider in wanted[key].refines if wider in after))
        kind = _kind(learned.get(key), pattern, derived, derivations.get(pattern.id, ()))
        if kind:
            changes.append(Change(change=kind, pattern=replace(pattern, last_refined_at=now), derived_from=derived))
    for key, pattern in learned.items():
        if key not in wanted and pattern.is_active and not pattern.switched_by_person:
            off = replace(pattern, is_active=False, last_refined_at=now)
            changes.append(Change(change=ChangeKind.DEACTIVATED, pattern=off, derived_from=derivations.get(off.id, ())))
    touched = {change.pattern.id for change in changes}
    return Plan(tuple(changes), sum(pattern.id not in touched for pattern in learned.values()))


def _overruled(pattern: Pattern) -> str | None:
    """The rule that a person took over from learning, or switched off, if this pattern came from there."""
    if pattern.source is PatternSource.MANUAL or (pattern.switched_by_person and not pattern.is_active):
        return pattern.learned_key
    return None


def _kind(
    before: Pattern | None, after: Pattern, derived: tuple[PatternId, ...], stored: tuple[PatternId, ...]
) -> ChangeKind | None:
    if before is None:
        return ChangeKind.REFINED if derived else ChangeKind.MADE
    if not before.is_active:
        return ChangeKind.REACTIVATED
    return ChangeKind.UPDATED if before != after or derived != stored else None


def _as_said(rule: Rule, pattern: Pattern | None, target: str, now: datetime) -> Pattern:
    """The pattern that says what the rule does: the present one if there is one, else a new one."""
    description = f"{_support(rule)} belonged to {target}."
    confidence = rule.confidence
    if pattern and pattern.description == description and abs(pattern.confidence - confidence) < _NOTEWORTHY:
        confidence = pattern.confidence
    return replace(
        pattern or _new(rule.key, now),
        name=_name(rule.key.criteria, target),
        description=description,
        confidence=confidence,
        is_active=True,
    )


def _new(key: RuleKey, now: datetime) -> Pattern:
    pattern_type, tags, texts, priority = written(key.criteria)
    return Pattern(
        id=new_id(),
        name="",
        pattern_type=pattern_type,
        target_instance=key.target,
        tag_criteria=tags,
        text_criteria=texts,
        priority_criteria=priority,
        source=PatternSource.LEARNED,
        learned_key=key.digest(),
        created_at=now,
    )


def _name(criteria: Conditions, target: str) -> str:
    """“mentions “sourdough” → Bakery”, within the length that a name may have."""
    said = _in_words(criteria, "tagged", "mentions", "priority")
    return _clipped(f"{said} → {target}", _NAME_LENGTH)


def _support(rule: Rule) -> str:
    said = _in_words(rule.key.criteria, "have the tag", "mention", "are of priority")
    which = f"{rule.right} of the" if rule.right < rule.matched else "All"
    return f"{which} {rule.matched} past tasks that {said}"


def _in_words(criteria: Conditions, tag: str, text: str, priority: str) -> str:
    parts = []
    for kind, verb in (("tag", tag), ("text", text), ("priority", priority)):
        terms = [c.term if kind == "priority" else f"“{c.term}”" for c in criteria if c.kind == kind]
        if terms:
            parts.append(f"{verb} {' and '.join(terms)}")
    return " and ".join(parts)


def _clipped(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
