"""Who is chosen, how surely, and when Hopper had rather not choose."""

from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.builders import NOW, a_past_case, a_pattern, a_task

from hopper.domain.decision import Decision, Strategy
from hopper.domain.episode import Episode, SimilarEpisode
from hopper.domain.pattern import Pattern, PatternSource
from hopper.routing.evidence import Evidence, distinct
from hopper.routing.explain import counterfactuals
from hopper.routing.patterns import Match, proven_confidence
from hopper.routing.policy import Policy
from hopper.routing.router import decide

ABC = ["a", "b", "c"]
WELL_KNOWN = ("elsewhere",) * 50
"""Outcomes enough to be sure of something, none of them any candidate's."""

TASK = a_task("Where is my money?")


def route(
    *,
    patterns: Sequence[Pattern] = (),
    similar: Sequence[SimilarEpisode] = (),
    recent: Sequence[str] = WELL_KNOWN,
    among: Sequence[str] = ABC,
    bound: float = 0.5,
) -> Decision:
    matches = tuple(Match(pattern, "tag “cards”") for pattern in patterns)
    evidence = Evidence(matches=matches, similar=tuple(similar), recent=tuple(recent))
    return decide(TASK, among, evidence, Policy(abstain_below=bound))


def rule(to: str, confidence: float = 0.9) -> Pattern:
    return a_pattern(to, confidence=confidence)


def learned(to: str, confidence: float = 0.9, **fields: object) -> Pattern:
    return a_pattern(to, confidence=confidence, source=PatternSource.LEARNED, **fields)


def shares(decision: Decision) -> dict[str, float]:
    """Every listed instance's probability."""
    listed = {other.instance_id: other.confidence for other in decision.alternatives}
    return listed | ({decision.chosen_instance: decision.confidence} if decision.chosen_instance else {})


def test_a_persons_rule_wins_over_all_that_was_learned() -> None:
    """People couldn't overrule Hopper: their own rule would lose against its memory."""
    decision = route(
        patterns=[rule("a", 0.7), learned("b", 1.0, success_count=100)],
        similar=[a_past_case("b") for _ in range(20)],
        recent=["b"] * 30,
    )
    assert (decision.chosen_instance, decision.strategy) == ("a", Strategy.MANUAL_PATTERN)
    assert decision.confidence == pytest.approx(0.7)
    assert all(factor.instance_id == "a" for factor in decision.decision_factors)


def test_rules_that_disagree_leave_the_task_in_triage() -> None:
    """One of two contradicting rules would win by accident, and nobody would hear of the contradiction."""
    decision = route(patterns=[rule("a"), rule("b")])
    assert (decision.chosen_instance, decision.strategy) == (None, Strategy.ABSTAIN)
    listed = shares(decision)
    assert listed["a"] == listed["b"] > 0.4 > listed["c"]
    assert {factor.instance_id for factor in decision.decision_factors} == {"a", "b"}


def test_what_happened_before_settles_a_disagreement_of_rules() -> None:
    """Two rules that overlap would hold back tasks of which everybody knows by now where they go."""
    decision = route(patterns=[rule("a"), rule("b")], similar=[a_past_case("b"), a_past_case("b", 0.95)])
    assert decision.chosen_instance == "b"


def test_a_far_stronger_rule_wins_at_a_cost() -> None:
    """A tentative rule would block a firm one."""
    decision = route(patterns=[rule("a", 0.9), rule("b", 0.2)])
    assert decision.chosen_instance == "a"
    assert decision.confidence == pytest.approx(0.81 / 1.1, abs=1e-6)


def test_rules_that_agree_are_as_strong_as_the_strongest() -> None:
    """Two rules for one instance would weaken each other."""
    assert route(patterns=[rule("a", 0.6), rule("a", 0.9)]).confidence == pytest.approx(0.9)


def test_a_rule_for_someone_who_cannot_take_the_task_is_passed_over() -> None:
    """A rule for a stopped instance would hold its tasks back, though others have taken such tasks before."""
    decision = route(patterns=[rule("stopped")], similar=[a_past_case("b")])
    assert (decision.chosen_instance, decision.strategy) == ("b", Strategy.SIMILAR_EPISODES)


def test_a_patterns_confidence_moves_with_its_record() -> None:
    """A rule that is always wrong would stay as sure as on its first day."""
    assert proven_confidence(a_pattern(confidence=0.5)) == 0.5
    assert proven_confidence(a_pattern(confidence=0.5, success_count=4)) == pytest.approx(6 / 8)
    assert proven_confidence(a_pattern(confidence=0.9, failure_count=8)) == pytest.approx(3.6 / 12)


@pytest.mark.parametrize("source", PatternSource)
def test_a_pattern_that_is_mostly_wrong_decides_nothing_alone(source: PatternSource) -> None:
    """A rule that was wrong fifteen times of sixteen would be followed, and with almost full confidence."""
    wrong = a_pattern("a", confidence=0.9, success_count=1, failure_count=15, source=source)
    decision = route(patterns=[wrong])
    assert decision.chosen_instance is None
    assert decision.confidence < 0.5


