"""Whether a pattern speaks for a task: tags, words, priority, and all of them together."""

import time
from typing import Any

import pytest
from tests.builders import a_pattern, a_task

from hopper.domain.pattern import Criteria, Pattern, PatternType
from hopper.domain.task import Priority, Task
from hopper.domain.text import folded
from hopper.routing.features import features
from hopper.routing.patterns import matching


def by_tags(**terms: Any) -> Pattern:
    return a_pattern(tag_criteria=Criteria(**terms))


def by_text(**terms: Any) -> Pattern:
    return a_pattern(pattern_type=PatternType.TEXT, text_criteria=Criteria(**terms))


def matches(pattern: Pattern, task: Task) -> bool:
    return bool(matching([pattern], task))


def reason(pattern: Pattern, task: Task) -> str:
    [match] = matching([pattern], task)
    return match.reason


@pytest.mark.parametrize(
    ("term", "tags", "expected"),
    [
        ("cards", {"cards": True}, True),
        ("Cards", {"cARDS": True}, True),
        ("cards", {"cards": "visa"}, True),
        ("cards", {"card": True, "cards2": True}, False),
        ("area=ui", {"area": "ui"}, True),
        ("AREA=UI", {"area": "Ui"}, True),
        ("area=ui", {"area": "api"}, False),
        ("area=ui", {"area": True}, False),
        ("area=ui", {"ui": True, "area": True}, False),
        ("area=true", {"area": True}, False),
        ("cards", {}, False),
    ],
)
def test_a_tag_term_is_a_name_or_a_name_with_its_value(term: str, tags: dict[str, Any], expected: bool) -> None:
    """A rule on a tag would take tasks with another value, or miss those that spell the tag in capitals."""
    assert matches(by_tags(any=(term,)), a_task(tags=tags)) is expected


@pytest.mark.parametrize(
    ("term", "title", "expected"),
    [
        ("card", "My card is lost", True),
        ("CARD", "my Card is lost", True),
        ("card", "Cardigan and discard", False),
        ("card", "cards", False),
        ("card", "(card)", True),
        ("card", "card-holder", True),
        ("lost card", "A lost card!", True),
        ("lost card", "A lost, (card)", True),
        ("lost  card", "a lost\tcard", True),
        ("lost card", "card lost", False),
        ("lost card", "lost my card", False),
        ("lost card", "almost cardless", False),
        ("straße", "STRASSE gesperrt", True),
        ("über", "ÜBER uns", True),
        ("e_mail", "e mail", False),
    ],
)
def test_a_text_term_is_found_as_whole_words_whatever_their_case(term: str, title: str, expected: bool) -> None:
    """A rule on “card” would take every task about a cardigan, or miss a title in capitals."""
    assert matches(by_text(any=(term,)), a_task(title)) is expected


def test_words_are_looked_for_in_the_description_too() -> None:
    """A rule would miss all tasks whose title says little."""
    pattern = by_text(any=("chargeback",))
    assert matches(pattern, a_task("Please help", description="There was a chargeback."))
    assert not matches(pattern, a_task("Please help", description=None))


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        (Criteria(any=("cards", "fraud")), True),
        (Criteria(any=("fraud", "loans")), False),
        (Criteria(all=("cards", "urgent")), True),
        (Criteria(all=("cards", "fraud")), False),
        (Criteria(none=("fraud",)), True),
        (Criteria(none=("fraud", "cards")), False),
        (Criteria(any=("cards",), all=("urgent",), none=("fraud",)), True),
        (Criteria(any=("fraud",), all=("urgent",), none=("loans",)), False),
        (Criteria(any=("cards",), all=("fraud",), none=("loans",)), False),
        (Criteria(any=("cards",), all=("urgent",), none=("urgent",)), False),
    ],
)
def test_any_all_and_none_hold_together(criteria: Criteria, expected: bool) -> None:
    """A rule with an exception, or with several conditions, would send the wrong tasks."""
    assert matches(a_pattern(tag_criteria=criteria), a_task(tags={"cards": True, "urgent": True})) is expected
    in_words = a_pattern(pattern_type=PatternType.TEXT, text_criteria=criteria)
    assert matches(in_words, a_task("Urgent: cards")) is expected


