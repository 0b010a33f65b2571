"""Routing patterns: rules that send tasks to an instance, made by people or learned."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from hopper.domain.errors import Invalid
from hopper.domain.ids import InstanceId, PatternId
from hopper.domain.instance import Scope
from hopper.domain.task import Priority


class PatternType(StrEnum):
    """Which criteria a pattern has; a combined one needs several, and all of them must match."""

    TAG = "tag"
    TEXT = "text"
    PRIORITY = "priority"
    COMBINED = "combined"


class PatternSource(StrEnum):
    """Where a pattern came from; a manual one is never overridden by the others."""

    MANUAL = "manual"
    LEARNED = "learned"
    NORTHBOUND = "northbound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Terms a task must have: at least one of `any`, every one of `all`, and none of `none`.

    Terms of a text criterion are words or phrases, matched whole and whatever their case; terms of a tag
    criterion are `name` or `name=value`.
    """

    any: tuple[str, ...] = ()
    all: tuple[str, ...] = ()
    none: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.any or self.all or self.none)


SharedTarget = tuple[Scope | None, str | None]
"""A scope, or else what other Hoppers call an instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A rule and its record: `success_count` and `failure_count` are the known outcomes of its decisions.

    A learned one's `confidence` comes from all past tasks that it matches, whoever decided about them. `learned_key`
    is the identity of the rule that was learned; it stays when a person changes the pattern and so makes it theirs.
    One that came from other Hoppers names a `target_scope`, or by a `target_name` what they call its target, and no
    instance; its `learned_key` is the identity that they share, and its record the sum of theirs.
    `switched_by_person` says that a person has switched it on or off, which learning then leaves alone.
    """

    id: PatternId
    name: str
    description: str | None = None
    pattern_type: PatternType
    target_instance: InstanceId | None
    target_scope: Scope | None = None
    target_name: str | None = None
    tag_criteria: Criteria | None = None
    text_criteria: Criteria | None = None
    priority_criteria: Priority | None = None
    confidence: float = 0.5
    usage_count: int = 0
    success_count: int = 0
    failure_count: int = 0
    is_active: bool = True
    source: PatternSource = PatternSource.MANUAL
    source_instance_id: InstanceId | None = None
    learned_key: str | None = None
    switched_by_person: bool = False
    version: int = 1
    created_at: datetime
    last_used_at: datetime | None = None
    last_refined_at: datetime | None = None

    @property
    def shared_target(self) -> SharedTarget:
        """The instances that a pattern from other Hoppers may mean: those of a name, or else of a scope."""
        return (None, self.target_name) if self.target_name is not None else (self.target_scope, None)


@dataclass(frozen=True, slots=True)
class TargetLabel:
    """What other Hoppers may call an instance: its scope, and a name that they would also give it, if there is one."""

    scope: Scope
    name: str | None = None

    @property
    def meant_by(self) -> tuple[SharedTarget, ...]:
        """What patterns that route to an instance such as this have as their `shared_target`."""
        of_scope: SharedTarget = (self.scope, None)
        return (of_scope,) if self.name is None else (of_scope, (None, self.name))


class HasCriteria(Protocol):
    """Whatever says by its type which criteria it has."""

    @property
    def pattern_type(self) -> PatternType: ...
    @property
    def tag_criteria(self) -> Criteria | None: ...
    @property
    def text_criteria(self) -> Criteria | None: ...
    @property
    def priority_criteria(self) -> Priority | None: ...


def pattern_text(
    name: str, description: str | None, tag_criteria: Criteria | None, text_criteria: Criteria | None
) -> str:
    """The text that stands for a pattern in similarity search, made like a task's.

    What a pattern asks for belongs to it; the terms that it refuses don't, and neither do its record and its rank.
    """
    words = _wanted(text_criteria)
    tags = dict.fromkeys(term.partition("=")[0] for term in _wanted(tag_criteria))
    return f"{name}\n{description or ''}\n{', '.join(words)}\nTags: {', '.join(tags)}"


def _wanted(criteria: Criteria | None) -> tuple[str, ...]:
    return criteria.any + criteria.all if criteria else ()


def check_criteria(pattern: HasCriteria) -> None:
    """Raise Invalid unless the pattern has just the criteria that its type names."""
    given = {
        PatternType.TAG: pattern.tag_criteria is not None and not pattern.tag_criteria.is_empty,
        PatternType.TEXT: pattern.text_criteria is not None and not pattern.text_criteria.is_empty,
        PatternType.PRIORITY: pattern.priority_criteria is not None,
    }
    if pattern.pattern_type is PatternType.COMBINED:
        if sum(given.values()) < 2:
            raise Invalid("pattern_type", "A combined pattern needs at least two of tag, text and priority criteria.")
        return
    if not given[pattern.pattern_type]:
        raise Invalid(
            f"{pattern.pattern_type}_criteria",
            f"A {pattern.pattern_type} pattern needs {pattern.pattern_type}_criteria.",
        )
    for kind, present in given.items():
        if present and kind is not pattern.pattern_type:
            raise Invalid(
                f"{kind}_criteria",
                f"A {pattern.pattern_type} pattern can't have these; make it a combined one.",
            )
