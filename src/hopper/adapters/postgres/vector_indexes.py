"""The approximate indexes over vectors: one a model and kind, so that two models can live side by side.

Each is partial and over an expression. The planner matches it only when model and dimension stand in the statement
as literals; `Space` puts them there.
"""

import re
from dataclasses import dataclass

import asyncpg

from hopper.domain.errors import Invalid
from hopper.ports.vectors import VectorKind

INDEX_FROM = 1_000
"""From so many rows on an approximate index is worth having; below, the exact scan is as quick."""

_VECTOR_LIMIT = 2_000
_HALFVEC_LIMIT = 4_000
"""The most dimensions that pgvector can index in single and in half precision."""

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}")


@dataclass(frozen=True, slots=True)
class Space:
    """A model's vectors in statements where `v` is a table of embeddings and $1 the vector that is asked about."""

    model: str
    dimension: int

    @property
    def is_halved(self) -> bool:
        """Whether the index keeps half precision: more dimensions than one in single precision can have."""
        return self.dimension > _VECTOR_LIMIT

    @property
    def can_be_indexed(self) -> bool:
        return self.dimension <= _HALFVEC_LIMIT

    @property
    def indexed(self) -> str:
        """The indexed expression."""
        return f"(embedding::{self._type})"

    @property
    def operators(self) -> str:
        return "halfvec_cosine_ops" if self.is_halved else "vector_cosine_ops"

    @property
    def distance(self) -> str:
        """The cosine distance, by which the index finds the nearest."""
        return f"((v.embedding::{self._type}) <=> $1::vector::{self._type})"

    @property
    def exact(self) -> str:
        """The cosine distance, written so that no index is used."""
        return "(v.embedding <=> $1::vector)"

    @property
    def own(self) -> str:
        """Only this model's vectors."""
        return f"v.model = {self.literal}"

    @property
    def literal(self) -> str:
        """The model's name as it may stand in a statement."""
        if not _MODEL_NAME.fullmatch(self.model):
            raise Invalid(
                "embeddings.model",
                f"{self.model!r} can't be the name of a model: use letters, digits and . _ : / -",
            )
        return f"'{self.model}'"

    @property
    def _type(self) -> str:
        halved = self.is_halved and self.can_be_indexed
        return f"{'halfvec' if halved else 'vector'}({self.dimension:d})"


class PostgresVectorIndexes:
    """Implements ports.vectors.VectorIndexes. Builds without blocking readers or writers."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._built: set[str] = set()

    async def ensure(self, model: str, dimension: int) -> None:
        for kind in VectorKind:
            name = f"idx_{kind}_embedding_{re.sub(r'[^a-z0-9]', '_', model.lower())[:30]}"
            if name in self._built or not await self._is_large(kind, model):
                continue
            if await self._build(name, kind, model, dimension):
                self._built.add(name)

    async def _is_large(self, kind: VectorKind, model: str) -> bool:
        counted: int = await self._pool.fetchval(
            f"SELECT count(*) FROM (SELECT FROM {kind}_embeddings WHERE model = $1 LIMIT $2) AS counted",
            model,
            INDEX_FROM,
        )
        return counted >= INDEX_FROM

    async def _build(self, name: str, kind: VectorKind, model: str, dimension: int) -> bool:
        """Whether the index is there now; another process may be at it."""
        async with self._pool.acquire() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock(hashtext($1))", name):
                return False
            try:
                valid = await connection.fetchval(
                    "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", name
                )
                if valid is False:  # a build that was broken off
                    await connection.execute(f"DROP INDEX CONCURRENTLY {name}")
                if not valid:
                    await connection.execute(
                        f"""CREATE INDEX CONCURRENTLY {name} ON {kind}_embeddings
                            USING hnsw ({Space(model, dimension).indexed} {Space(model, dimension).operators})
                            WHERE model = {Space(model, dimension).literal}"""
                    )
                    await connection.execute(f"ANALYZE {kind}_embeddings")
            finally:
                if not connection.is_closed():
                    await connection.execute("SELECT pg_advisory_unlock(hashtext($1))", name)
        return True