def test_a_rule_that_nobody_trusts_chooses_nobody_else() -> None:
    """A person who never wants triage would see a task sent to one instance because of a rule for another."""
    decision = route(patterns=[rule("b", 0.0)], bound=0.0)
    assert decision.strategy is not Strategy.MANUAL_PATTERN


def test_a_learned_pattern_decides_where_memory_is_silent() -> None:
    """What was mined from outcomes would never be used."""
    decision = route(patterns=[learned("b")])
    assert (decision.chosen_instance, decision.strategy) == ("b", Strategy.LEARNED_PATTERN)
    assert decision.confidence > 0.8


def test_a_decision_is_named_by_what_tipped_the_scales() -> None:
    """“Learned pattern” would head a decision between two teams for which patterns speak alike."""
    decision = route(patterns=[learned("a"), learned("b")], similar=[a_past_case("a", 0.75)])
    assert (decision.chosen_instance, decision.strategy) == ("a", Strategy.SIMILAR_EPISODES)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.7, 0.9])), max_size=4),
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.5, 0.7, 0.9])), max_size=4),
)
def test_without_what_carries_a_decision_it_would_have_been_another(
    patterns: Sequence[tuple[str, float]], past: Sequence[tuple[str, float]]
) -> None:
    """The head of an explanation would name one cause, and its last line another."""
    similar = [a_past_case(to, alike) for to, alike in past]
    decision = route(patterns=[learned(to, sure) for to, sure in patterns], similar=similar, bound=0.3)
    assume(decision.confidence > decision.alternatives[0].confidence)  # of equals anything may be the cause
    named = [change.without.value for change in counterfactuals(Episode.of(decision, None, NOW))]
    assert not named or decision.strategy in named


def test_a_pattern_from_elsewhere_counts_as_learned_not_as_a_rule() -> None:
    """Another machine's pattern would overrule everything like a rule of one's own."""
    elsewhere = a_pattern("b", confidence=1.0, source=PatternSource.NORTHBOUND)
    decision = route(patterns=[elsewhere], similar=[a_past_case("a"), a_past_case("a")])
    assert decision.chosen_instance == "a"


def test_the_most_alike_past_task_decides() -> None:
    """Tasks would follow distant resemblances rather than the case they repeat."""
    decision = route(similar=[a_past_case("a", 0.95), *(a_past_case("b", 0.6) for _ in range(10))])
    assert (decision.chosen_instance, decision.strategy) == ("a", Strategy.SIMILAR_EPISODES)


def test_several_alike_outvote_one_that_is_hardly_closer() -> None:
    """A single wrong outcome in the past would draw all tasks like it."""
    assert route(similar=[a_past_case("a", 0.90), *(a_past_case("b", 0.89) for _ in range(4))]).chosen_instance == "b"


def test_a_rejection_counts_against_whoever_was_chosen() -> None:
    """A task would go again to the instance that has just refused its like."""
    for_a = [a_past_case("a", 0.95), a_past_case("a", 0.95)]
    refused = a_past_case(None, 1.0, chosen="a")
    before, after = route(similar=for_a), route(similar=[refused, *for_a])
    assert before.chosen_instance == "a"
    assert after.confidence < before.confidence
    many_refusals = [a_past_case(None, 1.0, chosen="a") for _ in range(4)]
    assert route(similar=[*many_refusals, *for_a, a_past_case("b", 0.9)]).chosen_instance == "b"


def test_a_correction_counts_for_who_was_right_only() -> None:
    """A correction would still draw tasks to the instance that it was made against."""
    decision = route(similar=[a_past_case("b", 1.0, chosen="a")])
    assert decision.chosen_instance == "b"
    assert shares(decision)["a"] == shares(decision)["c"]


def test_what_people_confirmed_weighs_most_and_rework_least() -> None:
    """A task that came back for rework would teach as much as one that a person praised."""
    confirmed = a_past_case("a")
    completed = a_past_case("b", confirmed=False)
    reworked = a_past_case("c", confirmed=False, required_rework=True)
    listed = shares(route(similar=[reworked, completed, confirmed], bound=0.0))
    assert listed["a"] > listed["b"] > listed["c"] > 0


def test_past_tasks_of_others_than_the_candidates_have_no_vote() -> None:
    """Tasks would be lost to an instance that is gone, or their votes to nobody's use."""
    with_gone = route(similar=[a_past_case("gone"), a_past_case("b", 0.9)])
    without = route(similar=[a_past_case("b", 0.9)])
    assert with_gone.chosen_instance == "b"
    assert with_gone.confidence == without.confidence


def test_the_bound_decides_between_choosing_and_triage() -> None:
    """A person who asks Hopper to be surer, or bolder, would not be heard."""
    similar = [a_past_case("a", 0.9), a_past_case("b", 0.88)]
    sure = route(similar=similar, bound=0.0)
    assert sure.chosen_instance == "a"
    assert 0.4 < sure.confidence < 0.7
    above = route(similar=similar, bound=sure.confidence + 0.001)
    assert (above.chosen_instance, above.strategy) == (None, Strategy.ABSTAIN)
    assert above.confidence == sure.confidence
    assert above.alternatives[0].instance_id == "a"
    assert route(similar=similar, bound=sure.confidence - 0.001).chosen_instance == "a"


