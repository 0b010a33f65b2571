"""What an instance's record says of it: how often it gave back what was delegated to it."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hopper.domain.graph import Standing
from hopper.domain.ids import InstanceId

_PRIOR = 20.0
"""So many delegations that went as usual are added to each instance's own: a first refusal then says little."""


def record_odds(standings: Mapping[InstanceId, Standing], ids: Sequence[InstanceId]) -> NDArray[np.float64]:
    """Log odds (instance,) that a delegation is kept, against what is usual among these instances.

    Each one's share of refusals is drawn towards the usual one (an empirical Bayes estimate; Efron & Morris 1975).
    """
    known = [standings.get(id, Standing()) for id in ids]
    refused = np.array([one.rejected for one in known], dtype=np.float64)
    settled = refused + np.array([one.completed for one in known], dtype=np.float64)
    usual = (refused.sum() + 1) / (settled.sum() + 2)
    kept = 1 - (refused + _PRIOR * usual) / (settled + _PRIOR)
    return np.asarray(np.log(kept / (1 - usual)))
