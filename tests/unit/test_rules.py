"""Rules and patterns: the same thing is recognised however it is written, and what is wider as wider."""

from typing import Any

import pytest
from tests.builders import NOW, a_pattern

from hopper.domain.pattern import Criteria, Pattern, PatternType, check_criteria
from hopper.domain.task import Priority
from hopper.routing.consolidation import ChangeKind, permitted, planned, standing
from hopper.routing.rules import Criterion, Rule, RuleKey, covers, key_of

TEXT = Criterion("text", "flat tyre")
TAG = Criterion("tag", "area=lift")
URGENT = Criterion("priority", "urgent")


def texts(**terms: Any) -> Pattern:
    return a_pattern("garage", pattern_type=PatternType.TEXT, text_criteria=Criteria(**terms))


def tags(**terms: Any) -> Pattern:
    return a_pattern("garage", tag_criteria=Criteria(**terms))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (texts(any=("Flat  TYRE",)), texts(all=("flat tyre",))),
        (texts(all=("b", "a")), texts(all=("A", "b", "B"))),
        (tags(any=("Area=Lift",)), tags(all=("area=lift",))),
    ],
)
def test_one_rule_has_one_key(one: Pattern, other: Pattern) -> None:
    """What a person wrote would be learned a second time because it is spelled otherwise."""
    assert key_of(one) == key_of(other) is not None
    assert key_of(
        a_pattern(
            "office",
            **{"pattern_type": one.pattern_type, "tag_criteria": one.tag_criteria, "text_criteria": one.text_criteria},
        )
    ) != key_of(one)


def test_what_says_more_than_a_rule_has_no_key() -> None:
    """Two patterns would be taken for the same although one of them has an exception."""
    assert key_of(texts(any=("a", "b"))) is None
    assert key_of(texts(any=("a",), none=("b",))) is None


WIDER = [
    (texts(any=("tyre", "brakes")), True),
    (texts(all=("flat", "tyre")), True),
    (texts(any=("Flat Tyre",)), True),
    (texts(any=("tyre flat",)), False),
    (texts(any=("tyr",)), False),
    (texts(all=("flat", "brakes")), False),
    (texts(any=("tyre",), none=("rain",)), False),
    (tags(any=("area",)), True),
    (tags(any=("AREA=lift",)), True),
    (tags(any=("area=oven",)), False),
    (a_pattern(pattern_type=PatternType.PRIORITY, priority_criteria=Priority.URGENT), True),
    (a_pattern(pattern_type=PatternType.PRIORITY, priority_criteria=Priority.LOW), False),
    (
        a_pattern(
            pattern_type=PatternType.COMBINED,
            tag_criteria=Criteria(all=("area",)),
            text_criteria=Criteria(any=("tyre",)),
            priority_criteria=Priority.URGENT,
        ),
        True,
    ),
]


@pytest.mark.parametrize(("pattern", "is_wider"), WIDER)
def test_a_pattern_covers_what_surely_matches_it(pattern: Pattern, is_wider: bool) -> None:
    """A learned rule would contradict a person's, or be kept back by one that doesn't concern it."""
    assert covers(pattern, (URGENT, TAG, TEXT)) is is_wider
    assert permitted([pattern])(RuleKey((URGENT, TAG, TEXT), "office")) is not is_wider


def a_rule(*criteria: Criterion, to: str = "garage", refines: tuple[RuleKey, ...] = (), right: int = 18) -> Rule:
    key = RuleKey(tuple(sorted(criteria)), to)
    return Rule(key=key, confidence=0.9, lower=0.8, right=right, matched=19, refines=refines)


def test_patterns_are_named_for_people() -> None:
    """Nobody would know what a learned pattern does, or why it is there."""
    rules = [a_rule(TEXT), a_rule(TAG, TEXT), a_rule(URGENT, TEXT), a_rule(TEXT, Criterion("text", "rain"), right=19)]
    plan = planned(rules, [], {}, {"garage": "Garage & Söhne"}, NOW)
    assert [(change.pattern.name, change.pattern.description) for change in plan.changes] == [
        (
            "mentions “flat tyre” → Garage & Söhne",
            "18 of the 19 past tasks that mention “flat tyre” belonged to Garage & Söhne.",
        ),
        (
            "tagged “area=lift” and mentions “flat tyre” → Garage & Söhne",
            "18 of the 19 past tasks that have the tag “area=lift” and mention “flat tyre” belonged to Garage & Söhne.",
        ),
        (
            "mentions “flat tyre” and priority urgent → Garage & Söhne",
            "18 of the 19 past tasks that mention “flat tyre” and are of priority urgent belonged to Garage & Söhne.",
        ),
        (
            "mentions “flat tyre” and “rain” → Garage & Söhne",
            "All 19 past tasks that mention “flat tyre” and “rain” belonged to Garage & Söhne.",
        ),
    ]
    for change in plan.changes:
        check_criteria(change.pattern)


def test_a_name_keeps_its_length_whatever_the_instance_is_called() -> None:
    """Consolidation would fail as a whole for one long name."""
    [change] = planned([a_rule(TEXT)], [], {}, {"garage": "x" * 200}, NOW).changes
    assert len(change.pattern.name) == 200


def test_a_made_pattern_stands_for_its_rule() -> None:
    """The next consolidation wouldn't know it again."""
    rules = [a_rule(TEXT), a_rule(TAG), a_rule(URGENT, TAG, to="office"), a_rule(TEXT, TAG)]
    names = {"garage": "g", "office": "o"}
    made = [change.pattern for change in planned(rules, [], {}, names, NOW).changes]
    assert set(standing(made)) == {rule.key for rule in rules}
    assert planned(rules, made, {}, names, NOW).changes == ()


def test_a_hair_more_of_confidence_is_no_change() -> None:
    """Every outcome anywhere would give every pattern a new version."""
    from dataclasses import replace

    [made] = [change.pattern for change in planned([a_rule(TEXT)], [], {}, {"garage": "g"}, NOW).changes]
    nearly = replace(a_rule(TEXT), confidence=0.905)
    assert planned([nearly], [made], {}, {"garage": "g"}, NOW).changes == ()
    [change] = planned([replace(nearly, confidence=0.92)], [made], {}, {"garage": "g"}, NOW).changes
    assert (change.change, change.pattern.id) == (ChangeKind.UPDATED, made.id)


def test_only_active_rules_of_people_hold_learning_back() -> None:
    """A rule that was switched off long ago would still keep Hopper from learning."""
    key = RuleKey((TEXT,), "office")
    against = texts(any=("brakes", "Tyre"))
    assert not permitted([against])(key)
    assert permitted([against])(RuleKey((TEXT,), "garage"))
    assert permitted(
        [a_pattern("garage", is_active=False, pattern_type=PatternType.TEXT, text_criteria=Criteria(any=("tyre",)))]
    )(key)
