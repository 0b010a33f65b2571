"""Keys at work inside the server: what is believed of them, what a flood of made-up ones costs, what they may lock."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from starlette.requests import Request
from tests.builders import a_task, an_instance

from hopper.adapters.postgres.bounds import DROP, SCHEMA
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork
from hopper.app import northbound
from hopper.app.access import authenticate, create_key, list_keys, revoke_key
from hopper.domain.access import AccessPolicy, Asker, RateLimited, Role
from hopper.domain.errors import Invalid, NotFound, Unauthorized, Unavailable
from hopper.entrypoints.http.inside import require_inside
from hopper.ports import Ports

Reading = Callable[..., Any]


def watched(ports: Ports, around: Callable[[Reading], Reading]) -> Ports:
    """The same, where something happens around each unit of work that reads."""
    return replace(ports, reading=around(ports.reading))


async def test_a_key_that_is_revoked_while_it_is_read_ends_at_once(ports: Ports) -> None:
    """Whoever has left could go on for seconds although the server had said that the key is revoked."""
    key = await create_key("left", Role.AGENT, ports=ports)

    def revoking(reading: Reading) -> Reading:
        @asynccontextmanager
        async def read() -> AsyncIterator[Any]:
            async with reading() as uow:
                yield uow
            await revoke_key(key.id, ports=ports)

        return read

    await authenticate(key.token, ports=watched(ports, revoking))
    with pytest.raises(Unauthorized, match="revoked"):
        await authenticate(key.token, ports=ports)


async def test_a_source_that_is_revoked_or_forgotten_fetches_nothing_more(ports: Ports) -> None:
    """Its token would open what many Hoppers share for seconds yet."""
    for ended, told in ((northbound.revoke_source, "revoked"), (northbound.forget_source, "doesn't know")):
        source = await northbound.add_source("s", "a source", ports=ports)
        assert (await authenticate(source.token, ports=ports)).role is Role.SYNC
        await ended("s", ports=ports)
        with pytest.raises(Unauthorized, match=told):
            await authenticate(source.token, ports=ports)


async def test_a_guess_is_no_use_of_a_key(ports: Ports) -> None:
    """`hopper key list` would show a key in use that somebody only knows the id of."""
    key = await create_key("quiet", Role.AGENT, ports=ports)
    with pytest.raises(Unauthorized):
        await authenticate(f"hpk_{key.id}_guessed", ports=ports)
    assert (await list_keys(ports=ports))[0].last_used_at is None
    ports.memory.keys.clear()
    await authenticate(key.token, ports=ports)
    assert (await list_keys(ports=ports))[0].last_used_at is not None


async def test_made_up_tokens_leave_the_database_to_others(ports: Ports) -> None:
    """Anybody without a key could keep all connections to the database busy."""
    open_now = most = 0
    together = asyncio.Event()

    def counting(reading: Reading) -> Reading:
        @asynccontextmanager
        async def read() -> AsyncIterator[Any]:
            nonlocal open_now, most
            async with reading() as uow:
                open_now += 1
                most = max(most, open_now)
                if most > 1:
                    together.set()
                async with asyncio.timeout(20):  # on a busy machine the first would be done before the second comes
                    await together.wait()
                yield uow
                open_now -= 1

        return read

    counted = watched(ports, counting)
    asked = [authenticate(f"hpk_{n:016x}_x", ports=counted) for n in range(40)]
    asked += [northbound.authenticate(f"hps_{n:016x}_x", ports=counted) for n in range(40)]  # type: ignore[misc]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unauthorized}
    assert most == 2


async def test_a_source_may_push_as_often_as_any_key(ports: Ports) -> None:
    """One source in a loop would keep all others waiting."""
    source = await northbound.add_source("s", "a source", ports=ports)
    slow = replace(ports, access=AccessPolicy(rate=1))
    for _ in range(2):
        await northbound.authenticate(source.token, ports=slow)
    with pytest.raises(RateLimited):
        await northbound.authenticate(source.token, ports=slow)


async def inside_of(ports: Ports) -> Ports:
    """As a key sees it that is bound to `mine`, with a task in it and one outside."""
    async with ports.unit_of_work() as uow:
        for id in ("mine", "theirs"):
            await uow.instances.add(an_instance(id))
            await uow.tasks.add(a_task(id=f"{id}-task", instance_id=id))
        await uow.commit()
    return ports.asked_by(Asker(key_id="k", name="mine only", role=Role.ADMIN, within="mine", action="POST /tasks"))


async def test_what_leaves_before_it_is_locked_isnt_changed(ports: Ports) -> None:
    """An edit that waited for another's move would change what is others' by then."""
    bound = await inside_of(ports)
    async with bound.unit_of_work() as uow:
        assert (await uow.tasks.get_for_update("mine-task")).id == "mine-task"
        assert (await uow.instances.get_for_update("mine")).id == "mine"
        with pytest.raises(NotFound):
            await uow.tasks.get_for_update("theirs-task")
        with pytest.raises(NotFound):
            await uow.instances.get_for_update("theirs")


async def test_what_a_body_names_is_looked_up_at_once(ports: Ports) -> None:
    """One request of a bound key that names 25,000 tasks would hold a connection for as many statements."""
    bound = await inside_of(ports)
    statements = 0

    def counting(reading: Reading) -> Reading:
        @asynccontextmanager
        async def read() -> AsyncIterator[Any]:
            async with reading() as uow:
                missing = uow.tasks.missing

                async def counted(ids: list[str]) -> set[str]:
                    nonlocal statements
                    statements += 1
                    return set(await missing(ids))

                uow.tasks.missing = counted
                yield uow

        return read

    ids = ",".join(f'"no-{n}"' for n in range(1_000))
    body = f'{{"title": "x", "depends_on": ["mine-task", {ids}]}}'.encode()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/api/v1/tasks", "headers": [], "query_string": b""}
    with pytest.raises(Invalid, match="no-0"):
        await require_inside(Request(scope, receive), "POST /tasks", watched(bound, counting))
    assert statements == 1


async def test_the_name_of_a_model_fits_into_the_audit_log(ports: Ports) -> None:
    """A model of a long name couldn't be removed: the note of it wouldn't fit, and undo the removal."""
    name = "sentence-transformers/paraphrase-multilingual-mpnet-base-v2".ljust(100, "x")
    asker = Asker(key_id="k", name="n", action="DELETE /embeddings/models/{model}", entity=("model", name))
    async with ports.asked_by(asker).unit_of_work() as uow:
        await uow.commit()
    async with ports.reading() as uow:
        assert [one.entity_id for one in (await uow.audit.list(1)).items] == [name]


async def test_a_user_who_may_not_use_the_views_reads_nothing(database_url: str) -> None:
    """With a database user of its own, apart from the schema's owner, the server would show bound keys everything."""
    user = f"limited_{uuid4().hex[:8]}"
    owner = await asyncpg.connect(database_url)
    bound = Asker(key_id="k", name="n", within="mine")
    try:
        await owner.execute(f"CREATE ROLE {user}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}")
        async with asyncpg.create_pool(database_url, min_size=1, max_size=1, server_settings={"role": user}) as pool:
            with pytest.raises(Unavailable, match="GRANT USAGE"):
                async with PostgresUnitOfWork(pool, {}, reading=True, asker=bound):
                    pass
            await owner.execute(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {user}")
            await owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {user}")
            async with PostgresUnitOfWork(pool, {}, reading=True, asker=bound) as uow:
                assert await uow.instances.missing(["mine"]) == {"mine"}
    finally:
        await owner.execute(f"DROP OWNED BY {user}; DROP ROLE {user}")
        await owner.close()


async def test_the_views_stay_while_a_bound_key_reads(database_url: str) -> None:
    """An upgrade between its first statement and its second would let it see all tables as they are."""
    bound = Asker(key_id="k", name="n", within="mine")
    upgrading = await asyncpg.connect(database_url)
    try:
        async with asyncpg.create_pool(database_url, min_size=1, max_size=1) as pool:
            async with PostgresUnitOfWork(pool, {}, reading=True, asker=bound):
                await upgrading.execute("SET lock_timeout = '100ms'")
                with pytest.raises(asyncpg.LockNotAvailableError):
                    await upgrading.execute(DROP)
            await upgrading.execute(DROP)
            with pytest.raises(Unavailable, match="db upgrade"):
                async with PostgresUnitOfWork(pool, {}, reading=True, asker=bound):
                    pass
    finally:
        await upgrading.close()
