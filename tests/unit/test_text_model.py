"""What is learned from texts: the same each time, more than single words, and not more than there is."""

from dataclasses import fields, replace
from random import Random
from typing import Any

import numpy as np
import pytest
from tests.builders import a_past_case, a_task, trained_on

from hopper.domain.training import TrainingExample, Verdict
from hopper.routing.evidence import Evidence
from hopper.routing.features import BUCKETS, features
from hopper.routing.neighbours import belonging, refusals
from hopper.routing.policy import Policy
from hopper.routing.recency import recency_prior
from hopper.routing.router import decide
from hopper.routing.text_model import TextModel, read
from hopper.routing.training import FEWEST, Job, train

SHOPS = {"garage": "my brakes squeak", "bakery": "the bread is stale", "florist": "roses have wilted"}


def job(examples: list[tuple[str, str]], **fields: object) -> Job:
    told = [
        TrainingExample(title=text, description=None, tags={}, instance=instance, vector=None)
        for text, instance in examples
    ]
    names = {instance: instance for _, instance in examples}
    return Job(**{"examples": told, "names": names, "verdicts": (), "embedding_model": "m", "dimension": 2, **fields})  # type: ignore[arg-type]


def chosen(model: TextModel, text: str, among: tuple[str, ...] = tuple(SHOPS)) -> tuple[str | None, float]:
    task = a_task(text)
    decision = decide(task, among, Evidence(text=read(task, None, model, "m")), Policy(abstain_below=0.0))
    return decision.chosen_instance, decision.confidence


def test_the_same_outcomes_give_the_same_model() -> None:
    """`learn rebuild` would change decisions that nobody has given a reason to change."""
    examples = [(f"{text} {n}", shop) for n in range(20) for shop, text in SHOPS.items()]
    first, second = train(job(examples)), train(job(examples))
    assert first and second
    assert first.to_bytes() == second.to_bytes()


def test_a_stored_model_decides_like_the_one_that_was_stored() -> None:
    """Two servers on one database would send the same task to different teams."""
    model = trained_on(SHOPS)
    again = TextModel.from_bytes(model.to_bytes())
    for text in ("brakes", "stale roses", "something else"):
        assert chosen(model, text) == chosen(again, text)


def with_vectors(count: int = 60) -> list[TrainingExample]:
    """Examples whose words say nothing, and whose vectors lie on the one side or the other."""
    noise = np.random.default_rng(3)
    found = []
    for n in range(count):
        vector = np.array([1.0 if n % 2 else -1.0, noise.normal() / 4], dtype=np.float32)
        unit = vector / np.linalg.norm(vector)
        found.append(TrainingExample(title="x", description=None, tags={}, instance="ab"[n % 2], vector=unit))
    return found


def test_vectors_are_learned_from_where_words_say_nothing() -> None:
    """Whoever says the same in other words would not be understood."""
    model = train(replace(job([("x", "a"), ("x", "b")]), examples=with_vectors()))
    assert model
    again = TextModel.from_bytes(model.to_bytes())
    for side, instance in ((-1.0, "a"), (1.0, "b")):
        text = read(a_task("y"), np.array([side, 0.0], dtype=np.float32), model, "m")
        decision = decide(a_task("y"), ("a", "b"), Evidence(text=text), Policy())
        assert decision.chosen_instance == instance
        stored = read(a_task("y"), np.array([side, 0.0], dtype=np.float32), again, "m")
        assert (stored.log_odds == text.log_odds).all()


def test_examples_without_vectors_are_learned_from_beside_those_with() -> None:
    """While the provider of embeddings is down, learning would fail."""
    bare = [replace(example, vector=None) for example in with_vectors(20)]
    model = train(replace(job([("x", "a"), ("x", "b")]), examples=[*with_vectors(), *bare]))
    assert model
    assert np.isfinite(model.meaning).all() and np.isfinite(model.bias).all()
    assert model.examples == 80


def test_every_number_of_a_model_survives_its_storage() -> None:
    """A part of what was learned would be lost at the next start."""
    model = trained_on(SHOPS)
    again = TextModel.from_bytes(model.to_bytes())
    for one in fields(TextModel):
        before, after = getattr(model, one.name), getattr(again, one.name)
        assert np.array_equal(before, after) if isinstance(before, np.ndarray) else before == after
        assert type(before) is type(after)


