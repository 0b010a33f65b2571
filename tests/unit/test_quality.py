"""The figures of a series of decisions, against numbers worked out by hand."""

import pytest

from hopper.domain.decision import Alternative, Decision, Strategy
from hopper.routing.quality import Judged, assess


def judged(guess: str | None, confidence: float, target: str, *, decided: bool = True, ms: float = 1.0) -> Judged:
    return Judged(guess, confidence, decided, target, ms)


def decision(chosen: str | None, confidence: float, *others: str) -> Decision:
    return Decision(
        episode_id="e",
        task_id="t",
        chosen_instance=chosen,
        confidence=confidence,
        strategy=Strategy.SIMILAR_EPISODES if chosen else Strategy.ABSTAIN,
        decision_factors=(),
        alternatives=tuple(Alternative(instance_id=id, confidence=0.1) for id in others),
    )


FIVE = [
    judged("a", 0.90, "a", ms=1),
    judged("a", 0.80, "b", ms=2),
    judged("b", 0.60, "b", ms=3),
    judged("b", 0.30, "c", ms=4, decided=False),
    judged("c", 0.25, "c", ms=5, decided=False),
]


def test_the_figures_of_a_small_series_are_those_worked_out_by_hand() -> None:
    """The bench would print figures that are not what their names say."""
    quality = assess(FIVE)
    assert (quality.tasks, quality.targets) == (5, 3)
    assert quality.accuracy == pytest.approx(3 / 5)
    assert quality.accuracy_last_half == pytest.approx(2 / 3)
    assert quality.macro_f1 == pytest.approx((2 / 3 + 2 / 4 + 2 / 3) / 3)
    assert quality.ece == pytest.approx((0.1 + 0.8 + 0.4 + 0.3 + 0.75) / 5)
    assert quality.coverage_at_95 == pytest.approx(1 / 5)
    assert quality.decided == pytest.approx(3 / 5)
    assert quality.precision_decided == pytest.approx(2 / 3)
    assert quality.p50_ms == pytest.approx(3)
    assert quality.p95_ms == pytest.approx(4.8)


def test_a_single_wrong_decision_has_figures_too() -> None:
    """A bench over one task would end in an error."""
    quality = assess([judged("a", 1.0, "b")])
    assert (quality.accuracy, quality.accuracy_last_half, quality.macro_f1) == (0, 0, 0)
    assert (quality.ece, quality.coverage_at_95, quality.precision_decided) == (1, 0, 0)


def test_without_any_decision_there_is_no_precision() -> None:
    """A router that always abstains would look perfect, or the bench would divide by zero."""
    quality = assess([judged("a", 0.3, "a", decided=False)])
    assert (quality.decided, quality.precision_decided) == (0, None)
    assert quality.accuracy == 1


def test_the_best_guess_counts_even_when_hopper_abstained() -> None:
    """Abstaining would hide how good the ranking is, and a change of the bound would look like one of quality."""
    assert Judged.of(decision("a", 0.9, "b"), "a", 2.5) == judged("a", 0.9, "a", ms=2.5)
    abstained = Judged.of(decision(None, 0.4, "b", "c"), "b", 1.0)
    assert abstained == judged("b", 0.4, "b", decided=False)
    assert abstained.right
    nobody = Judged.of(decision(None, 0.0), "b", 1.0)
    assert (nobody.guess, nobody.right) == (None, False)


def test_decisions_of_one_bin_are_judged_together_for_calibration() -> None:
    """Seven right of ten at 70 % would count as badly calibrated, or two opposite errors would stay apart."""
    calibrated = [judged("a", 0.7, "a")] * 7 + [judged("a", 0.7, "b")] * 3
    assert assess(calibrated).ece == pytest.approx(0, abs=1e-9)
    in_one_bin = [judged("a", 0.87, "a"), judged("a", 0.93, "b")]
    assert assess(in_one_bin).ece == pytest.approx((1.80 - 1) / 2)
    in_two_bins = [judged("a", 0.61, "a"), judged("a", 0.69, "b")]
    assert assess(in_two_bins).ece == pytest.approx((0.39 + 0.69) / 2)
    assert assess([judged("a", 1.0, "a"), judged("b", 0.0, "a")]).ece == 0


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([judged("a", 0.9, "b")] + [judged("a", 0.9, "a")] * 19, 1.0),
        ([judged("a", 0.9, "b")] + [judged("a", 0.9, "a")] * 18, 0.0),
        ([judged("a", 0.9, "a")] * 19 + [judged("a", 0.9, "b")] * 2, 0.0),
        ([judged("a", 0.99, "b")] + [judged("a", 0.9, "a")] * 19, 1.0),
        ([judged("a", 0.2, "b")] * 5 + [judged("a", 0.9, "a")] * 5, 0.5),
        ([judged("a", 0.5, "a")] * 4, 1.0),
    ],
)
def test_coverage_is_the_largest_sure_part_that_is_nearly_all_right(series: list[Judged], expected: float) -> None:
    """A person would set the bound by a figure that stops at the first mistake, or cuts through equals by luck."""
    assert assess(series).coverage_at_95 == pytest.approx(expected)
    assert assess(series[::-1]).coverage_at_95 == pytest.approx(expected)


def test_every_target_weighs_the_same_in_macro_f1() -> None:
    """A router that sends everything to the largest team would look good."""
    lazy = [judged("a", 0.9, "a")] * 8 + [judged("a", 0.9, "b"), judged("a", 0.9, "c")]
    quality = assess(lazy)
    assert quality.accuracy == pytest.approx(0.8)
    assert quality.macro_f1 == pytest.approx((16 / 18) / 3)


def test_the_last_half_shows_what_was_learned() -> None:
    """A router that improves would be judged by its first, ignorant decisions."""
    quality = assess([judged("b", 0.5, "a")] * 3 + [judged("a", 0.5, "a")] * 3)
    assert (quality.accuracy, quality.accuracy_last_half) == (0.5, 1.0)
