"""Replaying decisions against proposed patterns: figures on a history that was made to be counted by hand."""

from typing import Any

import pytest
from tests.builders import a_pattern, a_task

from hopper.domain.pattern import Criteria, Pattern, PatternSource, PatternType
from hopper.routing.backtest import PastDecision, Verdict, replay
from hopper.routing.policy import Policy

ALL = {None: ("bakery", "garage", "office"), "office": ("garage",)}


def decided(title: str, chosen: str | None, right: str, confidence: float = 0.7, **fields: Any) -> PastDecision:
    task = a_task(title)
    known = {"episode_id": f"episode of {title}", "decided_by": None, **fields}
    return PastDecision(task=task, chosen_instance=chosen, outcome_instance=right, confidence=confidence, **known)


def rule(to: str, word: str, **fields: Any) -> Pattern:
    return a_pattern(
        to, **{"pattern_type": PatternType.TEXT, "text_criteria": Criteria(any=(word,)), "confidence": 0.9, **fields}
    )


def test_every_change_is_judged_by_what_was_right() -> None:
    """Whoever tries a rule wouldn't know whether it helps."""
    bread, brakes = rule("bakery", "bread"), rule("garage", "brakes")
    past = [
        decided("bread one", "office", "bakery"),  # better
        decided("bread two", None, "bakery"),  # better: it was in triage
        decided("brakes one", "garage", "garage"),  # right before and after
        decided("bread three", "office", "office"),  # worse
        decided("brakes two", "office", "bakery"),  # wrong before and after, but another
        decided("nothing", "office", "office"),  # no pattern matches
    ]
    replayed, totals = replay(past, [bread, brakes], [], ALL, Policy())
    assert [(one.new_choice, one.verdict) for one in replayed] == [
        ("bakery", Verdict.BETTER),
        ("bakery", Verdict.BETTER),
        ("garage", Verdict.SAME),
        ("bakery", Verdict.WORSE),
        ("garage", Verdict.SAME),
        ("office", Verdict.SAME),
    ]
    assert [one.pattern_ids for one in replayed] == [(bread.id,)] * 2 + [(brakes.id,), (bread.id,), (brakes.id,), ()]
    assert [one.old_choice for one in replayed] == [one.chosen_instance for one in past]
    assert (totals.episodes, totals.right_before, totals.right_after) == (6, 3, 4)
    assert (totals.changed, totals.improved, totals.worsened) == (4, 2, 1)


def test_the_recorded_decision_stays_where_a_learned_pattern_is_less_sure() -> None:
    """A weak learned rule would look as if it overthrew decisions that much else stood behind."""
    learned = rule("bakery", "bread", source=PatternSource.LEARNED, success_count=40)
    past = [decided("bread one", "office", "office", 0.999), decided("bread two", "office", "bakery", 0.501)]
    replayed, _ = replay(past, [learned], [], ALL, Policy())
    assert replayed[0].new_choice == "office"
    assert replayed[0].pattern_ids == ()
    assert replayed[1].new_choice == "bakery"


@pytest.mark.parametrize(
    ("proposed", "others", "expected"),
    [
        ([rule("bakery", "bread", confidence=0.1)], [], "office"),  # not sure enough to decide
        ([rule("bakery", "bread")], [rule("garage", "bread")], "office"),  # people's rules disagree
        ([rule("nowhere", "bread")], [], "office"),  # not a candidate now
    ],
)
def test_what_the_router_wouldnt_choose_changes_nothing(
    proposed: list[Pattern], others: list[Pattern], expected: str
) -> None:
    """A backtest would promise what routing then doesn't do."""
    [one], totals = replay([decided("bread", "office", "bakery")], proposed, others, ALL, Policy())
    assert (one.new_choice, totals.changed) == (expected, 0)


def test_the_decider_bounds_who_can_be_chosen() -> None:
    """Instances that couldn't have got the task would seem to be the better choice."""
    past = [decided("bread", "garage", "bakery", decided_by="office")]
    [one], _ = replay(past, [rule("bakery", "bread")], [], ALL, Policy())
    assert one.new_choice == "garage"
