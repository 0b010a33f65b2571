"""What an instance's record and its load do to a decision."""

import numpy as np
from tests.builders import a_past_case, a_pattern, a_task

from hopper.domain.decision import FactorKind, Strategy
from hopper.domain.graph import Standing
from hopper.domain.pattern import Criteria, PatternType
from hopper.routing.evidence import Evidence
from hopper.routing.patterns import matching
from hopper.routing.policy import Policy
from hopper.routing.records import record_odds
from hopper.routing.router import decide

TASK = a_task("Card is stuck")
IDS = ("a", "b")


def test_who_gives_back_more_than_others_is_less_likely() -> None:
    """Tasks would go on to an instance that refuses half of them."""
    odds = record_odds({"a": Standing(completed=50, rejected=50), "b": Standing(completed=100)}, IDS)
    assert odds[0] < -0.3 < 0 < odds[1]


def test_a_first_refusal_says_little() -> None:
    """One bad day would cost an instance its tasks."""
    odds = record_odds({"a": Standing(completed=20, rejected=1), "b": Standing(completed=20)}, IDS)
    assert np.abs(odds).max() < 0.05


def test_records_say_nothing_where_nobody_has_one() -> None:
    """A newcomer would be at a disadvantage."""
    assert record_odds({}, IDS).tolist() == [0.0, 0.0]


def test_a_record_tips_the_scales_and_says_so() -> None:
    """A person couldn't see why of two equals one was taken."""
    similar = (a_past_case("a"), a_past_case("b"))
    standings = {"a": Standing(completed=40, rejected=40), "b": Standing(completed=80)}
    decision = decide(TASK, IDS, Evidence(similar=similar, standings=standings), Policy(abstain_below=0.1))
    assert decision.chosen_instance == "b"
    assert decision.strategy is Strategy.DELEGATION_RECORD
    told = [
        f.text for f in decision.decision_factors if f.kind is FactorKind.DELEGATION_RECORD and f.instance_id == "a"
    ]
    assert told == ["it gave back 40 of 80 delegations"]


def test_who_is_full_gets_nothing_and_the_reason_is_told() -> None:
    """A person's limit would be passed over, or a task would wait without a word."""
    evidence = Evidence(similar=(a_past_case("a"),) * 3, full={"a": 2})
    decision = decide(TASK, IDS, evidence, Policy())
    assert decision.chosen_instance is None
    assert decision.strategy is Strategy.ABSTAIN
    assert decision.alternatives[0].instance_id == "a"
    assert [f.text for f in decision.decision_factors if f.kind is FactorKind.LOAD] == [
        "is full: it takes 2 open tasks"
    ]


def test_the_next_one_takes_what_the_best_has_no_room_for_if_it_is_as_likely() -> None:
    """Work would wait although somebody else can do it."""
    evidence = Evidence(similar=(a_past_case("a"), a_past_case("b")), full={"a": 2})
    decision = decide(TASK, IDS, evidence, Policy(abstain_below=0.2))
    assert decision.chosen_instance == "b"


def test_a_rule_does_not_fill_who_is_full() -> None:
    """A rule would overfill the instance that it names."""
    rule = a_pattern("a", pattern_type=PatternType.TEXT, text_criteria=Criteria(any=("card",)))
    evidence = Evidence(matches=matching([rule], TASK), full={"a": 1})
    decision = decide(TASK, IDS, evidence, Policy())
    assert decision.chosen_instance is None
    assert [f.kind for f in decision.decision_factors] == [FactorKind.MANUAL_PATTERN, FactorKind.LOAD]
