"""When two patterns are the same: the same type, criteria that ask for the same, the same target.

What a source calls a pattern is no part of it, and isn't kept: a name could say whose it is.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from hopper.domain.instance import Scope
from hopper.domain.pattern import Criteria, PatternType
from hopper.domain.task import Priority
from hopper.domain.text import folded
from hopper.sync.payload import PatternSync
from hopper.sync.targets import plain

LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CanonicalPattern:
    """A pattern as all sources share it: terms in normal form and in order, and a name made from them."""

    key: str
    name: str
    pattern_type: PatternType
    tag_criteria: Criteria | None
    text_criteria: Criteria | None
    priority_criteria: Priority | None
    target_scope: Scope | None
    target_name: str | None


def canonical(pattern: PatternSync) -> CanonicalPattern:
    """The pattern without anything that only its source says of it."""
    tags = _canonical(pattern.tag_criteria, lambda term: term.strip().casefold())
    text = _canonical(pattern.text_criteria, lambda term: folded(term).strip())
    said = [*_parts("tag", tags), *_parts("text", text)]
    if pattern.priority_criteria:
        said.append(f"priority {pattern.priority_criteria}")
    name = plain(pattern.target_name) or None if pattern.target_name else None
    target = f"{pattern.target_scope or ''} {name}" if name else pattern.target_scope or ""
    return CanonicalPattern(
        key=sha256("\n".join(["northbound", pattern.pattern_type, *said, f"to {target}"]).encode()).hexdigest(),
        name=_named(tags, text, pattern.priority_criteria, name or pattern.target_scope or ""),
        pattern_type=pattern.pattern_type,
        tag_criteria=tags,
        text_criteria=text,
        priority_criteria=pattern.priority_criteria,
        target_scope=pattern.target_scope,
        target_name=name,
    )


def _canonical(criteria: Criteria | None, normal: Callable[[str], str]) -> Criteria | None:
    """The one way to ask for this: who asks for one of a single term asks for all of it."""
    if criteria is None or criteria.is_empty:
        return None
    one_of, every, without = ({normal(term) for term in terms} for terms in (criteria.any, criteria.all, criteria.none))
    if len(one_of) == 1:
        every |= one_of
    if one_of & every:
        one_of = set()
    if len(every) == 1 and not one_of:
        every, one_of = set(), every
    return Criteria(any=tuple(sorted(one_of)), all=tuple(sorted(every)), none=tuple(sorted(without)))


def _parts(kind: str, criteria: Criteria | None) -> Iterable[str]:
    if criteria:
        for group in ("any", "all", "none"):
            for term in getattr(criteria, group):
                yield f"{kind} {group} {term!r}"


def _named(tags: Criteria | None, text: Criteria | None, priority: Priority | None, target: str) -> str:
    said = []
    for criteria in (tags, text):
        if criteria:
            said += [" or ".join(criteria.any)] if criteria.any else []
            said += criteria.all
            said += [f"not {term}" for term in criteria.none]
    said += [str(priority)] if priority else []
    ending = f" → {target}" if target else ""
    named = ", ".join(said)
    most = LONGEST_NAME - len(ending)
    return (named if len(named) <= most else f"{named[: most - 1]}…") + ending
