"""Why a decision was made, in words that a person understands and that give nothing of the task away."""

import re
from collections.abc import Mapping, Sequence
from itertools import count

import pytest
from tests.builders import a_past_case, a_pattern, a_task, trained_on

from hopper.domain.decision import Decision, Factor, FactorKind, Strategy
from hopper.domain.episode import SimilarEpisode
from hopper.domain.graph import Standing
from hopper.domain.instance import Scope
from hopper.domain.pattern import Criteria, Pattern, PatternSource, PatternType, TargetLabel
from hopper.domain.task import Task
from hopper.domain.training import TrainingExample
from hopper.routing.evidence import Evidence
from hopper.routing.features import bucket, wording
from hopper.routing.patterns import matching
from hopper.routing.policy import Policy
from hopper.routing.router import decide
from hopper.routing.text_model import NAMED_WORDS, TextEvidence, read, telling_words
from hopper.routing.training import Job, train

TASK = a_task("Lost card of Quillon", description="The pin is 4711.", tags={"cards": "gold", "Quillon": True})

WELL_KNOWN = ("elsewhere",) * 50


def explain(
    *,
    patterns: Sequence[Pattern] = (),
    similar: Sequence[SimilarEpisode] = (),
    recent: Sequence[str] = WELL_KNOWN,
    among: Sequence[str] = ("a", "b", "c"),
    task: Task = TASK,
    text: TextEvidence | None = None,
    standings: Mapping[str, Standing] | None = None,
    full: Mapping[str, int] | None = None,
    shared: Sequence[Pattern] = (),
) -> Decision:
    evidence = Evidence(
        matches=matching(patterns, task),
        similar=tuple(similar),
        recent=tuple(recent),
        text=text,
        standings=standings or {},
        full=full or {},
        shared=matching(shared, task),
        labels={"a": TargetLabel(Scope.GLOBAL)},
    )
    return decide(task, among, evidence, Policy())


CARDS_AND_LOANS = trained_on({"a": "my lost card", "b": "a loan for the house", "c": "the branch is closed"}, 20)


def factors_of(decision: Decision, kind: FactorKind) -> list[Factor]:
    return [factor for factor in decision.decision_factors if factor.kind is kind]


def learned(to: str, **fields: object) -> Pattern:
    return a_pattern(to, source=PatternSource.LEARNED, **fields)


def worded(task: Task) -> Mapping[str, Sequence[int]]:
    return wording(task.title, task.description, task.tags)


def test_a_rule_is_named_with_its_terms_and_its_record() -> None:
    """A person couldn't find the rule that sent a task the wrong way."""
    new = a_pattern("a", name="cards to the card team")
    [factor] = explain(patterns=[new]).decision_factors
    assert factor.kind is FactorKind.MANUAL_PATTERN
    assert (factor.instance_id, factor.pattern_ids) == ("a", (new.id,))
    assert factor.text == "pattern “cards to the card team” matches by tag “cards” (no outcomes yet)"
    proven = a_pattern("a", success_count=3, failure_count=1)
    assert explain(patterns=[proven]).decision_factors[0].text.endswith("(right 3 of 4 times)")


def test_every_rule_that_matched_is_told_even_if_it_lost() -> None:
    """A person wouldn't see that two rules contradict each other."""
    rules = [a_pattern("a", confidence=0.9), a_pattern("b", confidence=0.3)]
    told = factors_of(explain(patterns=rules), FactorKind.MANUAL_PATTERN)
    assert [factor.pattern_ids for factor in told] == [(rules[0].id,), (rules[1].id,)]
    assert [factor.contribution for factor in told] == [0.9, 0.3]


def test_a_learned_pattern_is_told_as_one() -> None:
    """A person would look among their own rules for one that Hopper made."""
    pattern = learned("b", name="gold cards", success_count=8)
    [factor] = factors_of(explain(patterns=[pattern]), FactorKind.LEARNED_PATTERN)
    assert (factor.instance_id, factor.pattern_ids) == ("b", (pattern.id,))
    assert "“gold cards”" in factor.text
    assert "right 8 of 8 times" in factor.text
    assert factor.contribution == pytest.approx(1.0)


