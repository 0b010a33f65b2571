"""Changing the embedding model: search stays with the old one until the new one has everything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from tests.builders import a_pattern, a_task
from tests.steps import belongs, drained, filed, joined

from hopper.adapters.postgres.vector_indexes import INDEX_FROM
from hopper.app import lifecycle
from hopper.app.embeddings import differences, drop_model, embedding_status
from hopper.app.tasks import edit_task
from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.domain.errors import Conflict, NotFound, Unavailable
from hopper.domain.ids import TaskId
from hopper.ports import Ports
from hopper.ports.repositories import TaskFilter
from hopper.ports.vectors import IndexState, VectorKind

OLD, NEW = "wordllama-256", "wordllama-64"


def configured(model: str) -> Any:
    return load_settings(embeddings={"model": model, "batch_size": 100})


@asynccontextmanager
async def serving_with(model: str, url: str) -> AsyncIterator[Ports]:
    async with open_hopper(configured(model), url) as opened:
        yield opened


async def found(ports: Ports, text: str) -> tuple[tuple[TaskId, float], ...]:
    """What a request finds that asks for tasks like the text."""
    ports = ports.settled()
    [vector] = await ports.embedder.embed([text])
    async with ports.reading() as uow:
        return await uow.vectors.similar_tasks(vector, ports.embedder.model, TaskFilter(), 5)


async def searched(ports: Ports) -> str | None:
    async with ports.reading() as uow:
        roles = await uow.models.roles()
    return roles.searched.model if roles.searched else None


async def moved_to(model: str, ports: Ports) -> None:
    async with asyncio.timeout(60):
        while True:
            if await searched(ports) == model:
                return
            await asyncio.sleep(0.05)


async def lacking(ports: Ports, model: str) -> dict[str, int]:
    """How many differences of each kind a whole check finds."""
    counts = dict.fromkeys(("missing", "stale", "wrong_dimension", "outdated_outcome", "orphaned"), 0)
    cursor = None
    while True:
        part = await differences(cursor, ports=ports, model=model)
        for name in counts:
            counts[name] += len(getattr(part, name))
        if part.next_cursor is None:
            return counts
        cursor = part.next_cursor


NOTHING = {"missing": 0, "stale": 0, "wrong_dimension": 0, "outdated_outcome": 0, "orphaned": 0}


async def sql(url: str, statement: str, *values: object) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()


VERBS = ("order", "repair", "move", "clean", "paint", "sell", "copy", "scan", "lend", "label", "store", "return")
THINGS = ("printer", "chair", "invoice", "plant", "laptop", "carpet", "kettle", "poster", "letter", "battery")
PLACES = ("kitchen", "cellar", "garage", "lobby", "garden", "office", "library", "attic", "canteen", "archive")
COFFEE = "Please order a new coffee machine for the kitchen"


def request(number: int) -> str:
    """One of many requests that differ as much as those of an office do."""
    thing, place = THINGS[number // 12 % 10], PLACES[number // 120 % 10]
    return f"Please {VERBS[number % 12]} the {thing} in the {place}, case {number}"


async def prepared(ports: Ports, tasks: int) -> TaskId:
    """Many tasks, a decided one and a pattern, all embedded; returns the first task's id."""
    await joined(ports, "cards")
    first = await filed(ports, COFFEE)
    await lifecycle.route_task(first.id, ports=ports)
    await belongs(ports, first.id, "cards")
    async with ports.unit_of_work() as uow:
        await uow.tasks.add_many([a_task(request(number)) for number in range(tasks)])
        await uow.patterns.add(a_pattern("cards"))
        await uow.commit()
    await drained(ports)
    return first.id


async def test_search_is_never_blind_while_the_model_changes(database_url: str) -> None:
    """For as long as a change of the model takes, nothing similar would be found, and every task be left in triage."""
    async with serving_with(OLD, database_url) as ports:
        first = await prepared(ports, INDEX_FROM + 500)
    async with serving_with(NEW, database_url) as ports:
        assert ports.embedder.model == OLD
        stop = asyncio.Event()
        filed_meanwhile: list[TaskId] = []
        looked = 0

        async def write() -> None:
            while not stop.is_set():
                task = await filed(ports, f"Written meanwhile {len(filed_meanwhile)}")
                filed_meanwhile.append(task.id)
                await edit_task(first, {"description": f"Edited {len(filed_meanwhile)} times"}, ports=ports)
                if len(filed_meanwhile) % 10 == 0:
                    await lifecycle.route_task(task.id, ports=ports.settled(), dry_run=True)
                await asyncio.sleep(0.01)

        async def look() -> None:
            nonlocal looked
            while not stop.is_set():
                answer = await found(ports, COFFEE)
                assert answer[0][0] == first, "the task that is most alike wasn't found"
                assert len(answer) == 5
                looked += 1
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            group.create_task(look())
            await moved_to(NEW, ports)
            await asyncio.sleep(2.5)  # by then every part of the server has heard of it
            stop.set()
        assert looked > 20
        assert ports.embedder.model == NEW
        await drained(ports)
        assert await lacking(ports, NEW) == NOTHING
        assert (
            await lifecycle.route_task((await filed(ports, COFFEE)).id, ports=ports.settled())
        ).chosen_instance == "cards"
        status = await embedding_status(ports=ports)
        [new] = [model for model in status.models if model.model == NEW]
        assert {one.kind: one.index for one in new.kinds}[VectorKind.TASK] is IndexState.READY
        [old] = [model for model in status.models if model.model == OLD]
        assert {one.kind: one.stored for one in old.kinds}[VectorKind.TASK] > INDEX_FROM  # dropped on command only


