"""A vector that is stored or mended while its episode's outcome changes: it is found just when the outcome is known."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.builders import NOW, a_task, an_episode, an_instance
from tests.contracts.working import UnitOfWorkFactory, keep, waiting

from hopper.domain.ids import InstanceId
from hopper.domain.instance import Scope
from hopper.ports.unit_of_work import UnitOfWork
from hopper.ports.vectors import StoredVector, VectorKind

pytestmark = pytest.mark.server_only

MODEL = "test"
VECTOR = np.array([1, 0, 0, 0], dtype=np.float32)

Step = Callable[[UnitOfWork], Awaitable[None]]


def outcome(instance: InstanceId | None) -> Step:
    """The outcome becomes known, or is taken back."""
    episode = an_episode("t", "a", id="e", outcome_instance=instance, completed_at=NOW if instance else None)
    return lambda uow: uow.episodes.update(episode)


async def stored(uow: UnitOfWork) -> None:
    await uow.vectors.put(VectorKind.EPISODE, MODEL, {"e": StoredVector(VECTOR, "h")})


async def mended(uow: UnitOfWork) -> None:
    await uow.models.follow_outcomes(MODEL, ["e"])


async def found(uow_factory: UnitOfWorkFactory) -> list[str]:
    async with uow_factory() as uow:
        return [one.episode_id for one in await uow.vectors.similar_episodes(VECTOR, MODEL, Scope, 5)]


async def done(uow_factory: UnitOfWorkFactory, *steps: Step) -> None:
    async with uow_factory() as uow:
        for step in steps:
            await step(uow)
        await uow.commit()


@pytest.mark.parametrize("after", ["a", None])
@pytest.mark.parametrize("vector_first", [True, False])
@pytest.mark.parametrize("step", [stored, mended])
async def test_a_vector_and_its_outcome_may_come_at_the_same_time(
    step: Step, vector_first: bool, after: InstanceId | None, uow_factory: UnitOfWorkFactory
) -> None:
    """A worker is just at an episode when a person says how it went: the case would never be found, or for ever."""
    before = an_episode("t", "a", id="e")
    if after is None:
        before = replace(before, outcome_instance="a", completed_at=NOW)
    await keep(uow_factory, an_instance("a"), a_task(id="t"), before)
    if step is mended:
        await done(uow_factory, stored)
    first, second = (step, outcome(after)) if vector_first else (outcome(after), step)
    async with uow_factory() as uow:
        await first(uow)
        async with waiting(done(uow_factory, second)):
            await uow.commit()
    assert await found(uow_factory) == (["e"] if after else [])
