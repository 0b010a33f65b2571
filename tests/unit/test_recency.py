"""Who is likely to get the next task, judging only by who got the last ones."""

from random import Random

import numpy as np
import pytest

from hopper.routing.recency import WINDOW, recency_prior

FOUR = ["a", "b", "c", "d"]


def test_without_any_outcome_everyone_is_equally_likely() -> None:
    """A new server would favour an instance for no reason."""
    assert recency_prior([], FOUR) == pytest.approx([0.25] * 4)


def test_a_single_candidate_is_certain() -> None:
    """A server with one instance would lose confidence in it by arithmetic alone."""
    assert recency_prior(["a"] * 5, ["a"]) == pytest.approx([1.0])


def test_a_run_is_followed() -> None:
    """While tasks of one kind pour in, each would be judged as if the last ones had not been."""
    prior = recency_prior(["b"] * 6 + ["a"] * 12, FOUR)
    assert prior[0] > 0.8
    assert prior.argmax() == 0


def test_the_newest_outcomes_count_most() -> None:
    """After the tasks have changed their subject, the old run would still draw them."""
    prior = recency_prior(["a"] * 20 + ["b"] * 8, FOUR)
    assert prior[1] > prior[0] > prior[2]


def test_outcomes_that_come_as_by_dice_say_next_to_nothing() -> None:
    """Mere chance would sway decisions on a server whose tasks come in no order."""
    dice = Random(7)
    for _ in range(20):
        prior = recency_prior([dice.choice(FOUR) for _ in range(WINDOW)], FOUR)
        assert prior.max() < 0.5
        assert prior.min() > 0.1


@pytest.mark.parametrize("length", [1, 2, WINDOW - 1, WINDOW, WINDOW + 1])
def test_the_prior_is_a_probability_and_rules_nobody_out(length: int) -> None:
    """An instance that got no task lately could never get one again."""
    prior = recency_prior(["a"] * length, FOUR)
    assert prior.sum() == pytest.approx(1.0)
    assert np.all(prior > 0)


def test_only_the_last_outcomes_are_looked_at() -> None:
    """Decisions would depend on how much history was read, and two servers would disagree."""
    last = FOUR * (WINDOW // 4)
    assert recency_prior(["a"] * 100 + last, FOUR) == pytest.approx(recency_prior(last, FOUR))


def test_outcomes_of_others_than_the_candidates_say_nothing() -> None:
    """Tasks for an instance that was stopped since would bend the odds among those that remain."""
    mixed = ["gone", "a", "gone", "b", "a", "gone"]
    assert recency_prior(mixed, FOUR) == pytest.approx(recency_prior(["a", "b", "a"], FOUR))
    assert recency_prior(["gone"] * 10, FOUR) == pytest.approx([0.25] * 4)


def test_the_order_of_the_candidates_changes_nothing_but_the_order() -> None:
    """An instance's odds would depend on where it stands in a list."""
    recent = ["a", "a", "c", "a", "b"]
    forth, back = recency_prior(recent, FOUR), recency_prior(recent, FOUR[::-1])
    assert forth == pytest.approx(back[::-1])
