"""The text model that the router has learned, and what it is learned from."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hopper.domain.ids import EpisodeId
from hopper.domain.training import TrainingExample, Verdict


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the order in which outcomes became known or were corrected."""

    moment: datetime
    episode_id: EpisodeId


@dataclass(frozen=True, slots=True)
class Learned:
    """A stored model: its version, and the outcomes it was made from, `outcomes` of them, all until `through`.

    The vectors of `awaited` of these were still to be made. Where nothing can be learned from the outcomes, a model
    without content is stored, so that nobody tries again and again.
    """

    version: int
    outcomes: int
    through: Mark
    awaited: int = 0


class TextModelRepository(Protocol):
    async def learned(self) -> Learned | None:
        """What the stored model was made from."""
        ...

    async def content(self) -> bytes | None: ...

    async def put(self, content: bytes, outcomes: int, through: Mark, awaited: int = 0) -> Learned:
        """Store a model in place of the one before."""
        ...

    async def last_outcome(self) -> Mark | None: ...

    async def newer(self, than: Mark | None, limit: int) -> int:
        """How many outcomes became known, were corrected or taken back since; counted up to the limit."""
        ...

    async def awaited(self, through: Mark, embedding_model: str) -> int:
        """How many of the outcomes until then have a vector to come."""
        ...

    def examples(self, through: Mark, limit: int, embedding_model: str) -> AsyncIterator[TrainingExample]:
        """A task and its instance for each outcome that became known until then, as it stands now, in a fixed order.

        With more than the limit the newest of each instance stay, so that rare ones aren't forgotten.
        """
        ...

    async def verdicts(self, through: Mark, limit: int) -> Sequence[Verdict]:
        """What became of the last of Hopper's own decisions, the oldest first.

        One that was refused was wrong, whoever would have been right; one that abstained is judged by its first
        alternative.
        """
        ...
