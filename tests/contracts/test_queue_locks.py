"""Workers that report and writers that change the same entities: none waits for the other in a ring."""

from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg
import pytest
from tests.builders import a_task
from tests.contracts.working import UnitOfWorkFactory, keep, waiting

from hopper.app.projections import EMBEDDING

NO_TIME = timedelta(0)


@pytest.mark.parametrize("report", ["done", "failed"])
async def test_a_report_and_an_edit_of_the_same_tasks_never_lock_up(
    report: str, uow_factory: UnitOfWorkFactory, database_url: str
) -> None:
    """On a server that runs for a while, an edit would fail because a worker was just then reporting on its tasks."""
    for id in ("z", "m", "a"):
        await keep(uow_factory, a_task(id=id))
    connection = await asyncpg.connect(database_url)
    await connection.execute("VACUUM ANALYZE projection_queue")  # as it happens by itself after some minutes
    await connection.close()
    async with uow_factory() as uow:
        items = {item.entity_id: item for item in await uow.queue.claim(EMBEDDING, 10, NO_TIME)}
        await uow.commit()

    async def edit() -> None:
        async with uow_factory() as uow:
            for id in ("a", "m", "z"):
                await uow.tasks.update(a_task(id=id))
            await uow.commit()

    async def tell() -> None:
        async with uow_factory() as uow:
            those = [items["z"], items["a"]]
            if report == "done":
                await uow.queue.done(EMBEDDING, those)
            else:
                await uow.queue.failed(EMBEDDING, those, "Unavailable", NO_TIME)
            await uow.commit()

    async with AsyncExitStack() as holding:
        holder = await holding.enter_async_context(uow_factory())
        await holder.queue.failed(EMBEDDING, [items["m"]], "Unavailable", NO_TIME)
        async with waiting(edit()), waiting(tell()):
            await holding.aclose()
    async with uow_factory() as uow:
        assert await uow.queue.depth(EMBEDDING) == 3
