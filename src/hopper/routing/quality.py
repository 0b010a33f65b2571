"""How good a series of decisions was. Pure; needs only what was decided and what turned out right.

A decision is judged by its best guess, whether or not Hopper was sure enough to act on it: an abstention with the
right instance first counts as right, and what abstaining saved is in `decided` and `precision_decided`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hopper.domain.decision import Decision
from hopper.domain.ids import InstanceId

_BINS = 15
_PRECISION = 0.95


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision's best guess (None when nobody could take the task), and who should have had it."""

    guess: InstanceId | None
    confidence: float
    decided: bool
    target: InstanceId
    milliseconds: float

    @classmethod
    def of(cls, decision: Decision, target: InstanceId, milliseconds: float) -> "Judged":
        first = decision.alternatives[0].instance_id if decision.alternatives else None
        return cls(
            guess=decision.chosen_instance or first,
            confidence=decision.confidence,
            decided=decision.chosen_instance is not None,
            target=target,
            milliseconds=milliseconds,
        )

    @property
    def right(self) -> bool:
        return self.guess == self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Shares run from 0 to 1; times are milliseconds a decision.

    `ece` is the expected calibration error over 15 bins of equal width (Naeini et al. 2015, Guo et al. 2017),
    `coverage_at_95` the largest share of tasks, the surest first, that is at least 95 % right, `macro_f1` the mean
    over all targets. `decided` is the share that wasn't left in triage and `precision_decided` how much of that
    was right (None when nothing was decided).
    """

    tasks: int
    targets: int
    accuracy: float
    accuracy_last_half: float
    macro_f1: float
    ece: float
    coverage_at_95: float
    decided: float
    precision_decided: float | None
    p50_ms: float
    p95_ms: float


def assess(judged: Sequence[Judged]) -> Quality:
    """The figures of at least one decision, in the order in which they were made."""
    right = np.array([one.right for one in judged], dtype=float)
    confidence = np.array([one.confidence for one in judged])
    times = np.array([one.milliseconds for one in judged])
    decided = np.array([one.decided for one in judged])
    return Quality(
        tasks=len(judged),
        targets=len({one.target for one in judged}),
        accuracy=float(right.mean()),
        accuracy_last_half=float(right[len(right) // 2 :].mean()),
        macro_f1=_macro_f1(judged),
        ece=_calibration_error(confidence, right),
        coverage_at_95=_coverage(confidence, right),
        decided=float(decided.mean()),
        precision_decided=float(right[decided].mean()) if decided.any() else None,
        p50_ms=float(np.percentile(times, 50)),
        p95_ms=float(np.percentile(times, 95)),
    )


def _macro_f1(judged: Sequence[Judged]) -> float:
    wanted = Counter(one.target for one in judged)
    guessed = Counter(one.guess for one in judged)
    hit = Counter(one.target for one in judged if one.right)
    return sum(2 * hit[target] / (wanted[target] + guessed[target]) for target in wanted) / len(wanted)


def _calibration_error(confidence: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(right))


def _coverage(confidence: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Decisions of one confidence can't be told apart, so they count together."""
    order = np.argsort(-confidence, kind="stable")
    covered = np.arange(1, len(order) + 1)
    precise = np.cumsum(right[order]) >= _PRECISION * covered
    last_of_its_confidence = np.append(np.diff(confidence[order]) != 0, True)
    reached = covered[precise & last_of_its_confidence]
    return float(reached.max() / len(order)) if len(reached) else 0.0