def test_similar_past_tasks_are_counted_and_named() -> None:
    """A person couldn't look at the past cases that a decision rests on."""
    cases = [a_past_case("a", 0.9 - 0.01 * n) for n in range(4)]
    decision = explain(similar=[*cases, a_past_case("b", 0.7)])
    for_a, for_b = factors_of(decision, FactorKind.SIMILAR_EPISODES)
    assert for_a.text == "4 of the 5 most similar past tasks belonged here (the closest is 0.90 alike)"
    assert for_a.task_ids == tuple(case.task_id for case in cases[:3])
    assert tuple(past.task_id for past in for_a.past_tasks) == for_a.task_ids
    assert [past.similarity for past in for_a.past_tasks] == pytest.approx([case.similarity for case in cases[:3]])
    assert for_b.text == "1 of the 5 most similar past tasks belonged here (the closest is 0.70 alike)"
    assert 1 >= for_a.contribution > for_b.contribution > 0


def test_what_speaks_against_an_instance_is_told_too() -> None:
    """A person would see why the instance was likely, but not why Hopper hesitated."""
    refused = a_past_case(None, 0.95, chosen="a")
    decision = explain(similar=[refused, a_past_case("a", 0.9), a_past_case("b", 0.99)])
    by_instance = {factor.instance_id: factor for factor in decision.decision_factors}
    assert by_instance["a"].text == (
        "1 of the 3 most similar past tasks belonged here, "
        "1 of the 3 most similar past tasks didn't belong here (the closest is 0.95 alike)"
    )
    assert refused.task_id in by_instance["a"].task_ids
    belonged = {past.task_id: past.belonged for past in by_instance["a"].past_tasks}
    assert (len(belonged), belonged[refused.task_id or ""]) == (2, False)
    assert by_instance["a"].contribution < 0 < by_instance["b"].contribution


def test_a_single_similar_task_is_told_as_one() -> None:
    """The first decisions of a new server would be explained in words that no person would say."""
    [factor] = explain(similar=[a_past_case("a", 0.9)]).decision_factors
    assert factor.text == "the one similar past task belonged here (the closest is 0.90 alike)"


def test_a_run_of_tasks_is_told_when_it_mattered() -> None:
    """A decision would change from one hour to the next with nothing to explain it."""
    decision = explain(similar=[a_past_case("a", 0.8)], recent=["b"] * 3 + ["a"] * 9)
    [factor] = factors_of(decision, FactorKind.RECENT_OUTCOMES)
    assert (factor.instance_id, factor.text) == ("a", "tasks come in runs: 9 of the last 10 belonged here")
    [similar] = factors_of(decision, FactorKind.SIMILAR_EPISODES)
    assert 0 < factor.contribution < similar.contribution
    assert factor.contribution + similar.contribution == pytest.approx(1.0, abs=1e-3)
    calm = explain(similar=[a_past_case("a", 0.8)], recent=["a", "b", "c"])
    assert not factors_of(calm, FactorKind.RECENT_OUTCOMES)


def test_only_instances_that_are_listed_are_explained() -> None:
    """A person would read reasons for instances that the decision doesn't mention."""
    among = [f"i{n}" for n in range(9)]
    similar = [a_past_case(id, 1.0 - 0.03 * at) for at, id in enumerate(among)]
    patterns = [learned(id, confidence=0.01) for id in among]
    decision = explain(patterns=patterns, similar=similar, among=among)
    listed = {decision.chosen_instance, *(other.instance_id for other in decision.alternatives)}
    assert {factor.instance_id for factor in decision.decision_factors} <= listed


def test_the_words_that_count_are_named_and_no_others() -> None:
    """A person would read “its wording” and know no more; or find a customer's name in a record of decisions."""
    model = trained_on({"a": "the bread is stale", "b": "the brakes squeak again"})
    task = a_task("Brakes of Quillon squeak", tags={"urgent": True})
    evidence = Evidence(recent=WELL_KNOWN, text=read(task, None, model, "none"))
    decision = decide(task, ("a", "b"), evidence, Policy())
    assert (decision.chosen_instance, decision.strategy) == ("b", Strategy.TEXT_MODEL)
    by_instance = {factor.instance_id: factor for factor in factors_of(decision, FactorKind.TEXT_MODEL)}
    assert "“brakes”" in by_instance["b"].text
    assert by_instance["a"].contribution < by_instance["b"].contribution
    assert "quillon" not in repr(decision).casefold()


def test_a_name_is_kept_back_though_its_bucket_is_a_telling_words() -> None:
    """Now and then a customer's name would be published as a reason, in the place of a word that hashes alike."""
    model = trained_on({"a": "the bread is stale", "b": "the brakes squeak again"})
    name = next(f"quillon{n}" for n in count() if bucket(f"quillon{n}") == bucket("brakes"))
    task = a_task(f"{name} squeak")
    evidence = read(task, None, model, "none")
    assert "squeak" in telling_words(worded(task), "b", evidence)
    assert name not in repr(decide(task, ("a", "b"), Evidence(text=evidence), Policy(abstain_below=0.0)))


