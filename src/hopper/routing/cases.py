"""What past tasks say of patterns, whoever decided about them: also of one that was learned and hasn't decided yet."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from hopper.domain.pattern import Pattern
from hopper.domain.task import labels
from hopper.domain.text import folded
from hopper.routing.examples import Example
from hopper.routing.patterns import folded_term, reasons
from hopper.routing.rules import Criterion

_ANY = Criterion("any", "")
"""What each task has."""


def with_cases(patterns: Sequence[Pattern], examples: Iterable[Example]) -> tuple[Pattern, ...]:
    """The patterns with a record of all past tasks that they match, where that of their own decisions is smaller."""
    sought: dict[Criterion, list[Pattern]] = defaultdict(list)
    for pattern in patterns:
        for sign in _signs(pattern):
            sought[sign].append(pattern)
    right, wrong = Counter[str](), Counter[str]()
    for example in examples:
        text, tags = folded(example.text), set(labels(example.tags))
        signs = {_ANY, *(Criterion("tag", tag) for tag in tags), *(Criterion("text", word) for word in text.split())}
        near = {pattern.id: pattern for sign in signs & sought.keys() for pattern in sought[sign]}
        for id, pattern in near.items():
            if not reasons(pattern, text, tags, example.priority):
                continue
            if example.target is not None:
                (right if example.target == pattern.target_instance else wrong)[id] += 1
            elif example.wrong == pattern.target_instance:
                wrong[id] += 1
    return tuple(_with(pattern, right[pattern.id], wrong[pattern.id]) for pattern in patterns)


def _with(pattern: Pattern, right: int, wrong: int) -> Pattern:
    right, wrong = max(right, pattern.success_count), max(wrong, pattern.failure_count)
    used = max(pattern.usage_count, right + wrong)
    return replace(pattern, usage_count=used, success_count=right, failure_count=wrong)


def _signs(pattern: Pattern) -> Iterator[Criterion]:
    """One of these every task has that the pattern matches: so that each task is held against few of hundreds."""
    for kind, criteria in (("tag", pattern.tag_criteria), ("text", pattern.text_criteria)):
        if criteria and (terms := criteria.all[:1] or criteria.any):
            yield from (_sign(kind, term) for term in terms)
            return
    yield _ANY


def _sign(kind: str, term: str) -> Criterion:
    if kind == "tag":
        return Criterion(kind, term.casefold())
    words = folded_term(term).split()
    return Criterion(kind, words[0]) if words else _ANY