def test_without_evidence_nobody_is_chosen() -> None:
    """The first tasks of a new server would go to whoever comes first in a list."""
    decision = route()
    assert (decision.chosen_instance, decision.strategy) == (None, Strategy.ABSTAIN)
    assert [other.instance_id for other in decision.alternatives] == ABC
    assert len({other.confidence for other in decision.alternatives}) == 1
    assert route(among=["a"]).chosen_instance is None


def test_nobody_is_surer_than_the_known_outcomes_allow() -> None:
    """After its very first task Hopper would claim to be certain of the second."""
    sure = [route(similar=[a_past_case("a")], recent=WELL_KNOWN[:known]).confidence for known in (1, 4, 16, 50)]
    assert sure == sorted(sure)
    assert sure[0] < 0.7
    assert sure[-1] > 0.95


def test_a_patterns_outcomes_are_known_outcomes_too() -> None:
    """A pattern that was right many times elsewhere would not be trusted on a new server."""
    proven, untried = learned("a", 0.9, success_count=30), learned("a", 0.9)
    sure, less_sure = (route(patterns=[pattern], recent=[]).confidence for pattern in (proven, untried))
    assert sure > 0.9 > less_sure


def test_a_persons_rule_is_as_sure_on_the_first_day() -> None:
    """A new server would leave tasks in triage for which a person has laid down where they go."""
    decision = route(patterns=[rule("a", 0.9)], recent=[])
    assert (decision.chosen_instance, decision.confidence) == ("a", 0.9)


def test_a_faint_resemblance_is_no_evidence() -> None:
    """Hopper would act on a likeness that any two sentences have, and sound sure of it."""
    assert route(similar=[a_past_case("a", 0.3)]).chosen_instance is None


def test_without_candidates_the_task_stays_in_triage() -> None:
    """Routing on a server without running instances would end in an error."""
    decision = route(patterns=[rule("a")], similar=[a_past_case("a")], recent=["a"], among=[])
    assert (decision.chosen_instance, decision.strategy) == (None, Strategy.ABSTAIN)
    assert (decision.confidence, decision.alternatives, decision.decision_factors) == (0.0, (), ())


def test_recent_outcomes_tip_the_scales_between_equals() -> None:
    """In the middle of a run of tasks for one instance, a doubtful one would be thrown by lot."""
    similar = [a_past_case("a", 0.8), a_past_case("b", 0.8)]
    assert route(similar=similar, recent=["b"] * 10).chosen_instance == "b"
    assert route(similar=similar, recent=["a"] * 10).chosen_instance == "a"


def test_equal_evidence_is_settled_by_the_candidates_order() -> None:
    """The same task would go here today and there tomorrow, and no decision could be checked."""
    similar = [a_past_case("c"), a_past_case("b")]
    decisions = [route(similar=order, bound=0.0) for order in (similar, similar[::-1], similar)]
    assert [decision.chosen_instance for decision in decisions] == ["b", "b", "b"]
    assert len({decision.confidence for decision in decisions}) == 1
    assert decisions[0].alternatives == decisions[2].alternatives


def test_the_runners_up_are_listed_best_first() -> None:
    """A person in triage would look for the right instance among many, in no order."""
    among = list("abcdefgh")
    similar = [a_past_case(id, 1.0 - 0.02 * at) for at, id in enumerate("hgfedcba")]
    chosen = route(similar=similar, among=among, bound=0.0)
    assert chosen.chosen_instance == "h"
    assert [other.instance_id for other in chosen.alternatives] == list("gfedc")
    left = route(similar=similar, among=among, bound=1.0)
    assert [other.instance_id for other in left.alternatives] == list("hgfed")
    assert left.alternatives[0].confidence == left.confidence


def test_a_decision_names_its_task_and_is_no_episode_yet() -> None:
    """A dry run would look as if it had been remembered."""
    decision = route()
    assert (decision.task_id, decision.episode_id) == (TASK.id, None)


def test_a_task_that_was_decided_twice_to_one_end_has_one_voice() -> None:
    """Routing a single task over and over would outvote all others."""
    once = a_past_case("a", task_id="t1")
    again = a_past_case("a", 0.9, task_id="t1", chosen="b")
    elsewhere = a_past_case("b", 0.9, task_id="t1")
    no_task = [a_past_case("a", task_id=None), a_past_case("a", task_id=None)]
    assert distinct([once, again, elsewhere, *no_task]) == (once, elsewhere, *no_task)


def test_each_instance_that_refused_a_task_is_remembered() -> None:
    """Of two teams that refused a task, one would be sent the next like it."""
    refused = [a_past_case(None, task_id="t1", chosen=chosen) for chosen in ("a", "b", "a")]
    assert distinct(refused) == tuple(refused[:2])
