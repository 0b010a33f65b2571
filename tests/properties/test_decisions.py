"""What holds of every decision, whatever the evidence."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import a_past_case, a_pattern, a_task

from hopper.domain.decision import Decision, Strategy
from hopper.domain.pattern import PatternSource
from hopper.routing.evidence import Evidence
from hopper.routing.features import BUCKETS
from hopper.routing.odds import Calibration
from hopper.routing.patterns import Match, proven_confidence
from hopper.routing.policy import Policy
from hopper.routing.router import decide
from hopper.routing.text_model import TextEvidence, TextModel, read

bounded = settings(max_examples=150, deadline=None)

ROUNDING = 1e-6
TASK = a_task()
everyone = [f"i{n}" for n in range(9)]
someone = st.sampled_from(everyone)  # candidate or not
shares = st.floats(0, 1)
counts = st.integers(0, 50)
candidates = st.lists(someone, max_size=8, unique=True)
bounds = st.builds(Policy, abstain_below=shares)

patterns = st.builds(
    a_pattern,
    someone,
    confidence=shares,
    success_count=counts,
    failure_count=counts,
    source=st.sampled_from(PatternSource),
)
past_cases = st.builds(
    a_past_case,
    st.none() | someone,
    st.floats(-1, 1) | st.sampled_from([1.0, 1.0000001]),
    chosen=st.none() | someone,
    confirmed=st.booleans(),
    required_rework=st.booleans(),
)


def a_text(
    known: list[str], odds: list[float], lines: list[tuple[float, float]], neighbour_weight: float, examples: int
) -> TextEvidence:
    """A model that says this of those instances, whatever the words, and some noise by the words."""
    model = TextModel(
        instances=tuple(known),
        embedding_model="none",
        rarity=np.ones(BUCKETS, dtype=np.float32),
        words=np.random.default_rng(examples).normal(size=(BUCKETS, len(known))).astype(np.float16),
        meaning=np.zeros((4, len(known)), dtype=np.float32),
        bias=np.array(odds[: len(known)], dtype=np.float32),
        neighbour_weight=neighbour_weight,
        pattern_weight=1.0,
        newcomer=lines[0],
        calibration=(lines[1][0], lines[0][1], max(lines[1][1], 0.05)),
        common=np.zeros(0, dtype=np.uint32),
        examples=examples,
    )
    return read(TASK, None, model, "none")


lines = st.tuples(st.floats(-5, 5), st.floats(0, 5))
calibrations = st.tuples(st.floats(-5, 5), st.floats(0, 5), st.floats(0.05, 5))
texts = st.builds(
    a_text,
    st.lists(someone, min_size=1, max_size=9, unique=True),
    st.lists(st.floats(-60, 60) | st.just(0.0), min_size=9, max_size=9),
    st.tuples(lines, lines).map(list),
    st.floats(0.01, 40),
    st.integers(20, 25),
)
evidences = st.builds(
    Evidence,
    matches=st.lists(st.builds(Match, patterns, st.just("tag “x”")), max_size=4).map(tuple),
    similar=st.lists(past_cases, max_size=20).map(tuple),
    recent=st.lists(someone, max_size=80).map(tuple),
    idle=st.just(0.0) | st.floats(0, 1e9),
    text=st.none() | texts,
)


def decided(ids: Sequence[str], evidence: Evidence, policy: Policy) -> Decision:
    return decide(TASK, ids, evidence, policy)


def listed(decision: Decision) -> list[tuple[str, float]]:
    """Everyone that the decision mentions, with their probability, in its order."""
    chosen = [(decision.chosen_instance, decision.confidence)] if decision.chosen_instance else []
    return chosen + [(other.instance_id, other.confidence) for other in decision.alternatives]


@bounded
@given(candidates, evidences, bounds)
def test_probabilities_are_probabilities(ids: list[str], evidence: Evidence, policy: Policy) -> None:
    """A person would read of a confidence of 130 %, or of “nan”."""
    decision = decided(ids, evidence, policy)
    found = [confidence for _, confidence in listed(decision)]
    assert all(0 <= confidence <= 1 for confidence in [decision.confidence, *found])
    assert sum(found) <= 1 + len(ids) * ROUNDING


@bounded
@given(candidates, evidences, bounds)
def test_only_candidates_are_named_and_each_once(ids: list[str], evidence: Evidence, policy: Policy) -> None:
    """A task would go to an instance that may not have it."""
    decision = decided(ids, evidence, policy)
    named = [id for id, _ in listed(decision)]
    assert len(named) == len(set(named))
    assert {*named, *(factor.instance_id for factor in decision.decision_factors)} <= {*ids}
    assert len(decision.alternatives) == min(5, len(ids) - bool(decision.chosen_instance))


@bounded
@given(candidates, evidences, bounds)
def test_hopper_chooses_just_when_it_is_sure_enough(ids: list[str], evidence: Evidence, policy: Policy) -> None:
    """Hopper would act when it is less sure than it was told to be, or hold back when it is surer."""
    decision = decided(ids, evidence, policy)
    if decision.chosen_instance is None:
        assert decision.strategy is Strategy.ABSTAIN
        assert not ids or decision.confidence <= policy.abstain_below + ROUNDING
    else:
        assert decision.strategy is not Strategy.ABSTAIN
        assert decision.confidence >= policy.abstain_below - ROUNDING


@bounded
@given(candidates, evidences, bounds)
def test_the_best_comes_first(ids: list[str], evidence: Evidence, policy: Policy) -> None:
    """The second best would be chosen, or stand at the top of the list in triage."""
    decision = decided(ids, evidence, policy)
    found = [confidence for _, confidence in listed(decision)]
    assert found == sorted(found, reverse=True)
    assert decision.confidence == (found[0] if found else 0.0)


@bounded
@given(candidates, evidences, bounds)
def test_the_same_evidence_gives_the_same_decision(ids: list[str], evidence: Evidence, policy: Policy) -> None:
    """Asking twice would give two answers, and no decision could be checked afterwards."""
    first, second = decided(ids, evidence, policy), decided(ids, evidence, policy)
    assert listed(first) == listed(second)
    assert (first.strategy, first.decision_factors) == (second.strategy, second.decision_factors)


def manual(evidence: Evidence, ids: Sequence[str]) -> tuple[Match, ...]:
    """The rules that people made for a candidate."""
    return tuple(
        match
        for match in evidence.matches
        if match.pattern.source is PatternSource.MANUAL and match.pattern.target_instance in ids
    )


@bounded
@given(candidates, evidences, shares, shares)
def test_without_rules_the_bound_changes_only_whether_hopper_acts(
    ids: list[str], evidence: Evidence, one_bound: float, other_bound: float
) -> None:
    """Asking Hopper to be surer would change whom it prefers."""
    rules = manual(evidence, ids)
    evidence = replace(evidence, matches=tuple(match for match in evidence.matches if match not in rules))
    bold, careful = sorted([one_bound, other_bound])
    first, second = (decided(ids, evidence, Policy(abstain_below=bound)) for bound in (bold, careful))
    assert listed(first)[:5] == listed(second)[:5]
    assert not (second.chosen_instance and not first.chosen_instance)


@bounded
@given(candidates, evidences, bounds)
def test_a_persons_rule_that_is_sure_enough_decides_alone(ids: list[str], evidence: Evidence, policy: Policy) -> None:
    """What Hopper learned would weaken or overrule what a person laid down."""
    rules = manual(evidence, ids)
    by_rules = decided(ids, Evidence(matches=rules), policy)
    if by_rules.strategy is Strategy.MANUAL_PATTERN and by_rules.confidence > 0:
        decision = decided(ids, evidence, policy)
        assert (decision.strategy, listed(decision)) == (by_rules.strategy, listed(by_rules))
        assert decision.chosen_instance in {match.pattern.target_instance for match in rules}


@bounded
@given(candidates, evidences, bounds)
def test_contributions_are_shares(ids: list[str], evidence: Evidence, policy: Policy) -> None:
    """A person would read that a past task contributed minus four thousand to a decision."""
    for factor in decided(ids, evidence, policy).decision_factors:
        assert -1 <= factor.contribution <= 1


@bounded
@given(candidates, evidences, texts, calibrations)
def test_calibration_changes_how_sure_hopper_is_and_not_of_whom(
    ids: list[str], evidence: Evidence, text: TextEvidence, calibration: Calibration
) -> None:
    """The more Hopper learns of its own mistakes, the more often the second best would be chosen."""
    recalibrated = replace(text, model=replace(text.model, calibration=calibration, positions={}))
    before, after = (
        decided(ids, replace(evidence, matches=(), text=said), Policy(abstain_below=0.0))
        for said in (text, recalibrated)
    )
    assert [id for id, _ in listed(before)][:1] == [id for id, _ in listed(after)][:1]
    assert before.raw_confidence == after.raw_confidence


@bounded
@given(shares, counts, counts)
def test_a_patterns_confidence_lies_between_what_was_said_and_what_happened(
    stated: float, successes: int, failures: int
) -> None:
    """A rule's record would push its confidence past what its record says."""
    proven = proven_confidence(a_pattern(confidence=stated, success_count=successes, failure_count=failures))
    rate = successes / (successes + failures) if successes + failures else stated
    assert min(stated, rate) - 1e-9 <= proven <= max(stated, rate) + 1e-9
