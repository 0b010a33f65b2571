"""The approximate indexes over vectors: one a model and table, so that two models can live side by side.

Of episodes' embeddings each partition has its own, when it is large enough.

Each is partial and over an expression. The planner matches it only when model and dimension stand in the statement
as literals; `Space` puts them there.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import isqrt

import asyncpg

from hopper.adapters.postgres import concurrently
from hopper.adapters.postgres.sql import Connection
from hopper.domain.errors import Invalid
from hopper.domain.ids import MODEL_NAME
from hopper.ports.vectors import IndexState, VectorKind

INDEX_FROM = 1_000
"""From so many rows on an approximate index is worth having; below, the exact scan is as quick."""

_VECTOR_LIMIT = 2_000
_HALFVEC_LIMIT = 4_000
"""The most dimensions that pgvector can index in single and in half precision."""

_FEWEST_LISTS = 100

_HNSW = "ef_construction = 200"
"""Takes twice as long to build as the default, and loses fewer of those that lie apart from all others."""

_BUILD_MEGABYTES = 1024
"""The most memory that building an index may take, unless the server is set to more. 100,000 vectors of 1,536
dimensions need most of it; a graph that doesn't fit is finished on disk, which takes hours."""

_TABLES = """SELECT c.oid::regclass::text AS table FROM pg_class c
    WHERE c.relkind = 'r' AND (c.oid = $1::text::regclass
        OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = $1::text::regclass)) ORDER BY 1"""
"""A table, or the partitions that it consists of."""

_THERE = f"""SELECT c.oid::regclass::text AS name,
        (SELECT option_value::int FROM pg_options_to_table(c.reloptions) WHERE option_name = 'lists') AS lists,
        i.indisvalid AS is_valid
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid::regclass::text IN ({_TABLES}) AND c.relname ~ '^idx_[a-z]+_embedding_'
        AND position(quote_literal($2::text) IN pg_get_expr(i.indpred, i.indrelid)) > 0"""
"""A model's indexes on a table, by the name that stands in their condition."""

PROBES = f"""SELECT set_config('ivfflat.probes', ceil(sqrt(max(lists)))::text, false) FROM ({_THERE}) AS there
    HAVING max(lists) IS NOT NULL"""
"""How many lists a search looks at, as pgvector advises. For the session: the next search says it again."""

_SEARCHED = {VectorKind.TASK: "true", VectorKind.EPISODE: "is_known", VectorKind.PATTERN: "true"}
"""Which vectors are searched; an index has no others. So a decision, which teaches nothing yet, doesn't wait for it."""


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
        if not re.fullmatch(MODEL_NAME, self.model):
            raise Invalid(
                "embeddings.model",
                f"{self.model!r} can't be the name of a model: use letters, digits and . _ : / -",
            )
        return f"'{self.model}'"

    @property
    def _type(self) -> str:
        halved = self.is_halved and self.can_be_indexed
        return f"{'halfvec' if halved else 'vector'}({self.dimension:d})"


@dataclass(frozen=True, slots=True)
class _Index:
    """An index that a table has, or should have; `lists` is None unless it is ivfflat."""

    name: str
    lists: int | None
    is_valid: bool = False


