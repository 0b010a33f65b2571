"""Embedding models: which one is searched, which one search is to move to, and what each has so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hopper.ports.embedder import Embedder
from hopper.ports.vectors import VectorKind


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """A model as it is recorded: enough to make its embedder again, when the settings name another.

    `base_url` is where its provider is, if over the network.
    """

    model: str
    provider: str
    dimension: int
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class Roles:
    """`searched` answers now; `wanted` is what search moves to once it is complete. Mostly they are the same.

    None is searched while the first one is being filled, and none is wanted where there are to be no vectors.
    """

    searched: EmbeddingModel | None
    wanted: EmbeddingModel | None


@dataclass(frozen=True, slots=True)
class Audited:
    """An entity that should have a vector: its text, and what its stored vector came from (None: it has none).

    `is_outdated` when the vector isn't found by its episode's outcome, or is found although there is none.
    """

    id: str
    text: str
    stored_hash: str | None
    dimension: int | None
    is_outdated: bool


@dataclass(frozen=True, slots=True)
class Lacking:
    """Of the `known` entities that the new model is to have vectors of: how many it lacks.

    `refused` are those that its provider keeps failing on, `missing` the others; `stored` is what the new one has.
    """

    known: int
    stored: int
    missing: int
    refused: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for a vector: `failing` of them have been tried in vain, for `last_error`."""

    waiting: int
    failing: int
    last_error: str | None


class ModelRepository(Protocol):
    """The record of models, and their vectors as a whole."""

    async def want(self, model: EmbeddingModel | None) -> None:
        """Have search move to the model; where there is nothing yet to be found, it is searched at once.

        Without one search does without from now on. Raises Conflict when it has vectors of another dimension.
        """
        ...

    async def roles(self) -> Roles: ...

    async def all(self) -> tuple[EmbeddingModel, ...]: ...

    async def search(self, model: str) -> None:
        """Search the model from now on, if it is still the wanted one."""
        ...

    async def drop(self, model: str, limit: int) -> int:
        """Remove up to so many of a model's vectors, and with the last its record; returns how many went."""
        ...

    async def lacking(self, kind: VectorKind, old: str | None, new: str) -> Lacking:
        """What the new model lacks of what the old one has; without one, of what was there when it was wanted."""
        ...

    async def audit(self, kind: VectorKind, model: str, after: str, limit: int) -> Sequence[Audited]:
        """The entities that should have a vector, by id; those after the given one."""
        ...

    async def orphans(self, kind: VectorKind, model: str, limit: int) -> Sequence[str]:
        """Ids of vectors whose entity is gone."""
        ...

    async def remove(self, kind: VectorKind, model: str, ids: Sequence[str]) -> None: ...

    async def follow_outcomes(self, model: str, episode_ids: Sequence[str]) -> None:
        """Have the model's vectors of these episodes found if, and only if, their outcome is known."""
        ...

    async def stored(self) -> Mapping[tuple[str, VectorKind], int]:
        """How many vectors each model has of each kind."""
        ...

    async def entities(self) -> Mapping[VectorKind, int]:
        """How many entities should have a vector."""
        ...

    async def waiting(self) -> Mapping[VectorKind, Waiting]: ...


class Models(Protocol):
    """The embedders of the models in use."""

    @property
    def searched(self) -> Embedder:
        """That of the searched model; of none, one that embeds nothing."""
        ...

    @property
    def none_searched(self) -> str | None:
        """Why no model is searched, and what to do about it; None if one is."""
        ...

    def use(self, roles: Roles) -> tuple[Embedder, ...]:
        """Follow the record; returns what to embed with: for the searched model, and for one that is to be."""
        ...

    def trouble(self, model: EmbeddingModel) -> str | None:
        """Why this server can't embed with the model."""
        ...
