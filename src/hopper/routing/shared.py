"""What other Hoppers found: a hint where one's own evidence says little, and no more than that.

A pattern that came from others names no instance, only a scope. It speaks for all candidates of that scope alike,
against the rest of them; where all have one scope it says nothing. It never speaks against, and it is not what makes a
decision sure: certainty comes from one's own outcomes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hopper.domain.ids import InstanceId
from hopper.domain.instance import Scope
from hopper.routing.odds import pattern_log_odds
from hopper.routing.patterns import Match

_WEIGHT = 0.25
"""A sixth of what a pattern of one's own counts for."""

_SUREST = 0.9
"""No record of others is taken for surer: who sends much would otherwise say much."""


def shared_odds(
    matches: Sequence[Match], ids: Sequence[InstanceId], scopes: Mapping[InstanceId, Scope]
) -> NDArray[np.float64]:
    """Log odds (instance,) from the surest pattern for each scope; they differ by at most 0.55.

    A pattern's confidence is the median of its sources', after their records: no single one of them can turn it.
    """
    said: dict[Scope | None, float] = {}
    for match in matches:
        scope, confidence = match.pattern.target_scope, min(match.pattern.confidence, _SUREST)
        said[scope] = max(said.get(scope, 0.0), _WEIGHT * pattern_log_odds(confidence))
    odds = np.array([said.get(scopes[id], 0.0) if id in scopes else 0.0 for id in ids])
    return np.asarray(odds - odds.mean())
