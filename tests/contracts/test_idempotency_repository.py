"""Retried creates: one key makes one thing, however often and however fast it comes."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from tests.builders import NOW, a_task
from tests.contracts.working import UnitOfWorkFactory, waiting

from hopper.domain.errors import IdempotencyMismatch
from hopper.ports.unit_of_work import UnitOfWork


async def claim(uow: UnitOfWork, entity: str, *, key: str = "task:k1", fingerprint: str = "f1") -> str | None:
    return await uow.idempotency.begin(key, fingerprint, entity, NOW)


async def create(uow_factory: UnitOfWorkFactory, entity: str) -> str:
    """The id of the task that the key made, whoever was first."""
    async with uow_factory() as uow:
        earlier = await claim(uow, entity)
        if earlier:
            return earlier
        await uow.tasks.add(a_task(id=entity))
        await uow.commit()
    return entity


async def test_a_key_that_comes_again_leads_to_what_it_made_first(uow_factory: UnitOfWorkFactory) -> None:
    """A client that retries after a broken connection would file its task twice."""
    assert await create(uow_factory, "first") == "first"
    assert await create(uow_factory, "second") == "first"
    async with uow_factory() as uow:
        assert await uow.tasks.missing(["first", "second"]) == {"second"}
        assert await claim(uow, "third") == "first"


async def test_other_keys_are_other_things(uow: UnitOfWork) -> None:
    """A client's second task would be taken for a retry of its first."""
    assert await claim(uow, "first") is None
    assert await claim(uow, "second", key="task:k2") is None
    assert await claim(uow, "third", key="pattern:k1") is None


async def test_a_key_with_another_request_is_refused(uow_factory: UnitOfWorkFactory) -> None:
    """A client that reuses a key by mistake would be told that its new task was stored."""
    await create(uow_factory, "first")
    async with uow_factory() as uow:
        with pytest.raises(IdempotencyMismatch, match="'k1'"):
            await claim(uow, "second", fingerprint="f2")


async def test_a_claim_that_is_not_committed_is_free_again(uow_factory: UnitOfWorkFactory) -> None:
    """A create that failed could never be retried, and its key would lead to nothing."""
    async with uow_factory() as uow:
        assert await claim(uow, "failed") is None
    assert await create(uow_factory, "second") == "second"


async def test_a_retry_waits_for_the_first_try_and_gets_its_answer(uow_factory: UnitOfWorkFactory) -> None:
    """An impatient client that retries at once would file its task twice."""
    async with uow_factory() as uow:
        assert await claim(uow, "first") is None
        async with waiting(create(uow_factory, "second")) as retry:
            await uow.tasks.add(a_task(id="first"))
            await uow.commit()
    assert retry.result() == "first"


async def test_a_retry_takes_over_when_the_first_try_fails(uow_factory: UnitOfWorkFactory) -> None:
    """A retry that overtook a failing first try would be answered with a task that doesn't exist."""
    async with AsyncExitStack() as failing:
        first = await failing.enter_async_context(uow_factory())
        assert await claim(first, "first") is None
        async with waiting(create(uow_factory, "second")) as retry:
            await failing.aclose()
    assert retry.result() == "second"


async def test_of_many_at_once_one_is_made(uow_factory: UnitOfWorkFactory) -> None:
    """A client that sends its request many times at once would get as many tasks."""
    async with asyncio.timeout(20):
        made = await asyncio.gather(*(create(uow_factory, f"t{n}") for n in range(20)))
    assert len(set(made)) == 1
    async with uow_factory() as uow:
        assert (await uow.episodes.statistics()).tasks == 1
