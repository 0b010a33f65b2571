"""Do tasks come in runs? Who is likely to get the next one, judging only by who got the last ones.

A Bayesian mixture (Hoeting et al. 1999, Bayesian model averaging) of exponentially decayed frequencies and of
"anyone, equally": each is weighted by how well it would have predicted the recent tasks. When tasks arrive in
bursts a short memory wins and the mixture follows them; when they don't, "anyone" wins and recency says nothing.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hopper.domain.ids import InstanceId

WINDOW = 64
"""How many of the last outcomes are looked at."""

_DECAY = 0.5 ** (1.0 / np.array([2.0, 8.0, 32.0]))
"""Memories with half-lives of 2, 8 and 32 tasks."""


def recency_prior(recent: Sequence[InstanceId], candidates: Sequence[InstanceId]) -> NDArray[np.float64]:
    """Probability a candidate, in their order, from recent outcomes (the oldest first)."""
    size = len(candidates)
    position = {candidate: at for at, candidate in enumerate(candidates)}
    counts = np.zeros((len(_DECAY), size))
    likelihood = np.zeros(len(_DECAY) + 1)
    for instance in recent[-WINDOW:]:
        at = position.get(instance)
        if at is None:
            continue
        likelihood[:-1] += np.log(_smoothed(counts)[:, at])
        likelihood[-1] -= np.log(size)
        counts *= _DECAY[:, None]
        counts[:, at] += 1.0
    weights = np.exp(likelihood - likelihood.max())
    weights /= weights.sum()
    prior: NDArray[np.float64] = weights[:-1] @ _smoothed(counts) + weights[-1] / size
    return prior


def _smoothed(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Frequencies with one more observation spread over all candidates, so that none is impossible."""
    smoothed: NDArray[np.float64] = (counts + 1.0 / counts.shape[1]) / (counts.sum(axis=1, keepdims=True) + 1.0)
    return smoothed
