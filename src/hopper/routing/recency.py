"""Do tasks come in runs? Who is likely to get the next one, judging only by who got the last ones.

A Bayesian mixture (Hoeting et al. 1999, Bayesian model averaging) of exponentially decayed frequencies and of
"anyone, equally": each is weighted by how well it would have predicted the recent tasks. When tasks arrive in
bursts a short memory wins and the mixture follows them; when they don't, "anyone" wins and recency says nothing.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hopper.domain.ids import InstanceId

Numbers = NDArray[np.float64]

WINDOW = 64
"""How many of the last outcomes are looked at."""

_DECAY = 0.5 ** (1.0 / np.array([2.0, 8.0, 32.0]))
"""Memories with half-lives of 2, 8 and 32 tasks."""

_AGE = np.arange(WINDOW)[:, None] - np.arange(WINDOW)[None, :] - 1
_WEIGHTS: Numbers = np.where(_AGE >= 0, _DECAY[:, None, None] ** np.maximum(_AGE, 0), 0.0)
"""How much each memory still holds of outcome j when outcome i arrives: (memory, i, j)."""


def recency_prior(recent: Sequence[InstanceId], candidates: Sequence[InstanceId], idle: float = 0.0) -> Numbers:
    """Probability a candidate, in their order, from recent outcomes (the oldest first).

    `idle` is for how long none has become known, in mean gaps between them: a run fades while nobody hears of it.
    """
    size = len(candidates)
    position = {candidate: at for at, candidate in enumerate(candidates)}
    seen = np.array([position[instance] for instance in recent[-WINDOW:] if instance in position], dtype=int)
    past = len(seen)
    weights = _WEIGHTS[:, :past, :past]
    foreseen = _smoothed((weights * (seen[:, None] == seen[None, :])).sum(axis=2), weights.sum(axis=2), size)
    likelihood = np.append(np.log(foreseen).sum(axis=1), -past * np.log(size))
    belief = np.exp(likelihood - likelihood.max())
    belief /= belief.sum()

    held = _DECAY[:, None] ** (np.arange(past)[::-1] + idle)
    counts = (held[:, :, None] * (seen[:, None] == np.arange(size))).sum(axis=1)
    frequencies = _smoothed(counts, counts.sum(axis=1, keepdims=True), size)
    prior: Numbers = (belief[:-1, None] * frequencies).sum(axis=0) + belief[-1] / size
    return prior


def _smoothed(counts: Numbers, totals: Numbers, candidates: int) -> Numbers:
    """Frequencies with one more observation spread over all candidates, so that none is impossible."""
    smoothed: Numbers = (counts + 1.0 / candidates) / (totals + 1.0)
    return smoothed