@pytest.mark.parametrize("content", [b"", b"x", b"PK\x03\x04 no archive", np.ones(3).tobytes()])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    """An error from deep within would stop the server instead of having the model made again."""
    with pytest.raises(ValueError, match=r"."):
        TextModel.from_bytes(content)
    whole = trained_on(SHOPS).to_bytes()
    with pytest.raises(ValueError, match=r"."):
        TextModel.from_bytes(whole[: len(whole) // 2])


def test_what_was_learned_is_found_again_in_new_sentences() -> None:
    """Everything would have to be said in the words of the past."""
    model = trained_on(SHOPS)
    assert chosen(model, "they squeak, the brakes of the van")[0] == "garage"
    assert chosen(model, "Wilted rose")[0] == "florist"  # by pieces of words


def test_a_rare_target_is_not_forgotten() -> None:
    """A team that gets one task in a hundred would never get one again."""
    noise = Random(1)
    words = [f"word{n}" for n in range(40)]
    examples = [(" ".join(noise.sample(words, 5)), f"team{n % 3}") for n in range(300)]
    examples += [("zeppelin inspection overdue", "hangar")] * 3
    model = train(job(examples))
    assert model
    assert chosen(model, "inspection of the zeppelin", ("team0", "team1", "team2", "hangar"))[0] == "hangar"


def test_labels_by_chance_teach_no_certainty() -> None:
    """Hopper would act, and sound sure, on what is noise."""
    noise = Random(2)
    words = [f"word{n}" for n in range(40)]
    examples = [(" ".join(noise.sample(words, 6)), noise.choice("abcd")) for _ in range(400)]
    model = train(job(examples))
    assert model
    asked = [chosen(model, " ".join(noise.sample(words, 6)), tuple("abcd"))[1] for _ in range(50)]
    assert np.mean(asked) < 0.45


def test_instances_whose_names_share_a_part_learn_from_one_another() -> None:
    """A new project's bug list would have to learn anew what a bug report looks like."""
    kinds = {"bug": "it crashes with a traceback", "wish": "please add a way to"}
    examples = [(f"{project} {text} n{n}", f"{project}/{kind}") for project in ("web", "app", "cli", "api")
                for kind, text in kinds.items() for n in range(1 if project == "api" else 12)]  # fmt: skip
    model = train(job(examples))
    assert model
    both = ("api/bug", "api/wish")
    assert chosen(model, "api please add sorting", both)[0] == "api/wish"
    assert chosen(model, "api crashes, traceback below", both)[0] == "api/bug"


def test_own_wrong_decisions_make_hopper_modest() -> None:
    """Confidence would stay as high as it was on paper, whatever became of the decisions."""
    examples = [(f"{text} {n}", shop) for n in range(20) for shop, text in SHOPS.items()]
    trusting = train(job(examples, verdicts=[Verdict(0.9, True)] * 300))
    modest = train(job(examples, verdicts=[Verdict(0.9, n % 2 == 0) for n in range(300)]))
    assert trusting and modest
    assert chosen(modest, "my brakes")[1] < 0.75 < chosen(trusting, "my brakes")[1]
    assert chosen(modest, "my brakes")[0] == chosen(trusting, "my brakes")[0] == "garage"


@pytest.mark.parametrize("examples", [[], [("x", "a")] * 100, [("x", "a"), ("y", "b")] * (FEWEST // 2 - 1)])
def test_too_little_to_learn_from_gives_no_model(examples: list[tuple[str, str]]) -> None:
    """A model of a handful of examples, or of one instance, would decide everything."""
    assert train(job(examples)) is None


def test_an_instance_that_the_model_has_never_seen_can_win_by_its_examples() -> None:
    """A new team would get nothing until everything is learned anew."""
    model = trained_on(SHOPS)
    task = a_task("Tuning of the piano")
    similar = tuple(a_past_case("piano", 0.97) for _ in range(5))
    evidence = Evidence(similar=similar, text=read(task, None, model, "m"))
    decision = decide(task, (*SHOPS, "piano"), evidence, Policy())
    assert decision.chosen_instance == "piano"


def test_of_a_newcomer_the_model_expects_what_its_neighbours_let_expect() -> None:
    """A new team would be judged by words that nobody could know, or stand above all others for want of any."""
    model = replace(trained_on(SHOPS), newcomer=(-1.5, 2.0), positions={})
    text = read(a_task("brakes"), None, model, "m")
    assert [text.of("piano", score) for score in (0.0, 0.5, 1.0)] == [-1.5, -0.5, 0.5]
    assert text.of("garage", 0.0) == text.of("garage", 1.0) == text.log_odds[model.positions["garage"]]
    decision = decide(a_task("brakes squeak"), (*SHOPS, "piano"), Evidence(text=text), Policy())
    assert decision.chosen_instance == "garage"


def test_a_vector_of_another_model_is_left_out() -> None:
    """After a change of the embedding model numbers without meaning would decide, or nothing at all."""
    model = trained_on(SHOPS)
    task = a_task("brakes")
    without = read(task, None, model, "none").log_odds
    assert (read(task, np.ones(7, dtype=np.float32), model, "other").log_odds == without).all()
    assert (read(task, np.ones(7, dtype=np.float32), model, "none").log_odds == without).all()


@pytest.mark.parametrize(
    "text", ["", "🥐🥖", "тормоза скрипят", "刹车吱吱响", "x" * 100_000, "a b " * 25_000, "\u200b", "\ud800"]
)
def test_any_text_has_features_within_bounds(text: str) -> None:
    """A task in another script, or a pasted log, would end in an error or hold up everyone."""
    groups = features(text[:500], text, {"área": "ö", "x": True})
    assert all((group.buckets < BUCKETS).all() and np.isfinite(group.frequencies).all() for group in groups)
    assert sum(len(group.buckets) for group in groups) < 12_000


def test_ten_copies_of_a_task_say_hardly_more_than_one() -> None:
    """A task that was filed over and over would outvote all others."""
    copy = a_past_case("a", 0.9)
    once, often = belonging([copy], ["a"])[0], belonging([copy] * 10, ["a"])[0]
    assert once < often < 1.15 * once


def test_a_case_weighs_by_how_sure_its_outcome_is() -> None:
    """A task that was redone twice would teach as much as one that a person has praised."""
    ways: list[dict[str, Any]] = [
        {},
        {"confirmed": False},
        {"confirmed": False, "expired_leases": 1},
        {"required_rework": True},
    ]
    praised, done, let_go, redone = (belonging([a_past_case("a", 0.9, **way)], ["a"])[0] for way in ways)
    assert praised > done > let_go == redone > 0


def test_a_neighbour_of_another_kind_nearby_makes_a_doubtful_case() -> None:
    """Between two teams' cases, as close to the one as to the other, Hopper would be as sure as amid one team's."""
    mine = [a_past_case("a", 0.9) for _ in range(3)]
    alone = belonging(mine, ["a", "b"])
    beside = belonging([*mine, a_past_case("b", 0.95)], ["a", "b"])
    assert alone[0] > beside[0] > 0
    assert beside[1] > alone[1] == 0


def test_cases_of_others_than_the_candidates_say_nothing() -> None:
    """Tasks of a dissolved team would weaken what is known of the ones that are there."""
    mine = [a_past_case("a", 0.9), a_past_case("b", 0.8)]
    gone = [a_past_case("gone", 0.95), a_past_case(None, 1.0, chosen="gone")]
    assert (belonging([*gone, *mine], ["a", "b"]) == belonging(mine, ["a", "b"])).all()
    assert (refusals(gone, ["a", "b"]) == 0).all()
    assert (belonging([], ["a", "b"]) == 0).all()


def test_refusals_count_against_whom_they_were_and_grow_with_their_number() -> None:
    """A team would be sent again and again what it refuses; or be written off after one refusal."""
    refused = [a_past_case(None, 1.0, chosen="a") for _ in range(5)]
    few, many = refusals(refused[:1], ["a", "b"]), refusals(refused, ["a", "b"])
    assert 0 < few[0] < 0.5 < many[0] <= 1
    assert few[1] == many[1] == 0


def test_a_run_fades_while_nobody_hears_of_it() -> None:
    """After a morning of one team's tasks, and a quiet week, the next task would still be taken for theirs."""
    run = ["a"] * 20
    fresh, stale = recency_prior(run, ["a", "b", "c"]), recency_prior(run, ["a", "b", "c"], idle=500.0)
    assert fresh[0] > 0.9
    assert stale[0] < 0.4


@pytest.mark.parametrize("at", range(20))
def test_one_example_of_a_second_instance_is_enough_to_learn(at: int) -> None:
    """Learning would fail again and again, depending on which example happens to be held out."""
    examples = [(f"brakes squeak {n}", "garage") for n in range(20)]
    examples[at] = ("roses wilted", "florist")
    model = train(job(examples))
    assert model
    assert chosen(model, "wilted roses", ("garage", "florist"))[0] == "florist"


def test_examples_that_are_all_of_different_instances_give_a_model() -> None:
    """A server with many teams and few tasks would never learn: nothing is left to measure with."""
    teams = ("anvil", "bread", "candle", "drum", "engine", "feather", "garden", "hammer", "island", "jacket", "kettle",
             "ladder", "mirror", "needle", "orange", "piano", "quilt", "ribbon", "saddle", "tunnel")  # fmt: skip
    model = train(job([(f"about the {team}", team) for team in teams]))
    assert model
    assert chosen(model, "our piano", teams)[0] == "piano"
