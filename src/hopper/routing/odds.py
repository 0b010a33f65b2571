"""Between probabilities and log odds."""

from math import log

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

_SUREST = 0.98
"""No pattern's record is taken for surer."""

_NEARLY = 1e-4
"""No probability is taken for nearer to 0 or 1 when it is calibrated."""

Calibration = tuple[float, float, float]
"""Intercept, and the weights of log p and of -log(1 - p): beta calibration (Kull, Silva Filho & Flach 2017).

With two equal weights it is Platt's line; with unlike ones it can also say that the surest are less sure than they seem
while the doubtful are as they seem.
"""


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


def calibration_terms(said: Numbers) -> Numbers:
    """What a calibration weighs (…, 3) of these probabilities (…)."""
    capped = np.clip(said, _NEARLY, 1 - _NEARLY)
    return np.stack([np.ones_like(capped), np.log(capped), -np.log1p(-capped)], axis=-1)