async def indexed(model: str, ports: Ports) -> None:
    """Wait until the tasks have their index."""
    async with asyncio.timeout(20):
        while True:
            states = await ports.vector_indexes.states(model, int(model.rpartition("-")[2]))
            if states[VectorKind.TASK] is IndexState.READY:
                return
            await asyncio.sleep(0.05)


WANT_NEXT = "INSERT INTO embedding_models (model, provider, dimension, wanted_at) VALUES ('next', 'gone', 8, now())"
"""As a server does that is set to a model of a provider that this one doesn't have."""


async def test_vectors_of_a_model_in_use_cannot_be_dropped(database_url: str) -> None:
    """One wrong word on the command line, and every decision would be made blindly until all is embedded again."""
    async with serving_with(OLD, database_url) as ports:
        await prepared(ports, 5)
        with pytest.raises(Conflict, match="is searched"):
            await drop_model(OLD, ports=ports)
        with pytest.raises(NotFound):
            await drop_model(NEW, ports=ports)
        await sql(database_url, WANT_NEXT)
        with pytest.raises(Conflict, match="moving"):
            await drop_model("next", ports=ports)
        assert await lacking(ports, OLD) == NOTHING


async def test_a_model_that_is_out_of_use_is_dropped_whole(database_url: str) -> None:
    """Old vectors and their indexes would fill the disk for ever, or slow every change down."""
    async with serving_with(OLD, database_url) as ports:
        await prepared(ports, INDEX_FROM)
        await indexed(OLD, ports)
    async with serving_with(NEW, database_url) as ports:
        await moved_to(NEW, ports)
        dropped = await drop_model(OLD, ports=ports)
        assert (dropped.vectors, dropped.is_done) == (INDEX_FROM + 1, False)
        while True:
            if (await drop_model(OLD, ports=ports)).is_done:
                break
        for kind in VectorKind:
            assert await sql(database_url, f"SELECT count(*) FROM {kind}_embeddings WHERE model = $1", OLD) == 0
        assert await sql(database_url, "SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%wordllama-256%'") == 0
        assert [model.model for model in (await embedding_status(ports=ports)).models] == [NEW]
        assert await lacking(ports, NEW) == NOTHING


async def test_going_back_before_the_change_is_complete_leaves_everything_as_it_was(database_url: str) -> None:
    """A model that was set by mistake would be searched after all, though nobody wants it any more."""
    async with serving_with(OLD, database_url) as ports:
        await prepared(ports, 5)
    await sql(database_url, WANT_NEXT)
    async with serving_with(OLD, database_url) as ports:
        status = await embedding_status(ports=ports)
        assert (status.searched, status.wanted) == (OLD, OLD)
        assert await found(ports, COFFEE)


async def test_without_the_old_provider_the_new_model_is_still_built(database_url: str) -> None:
    """Whoever changes because a provider has gone would wait for it for ever."""
    await sql(
        database_url,
        """INSERT INTO embedding_models (model, provider, dimension, wanted_at, searched_at)
           VALUES ('gone-8', 'gone', 8, now(), now())""",
    )
    await sql(database_url, "INSERT INTO tasks (id, title, status) VALUES ('t', $1, 'pending')", COFFEE)
    await sql(
        database_url,
        """INSERT INTO task_embeddings (task_id, model, embedding, content_hash)
           VALUES ('t', 'gone-8', '[1,0,0,0,0,0,0,0]', 'h')""",
    )
    async with serving_with(NEW, database_url) as ports:
        before = await embedding_status(ports=ports)
        assert before.searched == "gone-8"
        [gone] = [model for model in before.models if model.model == "gone-8"]
        assert "gone" in (gone.trouble or "")
        task = await filed(ports, COFFEE)
        assert (await lifecycle.route_task(task.id, ports=ports.settled())).chosen_instance is None
        await moved_to(NEW, ports)
        async with asyncio.timeout(20):  # until the process has noticed
            while True:
                if await found_by_now(ports) == {"t", task.id}:
                    break
                await asyncio.sleep(0.1)


async def found_by_now(ports: Ports) -> set[TaskId]:
    try:
        return {id for id, _ in await found(ports, COFFEE)}
    except Unavailable:
        return set()


async def test_a_model_of_another_dimension_under_the_same_name_is_refused(database_url: str) -> None:
    """Vectors that can't be compared would lie side by side, and every search end in an error."""
    async with serving_with(OLD, database_url) as ports:
        await prepared(ports, 2)
    await sql(database_url, "UPDATE embedding_models SET dimension = 300")
    with pytest.raises(Conflict, match="300 dimensions"):
        async with serving_with(OLD, database_url):
            pass