class PostgresVectorIndexes:
    """Implements ports.vectors.VectorIndexes. Builds without blocking readers or writers.

    `method` is hnsw or ivfflat. An ivfflat index has as many lists as suit the number of vectors when it is built, and
    is built anew when twice as many would suit them.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", method: str = "hnsw") -> None:
        self._pool = pool
        self._method = method

    async def ensure(self, model: str, dimension: int) -> None:
        for kind in VectorKind:
            async with self._pool.acquire() as connection:
                for table in await _tables(connection, f"{kind}_embeddings"):
                    await _Indexed(connection, table, kind, Space(model, dimension), self._method).ensure()

    async def states(self, model: str, dimension: int) -> Mapping[VectorKind, IndexState]:
        return {kind: await self._state(kind, Space(model, dimension)) for kind in VectorKind}

    async def drop(self, model: str) -> None:
        for kind in VectorKind:
            for index in await self._pool.fetch(_THERE, f"{kind}_embeddings", model):
                await self._pool.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index['name']}")

    async def _state(self, kind: VectorKind, space: Space) -> IndexState:
        async with self._pool.acquire() as connection:
            states = {
                await _Indexed(connection, table, kind, space, self._method).state()
                for table in await _tables(connection, f"{kind}_embeddings")
            }
        return next(state for state in _FIRST_TOLD if state in states)


_FIRST_TOLD = (IndexState.IMPOSSIBLE, IndexState.TO_BE_BUILT, IndexState.READY, IndexState.NOT_NEEDED)
"""What is said of several tables."""


async def like_those_of(connection: Connection, old: str, schema: str, say: Callable[[str], None]) -> None:
    """Build on the table of the same name in the schema what an old one is searched by."""
    kind = VectorKind(old.removesuffix("_embeddings"))
    for model, dimension in await connection.fetch("SELECT model, dimension FROM embedding_models ORDER BY model"):
        space = Space(model, dimension)
        there = await connection.fetch(_THERE, old, model)
        for table in await _tables(connection, f"{schema}.{old}") if there else ():
            method = "hnsw" if all(index["lists"] is None for index in there) else "ivfflat"
            indexed = _Indexed(connection, table, kind, space, method)
            if await indexed.state() is IndexState.TO_BE_BUILT:
                say(f"Building the index of {table} for {model}.")
                await indexed.ensure()


async def _tables(connection: Connection, name: str) -> list[str]:
    return [row["table"] for row in await connection.fetch(_TABLES, name)]


class _Indexed:
    """A table, or partition, with its index for one model."""

    def __init__(self, connection: Connection, table: str, kind: VectorKind, space: Space, method: str) -> None:
        self._connection = connection
        self._table = table
        self._space = space
        self._method = method
        schema, dot, self._name = table.rpartition(".")
        self._schema = schema + dot
        self._kind = kind
        self._condition = f"model = {space.literal} AND {_SEARCHED[kind]}"

    async def ensure(self) -> None:
        if not (self._space.can_be_indexed and await self._is_large()):
            return
        there = await self._there()
        wanted = await self._wanted(there)
        if wanted.is_valid or await self._build(wanted):
            for index in there:
                if index.name != wanted.name:
                    await self._connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}")

    async def state(self) -> IndexState:
        if not self._space.can_be_indexed:
            return IndexState.IMPOSSIBLE
        if not await self._is_large():
            return IndexState.NOT_NEEDED
        return IndexState.READY if (await self._wanted(await self._there())).is_valid else IndexState.TO_BE_BUILT

    async def _is_large(self) -> bool:
        counted: int = await self._connection.fetchval(
            f"SELECT count(*) FROM (SELECT FROM {self._table} WHERE {self._condition} LIMIT $1) AS counted", INDEX_FROM
        )
        return counted >= INDEX_FROM

    async def _there(self) -> list[_Index]:
        return [_Index(*row) for row in await self._connection.fetch(_THERE, self._table, self._space.model)]

    async def _wanted(self, there: Sequence[_Index]) -> _Index:
        """The index that the table should have: the one that is there, if it still suits."""
        lists = await self._lists() if self._method == "ivfflat" else None
        for index in there:
            suits = lists is None or 2 * (index.lists or 0) > lists
            if suits and index.is_valid and index.name == self._named(index.lists):
                return index
        return _Index(self._named(lists), lists)

    async def _lists(self) -> int:
        """As pgvector advises: a thousandth of the rows, and above a million their square root."""
        rows: int = await self._connection.fetchval(f"SELECT count(*) FROM {self._table} WHERE {self._condition}")
        return max(_FEWEST_LISTS, rows // 1000 if rows <= 1_000_000 else isqrt(rows))

    async def _build(self, index: _Index) -> bool:
        """Whether the index is there now; another process may be at it."""
        connection = self._connection
        if not await connection.fetchval("SELECT pg_try_advisory_lock(hashtext($1))", index.name):
            return False
        try:
            # One process: others have work to do, too.
            await connection.fetchval(
                """SELECT set_config(name, greatest(setting::int, 1024 * $1)::text, false)
                   FROM pg_settings WHERE name = 'maintenance_work_mem'""",
                _BUILD_MEGABYTES,
            )
            await connection.execute("SET max_parallel_maintenance_workers = 0")
            await concurrently.build(
                connection,
                index.name,
                f"""ON {self._table} USING {self._method} ({self._space.indexed} {self._space.operators})
                    WITH ({_HNSW if index.lists is None else f"lists = {index.lists:d}"}) WHERE {self._condition}""",
            )
            await connection.execute(f"ANALYZE {self._table}")
        finally:
            if not connection.is_closed():
                await connection.execute("RESET maintenance_work_mem")
                await connection.execute("RESET max_parallel_maintenance_workers")
                await connection.execute("SELECT pg_advisory_unlock(hashtext($1))", index.name)
        return True

    def _named(self, lists: int | None) -> str:
        """Tells apart what differs, in the 63 bytes that a name may have."""
        space, method = self._space, self._method
        partition = self._name.removeprefix(f"{self._kind}_embeddings")
        differing = f"{space.model} {space.dimension} {lists} {_SEARCHED[self._kind]}{partition}"
        digest = sha256(differing.encode()).hexdigest()[:8]
        readable = re.sub(r"[^a-z0-9]", "_", space.model.lower())[:20]
        return f"{self._schema}idx_{self._kind}_embedding_{readable}_{method}_{digest}"
