"""From log odds to probabilities."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def probabilities(log_odds: Numbers, nobody: float = 0.0) -> Numbers:
    """Probabilities (…, instance) beside the chance that none of them is right, whose log odds are `nobody`."""
    top = np.maximum(log_odds.max(axis=-1, keepdims=True), nobody)
    odds = np.exp(log_odds - top)
    chances: Numbers = odds / (odds.sum(axis=-1, keepdims=True) + np.exp(nobody - top))
    return chances
