"""What whoever watches over a server wants to know of its database, also when that is down."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from hopper.ports.queue import Backlog


@dataclass(frozen=True, slots=True)
class Pool:
    """Connections: `idle` of the `size` that are open, of `most`; so many units of work wait for one now.

    `taken` were given out since the process began, after `waited` seconds in all.
    """

    size: int
    idle: int
    most: int
    waiting: int
    taken: int
    waited: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What waits for each projection; and of the last decisions of Hopper's own whose outcome is known, the right."""

    backlogs: Mapping[str, Backlog]
    known: int
    right: int


class Monitor(Protocol):
    """Doesn't wait for the pool's connections. What asks the database raises Unavailable within two seconds."""

    async def look(self) -> str | None:
        """The schema's revision, if there is one."""
        ...

    @property
    def revision(self) -> str:
        """The one that this version is made for."""
        ...

    async def figures(self, projections: Collection[str]) -> Figures: ...

    def pool(self) -> Pool: ...
