"""Between probabilities and log odds."""

from math import log

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

_SUREST = 0.98
"""No pattern's record is taken for surer."""


def probabilities(log_odds: Numbers, nobody: float = 0.0) -> Numbers:
    """Probabilities (…, instance) beside the chance that none of them is right, whose log odds are `nobody`."""
    top = np.maximum(log_odds.max(axis=-1, keepdims=True), nobody)
    odds = np.exp(log_odds - top)
    chances: Numbers = odds / (odds.sum(axis=-1, keepdims=True) + np.exp(nobody - top))
    return chances


def pattern_log_odds(proven: float) -> float:
    """What a pattern of such a proven confidence says for its target."""
    capped = min(max(proven, 1 - _SUREST), _SUREST)
    return log(capped / (1 - capped))
