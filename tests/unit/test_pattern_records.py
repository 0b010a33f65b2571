"""The record of a pattern: how often it was used, and how often it was right."""

from datetime import timedelta
from itertools import pairwise

import pytest
from tests.builders import a_pattern, an_episode, later

from hopper.domain.decision import Factor, FactorKind
from hopper.domain.pattern import Pattern
from hopper.routing import learn

SOON = later(5)


def test_only_patterns_that_spoke_for_the_choice_stand_behind_it() -> None:
    """A rule that argued for another instance would be blamed for a choice that it was against."""

    def factor(kind: FactorKind, to: str, *patterns: str) -> Factor:
        return Factor(kind=kind, instance_id=to, contribution=0.5, text="", pattern_ids=patterns)

    factors = (
        factor(FactorKind.MANUAL_PATTERN, "a", "p1"),
        factor(FactorKind.LEARNED_PATTERN, "a", "p2", "p3"),
        factor(FactorKind.LEARNED_PATTERN, "b", "p4"),
        factor(FactorKind.SIMILAR_EPISODES, "a"),
    )
    assert learn.patterns_behind(an_episode("t", "a", decision_factors=factors)) == ("p1", "p2", "p3")
    assert learn.patterns_behind(an_episode("t", None, decision_factors=factors)) == ()


def test_using_a_pattern_is_counted_with_its_time() -> None:
    """A person couldn't see which rules are never used."""
    pattern = learn.used(a_pattern(usage_count=2), SOON)
    assert (pattern.usage_count, pattern.last_used_at) == (3, SOON)
    assert (pattern.success_count, pattern.failure_count) == (0, 0)


@pytest.mark.parametrize(
    ("before", "after", "successes", "failures"),
    [
        (None, True, 6, 3),
        (None, False, 5, 4),
        (True, False, 4, 4),
        (False, True, 6, 2),
        (True, None, 4, 3),
        (False, None, 5, 2),
        (True, True, 5, 3),
        (None, None, 5, 3),
    ],
)
def test_a_patterns_record_follows_a_changed_mind(
    before: bool | None, after: bool | None, successes: int, failures: int
) -> None:
    """One decision would be counted twice, as right and as wrong, each time that somebody corrects themselves."""
    pattern = learn.reassessed(a_pattern(success_count=5, failure_count=3), before, after, SOON)
    assert (pattern.success_count, pattern.failure_count) == (successes, failures)
    assert pattern.last_refined_at == SOON


def test_a_record_returns_to_where_it_was_after_any_number_of_changes() -> None:
    """A pattern's record would drift with every change of mind."""

    def through(pattern: Pattern, *outcomes: bool | None) -> Pattern:
        for before, after in pairwise(outcomes):
            pattern = learn.reassessed(pattern, before, after, SOON)
        return pattern

    pattern = through(a_pattern(success_count=5, failure_count=3), None, True, False, None, False, True, True, None)
    assert (pattern.success_count, pattern.failure_count) == (5, 3)


@pytest.mark.parametrize(
    ("duration", "written"),
    [
        (timedelta(seconds=90), "PT90S"),
        (timedelta(days=1, seconds=0.6), "PT86401S"),
        (timedelta(0), "PT0S"),
        (timedelta(seconds=-5), "PT0S"),
    ],
)
def test_durations_are_written_as_iso_8601(duration: timedelta, written: str) -> None:
    """Other programs couldn't read how long work took; a clock set back would make it negative."""
    assert learn.iso_duration(duration) == written
