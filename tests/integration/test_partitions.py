"""Episodes and their embeddings lie by the scope of the instances that they are about, and decisions read no others."""

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import a_task, an_episode, an_instance
from tests.contracts.working import add

from hopper.adapters.postgres.schema import PARTITIONS, SCOPES
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork
from hopper.adapters.postgres.vector_indexes import Space
from hopper.adapters.postgres.vectors import similar_episodes_sql
from hopper.domain.instance import Scope
from hopper.ports.vectors import StoredVector, VectorKind

MODEL = "test"
VECTOR = np.array([1, 0, 0, 0], dtype=np.float32)
OWNERS = {"g": Scope.GLOBAL, "p": Scope.PROJECT, "o": Scope.ORCHESTRATION}


@pytest.fixture
async def uow(uow: PostgresUnitOfWork) -> PostgresUnitOfWork:
    """With an instance of each scope."""
    await add(uow, *(an_instance(id, scope=scope) for id, scope in OWNERS.items()))
    return uow


async def remember(uow: PostgresUnitOfWork, id: str, chosen: str | None, **outcome: object) -> None:
    await add(uow, a_task(id=id), an_episode(id, chosen, id=id, **outcome))
    await uow.vectors.put(VectorKind.EPISODE, MODEL, {id: StoredVector(VECTOR, "h")})


async def places(uow: PostgresUnitOfWork, id: str) -> set[str]:
    """The partitions that an episode and its embedding are in."""
    rows = await uow._connection.fetch(
        """SELECT tableoid::regclass::text AS place FROM routing_episodes WHERE id = $1
           UNION ALL SELECT tableoid::regclass::text FROM episode_embeddings WHERE episode_id = $1""",
        id,
    )
    return {row["place"] for row in rows}


def both(scope: str) -> set[str]:
    return {f"routing_episodes_{scope}", f"episode_embeddings_{scope}"}


@pytest.mark.parametrize("scopes", [{Scope.PROJECT}, {Scope.GLOBAL, Scope.ORCHESTRATION}])
async def test_the_search_for_neighbours_opens_no_other_partitions(scopes: set[Scope], uow: PostgresUnitOfWork) -> None:
    """Each decision of a project would search everybody's memory, and slow down as all of it grows."""
    for id in OWNERS:
        await remember(uow, f"e-{id}", id, outcome_instance=id)
    statement = similar_episodes_sql(Space(MODEL, 4), scopes, 64)
    plan = str(await uow._connection.fetch(f"EXPLAIN {statement}", VECTOR))
    opened = {name for name in PARTITIONS if f" on {name} " in plan or f" on {name}'" in plan}
    assert opened == set().union(*(both(scope.lower()) for scope in scopes))
    found = await uow.vectors.similar_episodes(VECTOR, MODEL, scopes, 64)
    assert {OWNERS[str(one.outcome_instance)] for one in found} == scopes


async def test_an_episode_is_where_its_instance_belongs(uow: PostgresUnitOfWork) -> None:
    """What is known of an instance wouldn't be found by decisions about it."""
    await remember(uow, "chosen", "p")
    await remember(uow, "abstained", None)
    await remember(uow, "unknown", "never seen")
    await remember(uow, "corrected", "p", outcome_instance="g")
    assert await places(uow, "chosen") == both("project")
    assert await places(uow, "abstained") == await places(uow, "unknown") == both("none")
    assert await places(uow, "corrected") == both("global")


async def test_an_episode_moves_with_its_outcome(uow: PostgresUnitOfWork) -> None:
    """A correction would teach nothing to those who decide among its right instances."""
    await remember(uow, "e", "p")
    await uow.episodes.update(an_episode("e", "p", id="e", outcome_instance="o", outcome_success=False))
    assert await places(uow, "e") == both("orchestration")
    assert [one.episode_id for one in await uow.vectors.similar_episodes(VECTOR, MODEL, [Scope.ORCHESTRATION], 5)]
    await uow.episodes.update(an_episode("e", "p", id="e"))
    assert await places(uow, "e") == both("project")


async def test_what_an_instance_did_in_another_scope_is_still_read(uow: PostgresUnitOfWork) -> None:
    """Giving an instance another scope would make Hopper forget all that it knows of it."""
    await remember(uow, "e", "p", outcome_instance="p")
    for scope in (Scope.GLOBAL, Scope.ORCHESTRATION, Scope.GLOBAL):
        await uow.instances.update(replace(await uow.instances.get("p"), scope=scope))
    candidate = (await uow.instances.routable_from(None))["p"]
    assert candidate.scopes == set(Scope)
    assert await uow.vectors.similar_episodes(VECTOR, MODEL, candidate.scopes, 5)
    assert await places(uow, "e") == both("project")


def test_every_scope_has_its_partition() -> None:
    """The first decision for an instance of a new scope would fail."""
    assert set(SCOPES) == {*Scope, "NONE"}
