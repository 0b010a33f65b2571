"""What the requests of this process are counted by, as cheaply as can be: each request pays for it."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds, as Prometheus's clients have them."""


@dataclass(slots=True)
class Took:
    """Requests that took up to so long, bucket for bucket, the last for the slowest; and how long all of them took."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0


class Traffic:
    """Requests that were answered, by method, route and status."""

    def __init__(self) -> None:
        self.under_way = 0
        self._answered: defaultdict[tuple[str, str, int], Took] = defaultdict(Took)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        took = self._answered[method, route, status]
        took.buckets[bisect_left(BUCKETS, seconds)] += 1
        took.seconds += seconds

    def answered(self) -> Iterator[tuple[tuple[str, str, int], int]]:
        for key, took in self._answered.items():
            yield key, sum(took.buckets)

    def latencies(self) -> dict[tuple[str, str], Took]:
        """By method and route, of whatever status."""
        together: defaultdict[tuple[str, str], Took] = defaultdict(Took)
        for (method, route, _), took in self._answered.items():
            one = together[method, route]
            one.buckets = [mine + more for mine, more in zip(one.buckets, took.buckets, strict=True)]
            one.seconds += took.seconds
        return together
