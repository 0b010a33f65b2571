"""What holds of the quality figures of any series of decisions."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopper.routing.quality import Judged, assess

bounded = settings(max_examples=150, deadline=None)

targets = st.sampled_from("abcd")
decisions = st.builds(
    Judged,
    guess=st.none() | targets,
    confidence=st.floats(0, 1),
    decided=st.booleans(),
    target=targets,
    milliseconds=st.floats(0, 1e6),
)
series = st.lists(decisions, min_size=1, max_size=60)
SHARES = ("accuracy", "accuracy_last_half", "macro_f1", "ece", "coverage_at_95", "decided")


@bounded
@given(series)
def test_every_share_lies_between_0_and_1(judged: list[Judged]) -> None:
    """The bench would print an accuracy above 100 %, or “nan”."""
    quality = assess(judged)
    for name in SHARES:
        assert 0 <= getattr(quality, name) <= 1 + 1e-9, name
    assert quality.precision_decided is None or 0 <= quality.precision_decided <= 1
    assert (quality.precision_decided is None) is not any(one.decided for one in judged)
    times = [one.milliseconds for one in judged]
    assert min(times) <= quality.p50_ms <= quality.p95_ms <= max(times)


@bounded
@given(series)
def test_the_figures_agree_with_a_plain_count(judged: list[Judged]) -> None:
    """The bench would count otherwise than a person who goes through the decisions by hand."""
    quality = assess(judged)
    right = [one.guess == one.target for one in judged]
    assert (quality.tasks, quality.targets) == (len(judged), len({one.target for one in judged}))
    assert quality.accuracy == pytest.approx(sum(right) / len(right))
    assert quality.decided == pytest.approx(sum(one.decided for one in judged) / len(judged))
    reachable = []
    for bound in {one.confidence for one in judged}:
        sure = [ok for one, ok in zip(judged, right, strict=True) if one.confidence >= bound]
        if 20 * sum(sure) >= 19 * len(sure):
            reachable.append(len(sure) / len(judged))
    assert quality.coverage_at_95 == pytest.approx(max(reachable, default=0.0))


@bounded
@given(series, st.randoms(use_true_random=False))
def test_only_the_last_half_depends_on_the_order(judged: list[Judged], dice: Random) -> None:
    """The same decisions would be better or worse by the order in which they were made."""
    shuffled = list(judged)
    dice.shuffle(shuffled)
    before, after = assess(judged), assess(shuffled)
    for name in (*SHARES, "p50_ms", "p95_ms"):
        if name != "accuracy_last_half":
            assert getattr(before, name) == pytest.approx(getattr(after, name)), name


@bounded
@given(series)
def test_a_series_without_mistakes_is_perfect(judged: list[Judged]) -> None:
    """A flawless router would seem to have flaws."""
    quality = assess([replace(one, guess=one.target, confidence=1.0) for one in judged])
    assert (quality.accuracy, quality.macro_f1, quality.coverage_at_95) == (1, 1, 1)
    assert quality.ece == pytest.approx(0)


@bounded
@given(series)
def test_a_series_of_sure_mistakes_is_the_worst(judged: list[Judged]) -> None:
    """A router that is always wrong and always sure would seem to have merits."""
    quality = assess([replace(one, guess=None, confidence=1.0) for one in judged])
    assert (quality.accuracy, quality.macro_f1, quality.coverage_at_95) == (0, 0, 0)
    assert quality.ece == pytest.approx(1)
