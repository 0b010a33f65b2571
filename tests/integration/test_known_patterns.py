"""Active patterns that a process has read already: never older than what is stored, whoever changed it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import asyncpg
import pytest
from tests.builders import a_pattern

from hopper.adapters.postgres.patterns import Known
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork, open_pool
from hopper.app.projections import SUBSCRIPTIONS
from hopper.domain.pattern import Pattern

Open = Callable[[], PostgresUnitOfWork]


@pytest.fixture
def known() -> Known:
    return {}


@pytest.fixture
async def opened(database_url: str, known: Known) -> AsyncIterator[Open]:
    """Units of work that share what they have read, over patterns a, b and c."""
    pool = await open_pool(database_url, 8)

    def unit_of_work() -> PostgresUnitOfWork:
        return PostgresUnitOfWork(pool, SUBSCRIPTIONS, known_patterns=known)

    async with unit_of_work() as uow:
        for id in "cab":
            await uow.patterns.add(a_pattern(id=id))
        await uow.commit()
    yield unit_of_work
    await pool.close()


async def names(opened: Open) -> dict[str, str]:
    async with opened() as uow:
        return {pattern.id: pattern.name for pattern in await uow.patterns.active()}


async def changed(opened: Open, id: str, *, commit: bool = True, **fields: object) -> Pattern:
    async with opened() as uow:
        pattern = await uow.patterns.update(replace(await uow.patterns.get(id), **fields))  # type: ignore[arg-type]
        if commit:
            await uow.commit()
    return pattern


async def test_what_is_known_isnt_read_again(opened: Open, known: Known) -> None:
    """Every decision would spend most of its time on rows that it has seen before."""
    async with opened() as uow:
        first = await uow.patterns.active()
        again = await uow.patterns.active()
    assert [pattern.id for pattern in first] == ["a", "b", "c"]
    assert all(one is other for one, other in zip(first, again, strict=True))
    await changed(opened, "b", name="new")
    async with opened() as uow:
        third = await uow.patterns.active()
    assert [one is other for one, other in zip(first, third, strict=True)] == [True, False, True]
    await changed(opened, "a", is_active=False)
    assert list(await names(opened)) == ["b", "c"] == sorted(known)


async def test_every_change_is_seen_at_once(opened: Open, database_url: str) -> None:
    """A rule that a person has just corrected, or switched off, would go on deciding."""
    await names(opened)
    await changed(opened, "a", name="by this process")
    other = await asyncpg.connect(database_url)
    await other.execute("UPDATE routing_patterns SET name = 'by hand' WHERE id = 'b'")
    await other.execute("DELETE FROM routing_patterns WHERE id = 'c'")
    assert await names(opened) == {"a": "by this process", "b": "by hand"}
    await other.execute("UPDATE routing_patterns SET is_active = false WHERE id = 'a'")
    assert list(await names(opened)) == ["b"]
    await other.execute("UPDATE routing_patterns SET is_active = true WHERE id = 'a'")
    assert list(await names(opened)) == ["a", "b"]
    await other.close()


async def test_what_is_undone_was_never_known(opened: Open) -> None:
    """A change that failed would count until the next one."""
    before = await names(opened)
    async with opened() as uow:
        await uow.patterns.update(replace(await uow.patterns.get("a"), name="undone"))
        assert "undone" in {pattern.name for pattern in await uow.patterns.active()}
    await changed(opened, "a", commit=False, name="undone, too")
    assert await names(opened) == before
    await changed(opened, "a", name="done")
    assert await names(opened) == {**before, "a": "done"}


async def test_readers_and_writers_at_once_see_all_that_is_there(opened: Open) -> None:
    """A decision would miss a rule because another request looked at the same moment."""

    async def read() -> None:
        assert {"a", "c"} <= (await names(opened)).keys()

    async def write(at: int) -> None:
        await changed(opened, "b", is_active=at % 2 == 0)
        await changed(opened, "a", name=f"{at}")

    for at in range(15):
        await asyncio.gather(read(), write(at), read(), read())
    assert await names(opened) == {"a": "14", "b": "goes to payments", "c": "goes to payments"}
