"""What a server lets sources do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPolicy:
    """`min_sources` have to contribute to a pattern before it leaves, or counts here.

    `contribution_cap` is how many cases of a pattern a new source counts for, at most.
    """

    enabled: bool = True
    min_sources: int = 3
    contribution_cap: int = 100
