"""Whether a pattern speaks for a task, and why."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from hopper.domain.pattern import Criteria, Pattern
from hopper.domain.task import Priority, Task, labels
from hopper.domain.text import folded

_STATED_STRENGTH = 4
"""A pattern's stated confidence counts as much as so many outcomes."""


@dataclass(frozen=True, slots=True)
class Match:
    """A pattern that matches a task; `reason` names the terms that did it, as the pattern spells them."""

    pattern: Pattern
    reason: str


def proven_confidence(pattern: Pattern) -> float:
    """A pattern's confidence after its record: the mean of a Beta posterior around the stated one."""
    outcomes = pattern.success_count + pattern.failure_count
    return (pattern.confidence * _STATED_STRENGTH + pattern.success_count) / (_STATED_STRENGTH + outcomes)


def matching(patterns: Iterable[Pattern], task: Task) -> tuple[Match, ...]:
    """The patterns whose criteria the task meets, all of them."""
    text = folded(f"{task.title}\n{task.description or ''}")
    tags = set(labels(task.tags))
    found = []
    for pattern in patterns:
        why = reasons(pattern, text, tags, task.priority)
        if why:
            found.append(Match(pattern, " and ".join(why)))
    return tuple(found)


@lru_cache(maxsize=4096)
def folded_term(term: str) -> str:
    """Patterns are matched with every task, and held against many rules; their terms stay the same."""
    return folded(term)


def reasons(pattern: Pattern, text: str, tags: set[str], priority: Priority | None) -> list[str]:
    """Why each of the pattern's criteria is met by a folded text and labels; empty when one of them isn't."""
    found = []
    if pattern.tag_criteria and not pattern.tag_criteria.is_empty:
        met = _met(pattern.tag_criteria, lambda term: term.casefold() in tags)
        if met is None:
            return []
        found.append(f"tag {met}")
    if pattern.text_criteria and not pattern.text_criteria.is_empty:
        met = _met(pattern.text_criteria, lambda term: folded_term(term) in text)
        if met is None:
            return []
        found.append(f"text {met}")
    if pattern.priority_criteria:
        if priority is not pattern.priority_criteria:
            return []
        found.append(f"priority {priority}")
    return found


def _met(criteria: Criteria, has: Callable[[str], bool]) -> str | None:
    """The terms that were found, in words; None when the criteria aren't met."""
    found = [term for term in criteria.any if has(term)]
    if (criteria.any and not found) or any(has(term) for term in criteria.none):
        return None
    if not all(has(term) for term in criteria.all):
        return None
    named = [*found, *criteria.all] or [f"without {term}" for term in criteria.none]
    return ", ".join(f"“{term}”" for term in named)
