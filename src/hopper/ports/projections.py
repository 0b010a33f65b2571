"""Which projections are followed, and how far each one is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hopper.domain.graph_answer_models import AnsweredBy


@dataclass(frozen=True, slots=True)
class ProjectionState:
    """While it is followed, every change is put on its queue.

    `reserved` is the last number that was given to one of its transactions, it only grows; `applied` the greatest of
    those that are known to have ended well. `rebuilding` says that it is being filled from nothing.
    """

    followed_since: datetime | None
    reserved: int
    applied: int
    rebuilding: bool


@dataclass(frozen=True, slots=True)
class GraphStamp:
    """`changes` grows with every transaction that changes what the graph says. Whatever was read after a stamp is at
    least as new; it is still current as long as the stamp is the same.

    `is_current` says that the graph database has all of that, if its position is `applied`; else the `truth` is asked.
    """

    changes: int
    is_current: bool
    applied: int
    truth: AnsweredBy = AnsweredBy.POSTGRESQL


class ProjectionRepository(Protocol):
    """How to begin to follow without missing a change: commit `follow`; take `last_writer`; wait until
    `oldest_writer` is no less. Whoever hadn't seen `follow` when it put its changes on the queue has ended by then, so
    its changes can be read; everyone else's are on the queue.
    """

    async def state(self, projection: str) -> ProjectionState: ...

    async def identity(self, projection: str) -> str:
        """Tells its truth from that of other databases."""
        ...

    async def follow(self, projection: str, now: datetime) -> bool:
        """Have changes put on its queue from now on; returns whether they weren't before.

        What was written until now isn't on it, so it has to be built."""
        ...

    async def unfollow(self, projection: str) -> None:
        """Have none put on its queue, and forget what waits there and how far it was.

        Writers that end after this may still leave some there, which do no harm.
        """
        ...

    async def reserve(self, projection: str) -> int:
        """The next number, which nobody else gets; others wait until this unit of work ends."""
        ...

    async def applied(self, projection: str, position: int) -> None:
        """A transaction with this number has ended well."""
        ...

    async def begin_rebuilding(self, projection: str) -> None:
        """What it holds isn't to be used or written until `rebuilt`."""
        ...

    async def rebuilt(self, projection: str, position: int) -> None:
        """It was filled under this number; it counts unless somebody has reserved another one since."""
        ...

    async def count_change(self) -> None:
        """Answers about the graph from before aren't current any more. The last thing in a unit of work: it locks."""
        ...

    async def graph_stamp(self) -> GraphStamp: ...

    async def last_writer(self) -> int:
        """Every transaction that has written anything by now has a lower number than this."""
        ...

    async def oldest_writer(self) -> int:
        """Every transaction of this database with a lower number than this has ended."""
        ...
