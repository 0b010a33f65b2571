"""What a server lets sources do."""

from dataclasses import dataclass

MIN_SOURCES = 3
"""Of what two share, each could tell that the other one has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPolicy:
    """`min_sources` have to contribute to a pattern before it leaves, counts here, or is shown to anybody.

    `contribution_cap` is how many cases of a pattern a new source counts for, at most.
    """

    enabled: bool = True
    min_sources: int = MIN_SOURCES
    contribution_cap: int = 100
