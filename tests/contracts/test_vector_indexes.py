"""The approximate indexes over many vectors: they make the search faster and change nothing that it finds."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.builders import a_task, an_episode, an_instance
from tests.contracts.working import Backend, add

from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork, open_pool
from hopper.adapters.postgres.vector_indexes import PostgresVectorIndexes
from hopper.domain.errors import Invalid
from hopper.domain.instance import Scope
from hopper.ports.repositories import TaskFilter
from hopper.ports.vectors import IndexState, StoredVector, VectorKind

pytestmark = pytest.mark.server_only

MODEL = "test-8"
MANY = 1100
Matrix = NDArray[np.float32]


def vectors() -> Matrix:
    """Many unit vectors, always the same ones."""
    drawn = np.random.default_rng(5).normal(size=(MANY, 8)).astype(np.float32)
    unit: Matrix = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


async def remember(backend: Backend, matrix: Matrix, known: Sequence[int]) -> None:
    """An episode a vector; only the outcomes of the `known` ones are known."""
    async with backend.unit_of_work() as uow:
        await add(uow, an_instance("a"))
        await add(
            uow, *(an_episode(None, "a", id=f"e{n}", outcome_instance="a" if n in known else None) for n in range(MANY))
        )
        await uow.vectors.put(
            VectorKind.EPISODE, MODEL, {f"e{n}": StoredVector(row, "h") for n, row in enumerate(matrix)}
        )
        await uow.commit()


async def nearest(backend: Backend, asked: Matrix, limit: int) -> list[str]:
    async with backend.unit_of_work() as uow:
        return [found.episode_id for found in await uow.vectors.similar_episodes(asked, MODEL, Scope, limit)]


async def test_with_an_index_the_nearest_are_still_found(backend: Backend) -> None:
    """From a thousand decisions on, Hopper would decide by cases that are not the most alike."""
    matrix = vectors()
    await remember(backend, matrix, range(MANY))
    await backend.vector_indexes.ensure(MODEL, 8)
    await backend.vector_indexes.ensure(MODEL, 8)
    found = 0
    for asked in matrix[:20]:
        exact = [f"e{n}" for n in np.argsort(-(matrix @ asked), kind="stable")[:10]]
        answer = await nearest(backend, asked, 10)
        assert answer[0] == exact[0]
        assert len(answer) == 10
        found += len({*answer} & {*exact})
    assert found >= 190  # of 200


async def test_few_known_outcomes_among_many_are_all_found(backend: Backend) -> None:
    """While most decisions have no outcome yet, the few that have one would be overlooked, and nothing be learned."""
    matrix = vectors()
    known = range(0, MANY, 200)
    await remember(backend, matrix, known)
    await backend.vector_indexes.ensure(MODEL, 8)
    exact = sorted(known, key=lambda n: -float(matrix[n] @ matrix[1]))
    assert await nearest(backend, matrix[1], 20) == [f"e{n}" for n in exact]


@pytest.mark.parametrize("model", ["it's", "a b", "", 'x"; DROP TABLE tasks; --', "x" * 101])
async def test_a_model_whose_name_cannot_stand_in_a_statement_is_refused(model: str, backend: Backend) -> None:
    """A strange model name in the configuration would end in a syntax error, or worse."""
    async with backend.unit_of_work() as uow:
        with pytest.raises(Invalid) as refused:
            await uow.vectors.similar_episodes(vectors()[0], model, Scope, 10)
    assert refused.value.field == "embeddings.model"


async def file(backend: Backend, matrix: Matrix, model: str = MODEL) -> None:
    """A task a vector; every 5,000th has the tag `rare`, and its own project."""
    async with backend.unit_of_work() as uow:
        tasks = [
            a_task(id=f"t{n}", tags={"rare": True} if n % 5_000 == 4_000 else {}, project=f"p{n % 2_500}")
            for n in range(len(matrix))
        ]
        await uow.tasks.add_many(tasks)
        stored = {f"t{n}": StoredVector(row, "h") for n, row in enumerate(matrix)}
        await uow.vectors.put(VectorKind.TASK, model, stored)
        await uow.commit()


def drawn(number: int, dimension: int) -> Matrix:
    drawn = np.random.default_rng(7).normal(size=(number, dimension)).astype(np.float32)
    unit: Matrix = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


@pytest.mark.parametrize("where", [TaskFilter(tag="rare"), TaskFilter(project="p1500")])
async def test_the_few_tasks_that_pass_a_filter_are_all_found(where: TaskFilter, backend: Backend) -> None:
    """An index that stops after the nearest of all would answer that a project has nothing of the kind."""
    matrix = drawn(10_000, 8)
    await file(backend, matrix)
    await backend.vector_indexes.ensure(MODEL, 8)
    passing = [n for n in range(len(matrix)) if (n % 5_000 == 4_000 if where.tag else n % 2_500 == 1_500)]
    asked = -matrix[passing[0]]  # as far away as can be
    exact = sorted(passing, key=lambda n: -float(matrix[n] @ asked))
    async with backend.unit_of_work() as uow:
        found = await uow.vectors.similar_tasks(asked, MODEL, where, 10)
    assert [id for id, _ in found] == [f"t{n}" for n in exact]


@pytest.mark.parametrize("method", ["hnsw", "ivfflat"])
async def test_each_kind_gets_the_index_that_is_asked_for(method: str, backend: Backend, database_url: str) -> None:
    """A setting would be accepted and change nothing, or the search go on comparing all."""
    pool = await open_pool(database_url, 4)
    indexes = PostgresVectorIndexes(pool, method)
    matrix = vectors()
    await file(backend, matrix)
    await remember(backend, matrix, range(MANY))
    states = await indexes.states(MODEL, 8)
    assert states == {
        VectorKind.TASK: IndexState.TO_BE_BUILT,
        VectorKind.EPISODE: IndexState.TO_BE_BUILT,
        VectorKind.PATTERN: IndexState.NOT_NEEDED,
    }
    await indexes.ensure(MODEL, 8)
    assert {*(await indexes.states(MODEL, 8)).values()} == {IndexState.READY, IndexState.NOT_NEEDED}
    made = await pool.fetch("SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'idx_task_embedding%'")
    assert [f"USING {method}" in row["indexdef"] for row in made] == [True]
    found = 0
    async with PostgresUnitOfWork(pool, {}, reading=True, ivfflat=method == "ivfflat") as uow:
        for asked in matrix[:20]:
            exact = {f"t{n}" for n in np.argsort(-(matrix @ asked))[:10]}
            found += len(exact & {id for id, _ in await uow.vectors.similar_tasks(asked, MODEL, TaskFilter(), 10)})
    assert found >= 180  # of 200
    await pool.close()


async def test_another_kind_of_index_replaces_the_old_one(backend: Backend, database_url: str) -> None:
    """Both would be kept up to date with every task, and the planner choose either."""
    pool = await open_pool(database_url, 4)
    await file(backend, vectors())
    await PostgresVectorIndexes(pool, "hnsw").ensure(MODEL, 8)
    await PostgresVectorIndexes(pool, "ivfflat").ensure(MODEL, 8)
    made = await pool.fetch("SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'idx_task_embedding%'")
    assert [("ivfflat" in row["indexdef"], "lists='100'" in row["indexdef"]) for row in made] == [(True, True)]
    await PostgresVectorIndexes(pool, "ivfflat").drop(MODEL)
    assert await pool.fetchval("SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'idx_task_embedding%'") == 0
    await pool.close()


@pytest.mark.parametrize(
    ("dimension", "kind", "state"),
    [(2_000, "vector_cosine_ops", IndexState.READY), (2_001, "halfvec_cosine_ops", IndexState.READY)],
)
async def test_long_vectors_are_indexed_in_half_precision(
    dimension: int, kind: str, state: IndexState, backend: Backend, database_url: str
) -> None:
    """A provider's largest model couldn't be used, or each search would compare all."""
    matrix = drawn(MANY, dimension)
    await file(backend, matrix, "long")
    await backend.vector_indexes.ensure("long", dimension)
    assert (await backend.vector_indexes.states("long", dimension))[VectorKind.TASK] is state
    pool = await open_pool(database_url, 1)
    assert kind in await pool.fetchval("SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'idx_task_embedding%'")
    await pool.close()
    async with backend.unit_of_work() as uow:
        found = await uow.vectors.similar_tasks(matrix[3], "long", TaskFilter(), 3)
    assert found[0][0] == "t3"
    assert found[0][1] == pytest.approx(1, abs=1e-3)


async def test_vectors_too_long_for_any_index_are_compared_one_by_one(backend: Backend) -> None:
    """The server would try to build an index again and again, and log an error each time."""
    matrix = drawn(MANY, 4_001)
    await file(backend, matrix, "longest")
    await backend.vector_indexes.ensure("longest", 4_001)
    assert {*(await backend.vector_indexes.states("longest", 4_001)).values()} == {IndexState.IMPOSSIBLE}
    async with backend.unit_of_work() as uow:
        assert (await uow.vectors.similar_tasks(matrix[3], "longest", TaskFilter(), 3))[0][0] == "t3"
