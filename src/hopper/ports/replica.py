"""What a server knows of its database's replica, which answers searches beside the primary."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

Position = int
"""How far a database's log of changes has come; what was stored up to there is seen from there on."""


class ReplicaState(StrEnum):
    """Whether the replica answers, and why not."""

    IN_USE = "in use"
    BEHIND = "behind"
    LOST = "lost"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """`lag_seconds` is for how long the primary has had something that the replica lacks; None while that isn't known.

    `answered` counts units of work that the replica took since the server began, `passed_on` those that the primary
    took in its place. `trouble` says why it isn't used.
    """

    state: ReplicaState
    lag_seconds: float | None
    answered: int
    passed_on: int
    trouble: str | None


class Replica(Protocol):
    @property
    def status(self) -> ReplicaStatus: ...

    async def position(self) -> Position:
        """How far the primary has come: all that is acknowledged by now. Raises Unavailable."""
        ...