def test_no_factor_repeats_what_the_task_says() -> None:
    """A task's words would stand in records that may leave the machine by sync."""
    by_words = a_pattern(
        "b",
        pattern_type=PatternType.TEXT,
        text_criteria=Criteria(any=("lost card",)),
        source=PatternSource.LEARNED,
    )
    everything = explain(
        patterns=[learned("a"), by_words],
        similar=[a_past_case("a"), a_past_case(None, chosen="b")],
        recent=["a"] * 10,
        text=read(TASK, None, CARDS_AND_LOANS, "none"),
        standings={"a": Standing(completed=10, rejected=30), "b": Standing(completed=40)},
        full={"c": 3},
        shared=[a_pattern("", source=PatternSource.NORTHBOUND, target_scope=Scope.GLOBAL, confidence=0.9)],
    )
    by_rule = explain(patterns=[a_pattern("a")])
    kinds = {factor.kind for decision in (everything, by_rule) for factor in decision.decision_factors}
    assert kinds == set(FactorKind)
    said = repr((everything, by_rule))
    for secret in ("Quillon", "4711", "gold", "pin"):
        assert secret not in said


def test_words_are_named_for_the_first_two_and_stand_in_the_task() -> None:
    """A person would read a page of words for instances that nobody considers, or words that nobody wrote."""
    task = a_task("Lost card, or a loan", description="The card. The branch near Quillon is closed.")
    decision = explain(task=task, text=read(task, None, CARDS_AND_LOANS, "none"))
    told = factors_of(decision, FactorKind.TEXT_MODEL)
    assert len(told) == 3
    named = [re.findall("“(.+?)”", factor.text) for factor in told]
    assert [bool(words) for words in named] == [True, True, False]
    assert told[2].text == "its wording as a whole"
    flat = re.sub(r"\W+", " ", f"{task.title} {task.description}".casefold())
    for words in named:
        assert len(words) <= NAMED_WORDS
        assert all(word in flat for word in words)


@pytest.mark.parametrize("secret", ["password: hunter", "sk-4fX9aQ27bLz81Kd", "4711", "jo@quillon.example", "c0ffee"])
def test_what_looks_private_is_never_a_reason_however_often_it_stood_there(secret: str) -> None:
    """A key that people paste into all their tasks would be published as what tells most."""
    model = trained_on({"a": f"{secret} bread", "b": f"{secret[::-1]} squeak"})
    task = a_task(f"{secret} bread", description=f"{secret} bread")
    assert telling_words(worded(task), "a", read(task, None, model, "none"))[0] == "bread"
    told = repr(decide(task, ("a", "b"), Evidence(text=read(task, None, model, "none")), Policy(abstain_below=0.0)))
    parts = [part for part in re.split(r"\W+", secret.casefold()) if part not in ("password", "example")]
    assert not [part for part in parts if f"“{part}" in told or f"{part}”" in told]


def test_a_tag_can_be_the_telling_word() -> None:
    """Where tags tell most, a person would be told of everything else."""
    pool = [("x", {"team": "kitchen"}, "a"), ("x", {"team": "garden"}, "b")] * 15
    examples = [
        TrainingExample(title=title, description=None, tags=tags, instance=instance, vector=None)
        for title, tags, instance in pool
    ]
    names = {"a": "a", "b": "b"}
    model = train(Job(examples=examples, names=names, verdicts=(), embedding_model="none", dimension=2))
    assert model
    task = a_task("x", tags={"Team": "Garden"})
    assert telling_words(worded(task), "b", read(task, None, model, "none")) == ("tag team=garden",)


@pytest.mark.parametrize("similarity", [0.9, 1.0])
@pytest.mark.parametrize("others", [[], [a_past_case("b", 0.5)]])
@pytest.mark.parametrize("patterns", [[], [learned("a")]])
def test_a_contribution_is_a_share_even_when_all_speaks_against(
    patterns: list[Pattern], others: list[SimilarEpisode], similarity: float
) -> None:
    """After a rejection, the reasons would show a contribution of minus several hundred billions."""
    refused = [a_past_case(None, similarity, chosen="a") for _ in range(4)]
    decision = explain(patterns=patterns, similar=[*refused, *others])
    assert len(decision.decision_factors) == 1 + len(others) + len(patterns)
    for factor in decision.decision_factors:
        assert -1 <= factor.contribution <= 1
