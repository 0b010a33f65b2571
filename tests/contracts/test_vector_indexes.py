"""The approximate indexes over many vectors: they make the search faster and change nothing that it finds."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.builders import an_episode
from tests.contracts.working import Backend, add

from hopper.domain.errors import Invalid
from hopper.ports.vectors import StoredVector, VectorKind

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
        await add(
            uow, *(an_episode(None, "a", id=f"e{n}", outcome_instance="a" if n in known else None) for n in range(MANY))
        )
        await uow.vectors.put(
            VectorKind.EPISODE, MODEL, {f"e{n}": StoredVector(row, "h") for n, row in enumerate(matrix)}
        )
        await uow.commit()


async def nearest(backend: Backend, asked: Matrix, limit: int) -> list[str]:
    async with backend.unit_of_work() as uow:
        return [found.episode_id for found in await uow.vectors.similar_episodes(asked, MODEL, limit)]


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
            await uow.vectors.similar_episodes(vectors()[0], model, 10)
    assert refused.value.field == "embeddings.model"
