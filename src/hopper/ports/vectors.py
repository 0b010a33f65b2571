"""Vectors of entities, and what they are made from. A projection: all of it can be made again from the truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hopper.domain.episode import SimilarEpisode
    from hopper.domain.ids import PatternId, TaskId
    from hopper.domain.instance import Scope
    from hopper.ports.embedder import Vector
    from hopper.ports.repositories import TaskFilter


class VectorKind(StrEnum):
    """What a vector stands for.

    A task's and a pattern's follow their texts; an episode's stays that of its task when it was decided, or soon
    after.
    """

    TASK = "task"
    EPISODE = "episode"
    PATTERN = "pattern"


@dataclass(frozen=True, slots=True)
class EmbeddingSource:
    """The text that an entity's vector is made from, and the hash of the text that its stored vector came from."""

    text: str
    stored_hash: str | None


@dataclass(frozen=True, slots=True)
class StoredVector:
    vector: Vector
    content_hash: str


class VectorRepository(Protocol):
    async def sources(self, kind: VectorKind, ids: Sequence[str], model: str) -> Mapping[str, EmbeddingSource]:
        """Texts as they are now; an id that is gone is missing from the answer."""
        ...

    async def get(self, kind: VectorKind, id: str, model: str) -> StoredVector | None: ...

    async def of_task(self, task_id: TaskId, model: str) -> tuple[str, StoredVector | None]:
        """A task's text as it is now, and its vector, which may be of an older one. Raises NotFound."""
        ...

    async def put(self, kind: VectorKind, model: str, vectors: Mapping[str, StoredVector]) -> None:
        """Add or replace; an entity that has gone meanwhile is passed over."""
        ...

    async def similar_episodes(
        self, vector: Vector, model: str, scopes: Iterable[Scope], limit: int
    ) -> tuple[SimilarEpisode, ...]:
        """The nearest episodes whose outcome is known, the most alike first.

        Whose episodes are wanted has or had one of these scopes; those of others may be passed over.
        """
        ...

    async def similar_tasks(
        self, vector: Vector, model: str, where: TaskFilter, limit: int, exclude: TaskId | None = None
    ) -> tuple[tuple[TaskId, float], ...]:
        """The nearest tasks that match the filter, with their cosine similarity, the most alike first.

        As many as there are, up to the limit, however few of all tasks match. Nothing for the zero vector.
        """
        ...

    async def similarities(self, vector: Vector, model: str, task_ids: Sequence[TaskId]) -> Mapping[TaskId, float]:
        """The cosine similarity of these tasks, without those that have no vector."""
        ...

    async def similar_patterns(self, vector: Vector, model: str, limit: int) -> tuple[tuple[PatternId, float], ...]:
        """The nearest active patterns, with their cosine similarity, the most alike first."""
        ...


class IndexState(StrEnum):
    """How a kind's vectors are searched: through an index, or by comparing all."""

    READY = "ready"
    TO_BE_BUILT = "to be built"
    NOT_NEEDED = "not needed"
    IMPOSSIBLE = "impossible"


class VectorIndexes(Protocol):
    """Upkeep of the approximate indexes, outside any unit of work."""

    async def ensure(self, model: str, dimension: int) -> None:
        """Build the index of every kind that has grown large enough to want one, and drop what it replaces."""
        ...

    async def states(self, model: str, dimension: int) -> Mapping[VectorKind, IndexState]: ...

    async def drop(self, model: str) -> None:
        """Remove the model's indexes."""
        ...
