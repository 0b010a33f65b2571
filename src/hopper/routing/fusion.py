"""Making one ranking out of several."""

from collections.abc import Mapping, Sequence

K = 60
"""How little the first places count more than the next ones: the value of Cormack et al."""


def fused(rankings: Mapping[str, Sequence[str]]) -> tuple[tuple[str, float, dict[str, int]], ...]:
    """Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): ids with score and rank by ranker, the best first.

    Ranks count from 1. Those with the same score come in the order of their ids, the last one first.
    """
    ranks: dict[str, dict[str, int]] = {}
    for ranker, ids in rankings.items():
        for rank, id in enumerate(ids, 1):
            ranks.setdefault(id, {})[ranker] = rank
    scored = [(id, sum(1 / (K + rank) for rank in by.values()), by) for id, by in ranks.items()]
    return tuple(sorted(scored, key=lambda hit: (hit[1], hit[0]), reverse=True))