@pytest.mark.parametrize("priority", [Priority.URGENT, Priority.HIGH, Priority.LOW, None])
def test_a_priority_pattern_takes_only_its_own_priority(priority: Priority | None) -> None:
    """A rule for what is urgent would take everything, or nothing."""
    pattern = a_pattern(pattern_type=PatternType.PRIORITY, priority_criteria=Priority.URGENT)
    assert matches(pattern, a_task(priority=priority)) is (priority is Priority.URGENT)


@pytest.mark.parametrize(
    ("title", "tags", "priority", "expected"),
    [
        ("A lost card", {"cards": True}, Priority.HIGH, True),
        ("A lost key", {"cards": True}, Priority.HIGH, False),
        ("A lost card", {"keys": True}, Priority.HIGH, False),
        ("A lost card", {"cards": True}, Priority.LOW, False),
    ],
)
def test_a_combined_pattern_needs_all_its_criteria(
    title: str, tags: dict[str, bool], priority: Priority, expected: bool
) -> None:
    """A narrow rule would work as a broad one, and take the tasks that it was narrowed against."""
    pattern = a_pattern(
        pattern_type=PatternType.COMBINED,
        tag_criteria=Criteria(any=("cards",)),
        text_criteria=Criteria(all=("lost", "card")),
        priority_criteria=Priority.HIGH,
    )
    assert matches(pattern, a_task(title, tags=tags, priority=priority)) is expected


def test_a_pattern_without_criteria_matches_nothing() -> None:
    """A damaged rule would take every task there is."""
    assert not matches(a_pattern(tag_criteria=None), a_task(tags={"cards": True}))
    assert not matches(a_pattern(tag_criteria=Criteria()), a_task(tags={"cards": True}))


def test_the_reason_names_the_terms_as_the_pattern_spells_them() -> None:
    """A person couldn't tell which words of a rule had sent the task."""
    task = a_task("a LOST card", tags={"area": "ui", "cards": True}, priority=Priority.HIGH)
    assert reason(by_tags(any=("Cards", "fraud", "area=UI")), task) == "tag “Cards”, “area=UI”"
    assert reason(by_text(all=("Lost",), any=("lost card", "key")), task) == "text “lost card”, “Lost”"
    assert reason(by_tags(none=("fraud",)), task) == "tag “without fraud”"
    combined = a_pattern(
        pattern_type=PatternType.COMBINED,
        tag_criteria=Criteria(any=("cards",)),
        text_criteria=Criteria(any=("lost",)),
        priority_criteria=Priority.HIGH,
    )
    assert reason(combined, task) == "tag “cards” and text “lost” and priority high"


def test_the_reason_repeats_nothing_that_only_the_task_says() -> None:
    """What a task says would be copied into the record of its decision, which may leave the machine."""
    task = a_task("Lost card of Quillon", description="pin 4711", tags={"cards": "gold", "Quillon": True})
    said = reason(by_tags(any=("cards",)), task) + reason(by_text(any=("lost card",)), task)
    assert "Quillon" not in said
    assert "4711" not in said
    assert "gold" not in said


def test_every_matching_pattern_is_found_in_the_order_given() -> None:
    """A second rule for the same task would be overlooked, and its disagreement with it."""
    first, second, other = by_tags(any=("cards",)), by_text(any=("lost",)), by_tags(any=("loans",))
    found = matching([second, other, first], a_task("A lost card", tags={"cards": True}))
    assert [match.pattern for match in found] == [second, first]


def test_thousands_of_marks_on_a_letter_take_no_time() -> None:
    """One task with such a text would hold up a whole server for seconds, whenever it is routed."""
    began = time.monotonic()
    assert folded("a" + "\u0301" * 49_000 + "\u0327" * 49_000 + " bread").endswith(" bread ")
    features("a" + "\u0301" * 49_000 + "\u0327" * 49_000, None, {})
    assert time.monotonic() - began < 1
