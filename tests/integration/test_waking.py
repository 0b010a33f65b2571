"""Workers are woken by what they have to do, and by nothing else."""

from tests.builders import NOW, a_task, an_instance

from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork, open_pool
from hopper.app.projections import GRAPH, SUBSCRIPTIONS


async def test_only_what_is_put_on_a_queue_wakes_the_workers(database_url: str) -> None:
    """Without a graph database every change of an instance would have the workers look for work in vain."""
    woken: list[str] = []
    pool = await open_pool(database_url, 2)
    try:
        async with PostgresUnitOfWork(pool, SUBSCRIPTIONS, lambda: woken.append("instance")) as uow:
            await uow.instances.add(an_instance("a"))
            await uow.commit()
        assert woken == []
        async with PostgresUnitOfWork(pool, SUBSCRIPTIONS, lambda: woken.append("task")) as uow:
            await uow.tasks.add(a_task())
            await uow.projections.follow(GRAPH, NOW)
            await uow.commit()
        async with PostgresUnitOfWork(pool, SUBSCRIPTIONS, lambda: woken.append("followed instance")) as uow:
            await uow.instances.add(an_instance("b"))
            await uow.commit()
        assert woken == ["task", "followed instance"]
    finally:
        await pool.close()
