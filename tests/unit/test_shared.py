"""What other Hoppers share: a hint, which one's own evidence always outweighs."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import NOW, a_past_case, a_pattern, a_task

from hopper.domain.decision import Decision, FactorKind, Strategy
from hopper.domain.episode import Episode
from hopper.domain.instance import Scope
from hopper.domain.pattern import Pattern, PatternSource, TargetLabel
from hopper.routing.evidence import Evidence
from hopper.routing.learn import patterns_behind
from hopper.routing.patterns import Match
from hopper.routing.policy import Policy
from hopper.routing.router import decide
from hopper.routing.shared import shared_odds

IDS = ["a", "b", "c"]
LABELS = {
    "a": TargetLabel(Scope.PROJECT, "cards"),
    "b": TargetLabel(Scope.PROJECT),
    "c": TargetLabel(Scope.ORCHESTRATION),
}


def hint(scope: Scope | None = Scope.ORCHESTRATION, **fields: Any) -> Match:
    """A pattern that came north, and whose sources found it right nine times of ten."""
    record = {"success_count": 90, "failure_count": 10, "confidence": 0.9}
    made: Pattern = a_pattern(
        "",
        **{"source": PatternSource.NORTHBOUND, "target_scope": scope, **record, **fields},
    )
    return Match(made, "tag “cards”")


def route(*hints: Match, **evidence: Any) -> Decision:
    shared = Evidence(shared=hints, labels=LABELS, recent=("elsewhere",) * 50, **evidence)
    return decide(a_task(), IDS, shared, Policy(abstain_below=0.5))


def test_a_newcomer_guesses_by_what_others_share() -> None:
    """A new Hopper would know nothing, though ten others know."""
    assert route().alternatives[0].instance_id == "a", "nothing is known of any of them"
    guess = route(hint())
    assert guess.alternatives[0].instance_id == "c"
    [factor] = [f for f in guess.decision_factors if f.kind is FactorKind.NORTHBOUND_PATTERN and f.contribution > 0]
    assert factor.instance_id == "c"
    assert "other Hoppers" in factor.text


def test_it_never_makes_a_decision_by_itself() -> None:
    """Tasks would go where strangers sent theirs, before anybody here has said a word."""
    assert route(*[hint(success_count=10**8, confidence=1.0) for _ in range(50)]).strategy is Strategy.ABSTAIN


def test_ones_own_evidence_is_stronger() -> None:
    """Ten others would overrule what this Hopper has seen with its own eyes."""
    own = [a_past_case("a", 0.95) for _ in range(3)]
    assert route(hint(), similar=tuple(own)).chosen_instance == "a"
    learned = Match(a_pattern("a", confidence=0.8, source=PatternSource.LEARNED), "tag “cards”")
    assert route(hint(), matches=(learned,)).chosen_instance == "a"


def test_it_says_nothing_where_all_have_one_scope() -> None:
    """It would only make Hopper surer than it is."""
    assert not shared_odds([hint(Scope.PROJECT)], ["a", "b"], LABELS, 1).any()
    assert not shared_odds([hint(None)], IDS, LABELS, 1).any()
    assert not shared_odds([hint(confidence=0.1)], IDS, LABELS, 1).any(), "it never speaks against"


def test_a_name_tells_instances_of_one_scope_apart() -> None:
    """What others know of payments and of search would be the same to a newcomer, whose instances are all projects."""
    named = hint(Scope.PROJECT, target_name="cards")
    odds = shared_odds([named], ["a", "b"], LABELS, 1)
    assert odds[0] > 0 > odds[1]
    assert route(named).alternatives[0].instance_id == "a"
    assert not shared_odds([hint(Scope.PROJECT, target_name="unknown here")], IDS, LABELS, 1).any()


def test_it_earns_no_record_here() -> None:
    """The sum of what sources say would be mixed with what happened here."""
    own = tuple(a_past_case("c", 0.9) for _ in range(20))
    decision = route(hint(), similar=own)
    assert decision.chosen_instance == "c"
    assert any(factor.kind is FactorKind.NORTHBOUND_PATTERN for factor in decision.decision_factors)
    assert patterns_behind(Episode.of(decision, None, NOW)) == ()


@given(
    st.lists(
        st.builds(
            hint,
            st.sampled_from([*Scope, None]),
            success_count=st.integers(0, 10**9),
            failure_count=st.integers(0, 10**9),
            confidence=st.floats(0, 1),
        ),
        max_size=8,
    )
)
def test_whatever_is_sent_moves_the_odds_by_no_more_than_a_bound(hints: list[Match]) -> None:
    """Who sends large numbers would decide for everybody."""
    for newness, bound in ((1, 2.75), (0.5, 1.65), (0, 0.55)):
        odds = shared_odds(hints, IDS, LABELS, newness)
        assert np.ptp(odds) <= bound
        assert abs(odds.sum()) < 1e-9
