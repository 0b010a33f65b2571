"""Rules as mining sees them: what a task has to have, and where it then belongs.

A rule's key is its identity, however a pattern that stands for it is written: criteria in normal form and target.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from hopper.domain.ids import InstanceId
from hopper.domain.pattern import Criteria, Pattern, PatternType
from hopper.domain.task import Priority
from hopper.domain.text import folded
from hopper.routing.patterns import folded_term


class Criterion(NamedTuple):
    """One thing that a task has to have: a `tag`, a word or phrase (`text`), or a `priority`."""

    kind: str
    term: str


Conditions = tuple[Criterion, ...]


class RuleKey(NamedTuple):
    """A rule's identity; the criteria are sorted."""

    criteria: Conditions
    target: InstanceId

    def digest(self) -> str:
        """64 hexadecimal digits that stand for it."""
        return sha256("\n".join([*(f"{c.kind} {c.term}" for c in self.criteria), self.target]).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule with what speaks for it.

    `right` of the `matched` tasks belonged to the target. `confidence` is the mean and `lower` the lower bound of the
    Beta posterior, both of evidence that ages; `refines` are the more general rules that it makes more precise.
    """

    key: RuleKey
    confidence: float
    lower: float
    right: int
    matched: int
    refines: tuple[RuleKey, ...] = ()


def key_of(pattern: Pattern) -> RuleKey | None:
    """The rule that a pattern stands for.

    None for one that says more than a rule can (alternatives, exceptions), or names no instance.
    """
    criteria: set[Criterion] = set()
    for kind, terms in (("tag", pattern.tag_criteria), ("text", pattern.text_criteria)):
        if terms is None:
            continue
        if terms.none or len(terms.any) > 1:
            return None
        criteria |= {Criterion(kind, _normal(kind, term)) for term in (*terms.any, *terms.all)}
    if pattern.priority_criteria:
        criteria.add(Criterion("priority", pattern.priority_criteria))
    if not criteria or pattern.target_instance is None:
        return None
    return RuleKey(tuple(sorted(criteria)), pattern.target_instance)


def asked(pattern: Pattern) -> set[Criterion]:
    """Everything that a pattern asks for, be it one of several."""
    terms = (("tag", pattern.tag_criteria), ("text", pattern.text_criteria))
    found = {Criterion(kind, _normal(kind, t)) for kind, these in terms if these for t in (*these.any, *these.all)}
    return found | ({Criterion("priority", pattern.priority_criteria)} if pattern.priority_criteria else set())


def written(
    conditions: Conditions,
) -> tuple[PatternType, Criteria | None, Criteria | None, Priority | None]:
    """The type of a pattern that says the same, and its tag, text and priority criteria."""
    by_kind = {kind: tuple(c.term for c in conditions if c.kind == kind) for kind in ("tag", "text", "priority")}
    kinds = [kind for kind, terms in by_kind.items() if terms]
    return (
        PatternType(kinds[0]) if len(kinds) == 1 else PatternType.COMBINED,
        _terms(by_kind["tag"]),
        _terms(by_kind["text"]),
        Priority(by_kind["priority"][0]) if by_kind["priority"] else None,
    )


def covers(pattern: Pattern, criteria: Conditions) -> bool:
    """Whether every task that meets the criteria is sure to match the pattern, too: it is as wide or wider."""
    had = {
        "tag": {term for c in criteria if c.kind == "tag" for term in (c.term, c.term.partition("=")[0])},
        "text": {c.term for c in criteria if c.kind == "text"},
    }
    for kind, terms in (("tag", pattern.tag_criteria), ("text", pattern.text_criteria)):
        if terms and not terms.is_empty and not _surely_met(terms, kind, had[kind]):
            return False
    wanted = pattern.priority_criteria
    return wanted is None or Criterion("priority", wanted) in criteria


def implied(conditions: Conditions) -> set[Criterion]:
    """Each of the conditions, and what every task that meets it meets as well."""
    return {*conditions, *(wide for criterion in conditions for wide in generalisations(criterion))}


def generalisations(criterion: Criterion) -> tuple[Criterion, ...]:
    """What every task that meets the criterion meets as well: the words of a phrase, the name of a tag with a value."""
    if criterion.kind == "text" and " " in criterion.term:
        return tuple(Criterion("text", word) for word in dict.fromkeys(criterion.term.split()))
    if criterion.kind == "tag" and "=" in criterion.term:
        return (Criterion("tag", criterion.term.partition("=")[0]),)
    return ()


def _surely_met(terms: Criteria, kind: str, had: set[str]) -> bool:
    def is_had(term: str) -> bool:
        if kind == "tag":
            return term.casefold() in had
        return any(folded_term(term) in folded_term(phrase) for phrase in had)

    return not terms.none and all(map(is_had, terms.all)) and (not terms.any or any(map(is_had, terms.any)))


def _terms(terms: tuple[str, ...]) -> Criteria | None:
    """One term stands in `any`, as people would write it; several have to be there all."""
    if not terms:
        return None
    return Criteria(any=terms) if len(terms) == 1 else Criteria(all=terms)


def _normal(kind: str, term: str) -> str:
    return folded(term).strip() if kind == "text" else term.casefold()
