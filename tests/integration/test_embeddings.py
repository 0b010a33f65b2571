"""Embeddings: made by the worker for the text as it is now, whatever happens to the provider on the way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import asyncpg
import numpy as np
import psutil
import pytest
from tests.builders import an_episode
from tests.steps import CARD, belongs, drained, episodes, filed, joined, rule, task_now, waiting

from hopper.adapters.clock import SystemClock
from hopper.adapters.embeddings.wordllama import WordLlamaEmbedder
from hopper.adapters.postgres.turns import PostgresTurns
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork, open_pool
from hopper.adapters.postgres.vector_indexes import INDEX_FROM, PostgresVectorIndexes
from hopper.app import lifecycle
from hopper.app.evidence import content_hash
from hopper.app.intake import GroupIntake
from hopper.app.projections import SUBSCRIPTIONS, EmbeddingWorker, embed_batch
from hopper.app.tasks import delete_task, edit_task
from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.domain.access import HOPPER, Asker
from hopper.domain.decision import Strategy
from hopper.domain.errors import Unavailable
from hopper.domain.ids import TaskId, new_id
from hopper.domain.task import Priority, embedding_text
from hopper.ports import Ports
from hopper.ports.embedder import Vector
from hopper.ports.vectors import StoredVector, VectorKind
from hopper.routing.policy import Policy

MODEL = WordLlamaEmbedder.model


class Provider:
    """The real embedder behind a line that can fail, or take so long that something else happens meanwhile."""

    model = MODEL
    dimension = WordLlamaEmbedder.dimension

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self._real = WordLlamaEmbedder()

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        self.asked += texts
        if self.error:
            raise self.error
        if self.meanwhile:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        return await self._real.embed(texts)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def changed() -> asyncio.Event:
    """What wakes the worker."""
    return asyncio.Event()


@pytest.fixture
async def idle(database_url: str, provider: Provider, changed: asyncio.Event) -> AsyncIterator[Ports]:
    """Hopper with this provider and without a worker: nothing is embedded by itself."""
    pool = await open_pool(database_url, 10)

    def unit_of_work(*, asker: Asker = HOPPER, reading: bool = False) -> PostgresUnitOfWork:
        return PostgresUnitOfWork(pool, SUBSCRIPTIONS, changed.set, reading=reading, asker=asker)

    yield Ports(
        unit_of_work=unit_of_work,
        reading=partial(unit_of_work, reading=True),
        searching=partial(unit_of_work, reading=True),
        intake=GroupIntake(unit_of_work),
        embedder=provider,
        vector_indexes=PostgresVectorIndexes(pool),
        turns=PostgresTurns(pool),
        clock=SystemClock(),
        policy=Policy(),
    )
    await pool.close()


@asynccontextmanager
async def working(ports: Ports, changed: asyncio.Event, *, batch_size: int = 100) -> AsyncIterator[list[str]]:
    """A worker as long as the block lasts, and what it logs."""
    logged: list[str] = []
    worker = EmbeddingWorker(ports, changed, batch_size, lambda event, **fields: logged.append(f"{event} {fields}"))
    running = asyncio.create_task(worker.run())
    try:
        yield logged
    finally:
        worker.stop()
        await running


async def vector_of(ports: Ports, task: TaskId) -> StoredVector | None:
    async with ports.unit_of_work() as uow:
        return await uow.vectors.get(VectorKind.TASK, task, MODEL)


async def is_up_to_date(ports: Ports, task: TaskId) -> bool:
    """Whether the task's vector is that of its text."""
    stored, now = await vector_of(ports, task), await task_now(ports, task)
    text = embedding_text(now.title, now.description, now.tags)
    [expected] = await WordLlamaEmbedder().embed([text])
    return (
        stored is not None
        and stored.content_hash == content_hash(text)
        and bool(np.allclose(stored.vector, expected, atol=1e-5))
    )


async def sql(url: str, statement: str, *values: object) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()


async def eventually(url: str, statement: str, *values: object) -> Any:
    """What the statement finds, once it finds something."""
    async with asyncio.timeout(60):
        while True:
            if found := await sql(url, statement, *values):
                return found
            await asyncio.sleep(0.05)


async def test_a_new_task_is_embedded_by_itself(ports: Ports) -> None:
    """Nothing similar would ever be found: nobody asks for an embedding."""
    task = await filed(ports, description="In Portugal", tags={"cards": True, "area": "abroad"})
    await drained(ports)
    assert await is_up_to_date(ports, task.id)


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"title": "Another title"}, True),
        ({"description": "More of it"}, True),
        ({"tags": {"new": True}}, True),
        ({"priority": Priority.HIGH}, False),
        ({"title": CARD}, False),
        ({"instance_id": "cards"}, False),
    ],
)
async def test_a_task_is_embedded_again_when_its_text_changes(
    idle: Ports, changed: asyncio.Event, provider: Provider, change: dict[str, Any], again: bool
) -> None:
    """Hopper would go by what a task once said, or pay the provider for every change of a status."""
    await joined(idle, "cards")
    task = await filed(idle)
    async with working(idle, changed):
        await drained(idle)
        asked = len(provider.asked)
        await edit_task(task.id, change, ports=idle)
        await drained(idle)
    assert len(provider.asked) - asked == (1 if again else 0)
    assert await is_up_to_date(idle, task.id)


async def test_a_provider_that_fails_stops_nobody(
    idle: Ports, changed: asyncio.Event, provider: Provider, database_url: str
) -> None:
    """While an outside service is down no task could be filed or routed, or its embedding would never be made."""
    await joined(idle, "cards")
    provider.error = Unavailable("The line is cut.")
    async with working(idle, changed):
        task = await filed(idle)
        seen = "SELECT last_error FROM projection_queue WHERE entity_id = $1 AND attempts = 1"
        assert await eventually(database_url, seen, task.id) == "Unavailable: The line is cut."
        assert (await lifecycle.route_task(task.id, ports=idle)).strategy is Strategy.ABSTAIN
        await rule(idle, "cards")
        other = await filed(idle)
        assert (await lifecycle.route_task(other.id, ports=idle)).chosen_instance == "cards"
        assert await waiting(idle) > 0
        provider.error = None
        await drained(idle)
    assert await is_up_to_date(idle, task.id)
    assert await is_up_to_date(idle, other.id)


async def test_an_unforeseen_failure_is_seen_and_tried_again(
    idle: Ports, changed: asyncio.Event, provider: Provider, database_url: str
) -> None:
    """One odd answer of a provider would end all embedding for good, without a trace of why."""
    provider.error = RuntimeError(f"can't embed {CARD}")
    async with working(idle, changed) as logged:
        task = await filed(idle)
        seen = "SELECT last_error FROM projection_queue WHERE entity_id = $1 AND last_error IS NOT NULL"
        assert await eventually(database_url, seen, task.id) == "RuntimeError"
        provider.error = None
        await drained(idle)
    assert await is_up_to_date(idle, task.id)
    assert CARD not in str(logged)


async def test_the_worker_outlives_an_unforeseen_failure(
    idle: Ports, changed: asyncio.Event, provider: Provider
) -> None:
    """The tasks of a whole night would stay without embeddings because of a single one."""
    provider.error = RuntimeError(f"can't embed {CARD}")
    async with working(idle, changed) as logged:
        await filed(idle)
        async with asyncio.timeout(10):
            while True:
                if provider.asked:
                    break
                await asyncio.sleep(0.02)
        provider.error = None
        following = await filed(idle, "The next one")
        async with asyncio.timeout(10):
            while True:
                if await vector_of(idle, following.id):
                    break
                await asyncio.sleep(0.02)
    assert CARD not in str(logged)


async def test_routing_embeds_what_isnt_embedded_yet(idle: Ports, provider: Provider) -> None:
    """A task that is filed and routed in one call would be routed blindly."""
    await joined(idle, "cards")
    taught = await filed(idle)
    await lifecycle.route_task(taught.id, ports=idle)
    await belongs(idle, taught.id, "cards")
    task = await filed(idle)
    assert (await lifecycle.route_task(task.id, ports=idle, dry_run=True)).chosen_instance == "cards"
    assert (await lifecycle.route_task(task.id, ports=idle)).chosen_instance == "cards"
    assert await is_up_to_date(idle, task.id)
    [episode] = await episodes(idle, task.id)
    async with idle.unit_of_work() as uow:
        assert await uow.vectors.get(VectorKind.EPISODE, episode.id, MODEL) is not None


async def test_routing_goes_by_the_text_of_the_moment(idle: Ports) -> None:
    """A reworded task would be routed by its old words until the worker comes by."""
    await joined(idle, "cards")
    await joined(idle, "printers")
    for title, to in ((CARD, "cards"), ("Order more paper for the printer", "printers")):
        taught = await filed(idle, title)
        await lifecycle.route_task(taught.id, ports=idle)
        await belongs(idle, taught.id, to)
    task = await filed(idle)
    await embed_batch(idle, 100)
    await edit_task(task.id, {"title": "Order more paper for the printer"}, ports=idle)
    assert (await lifecycle.route_task(task.id, ports=idle)).chosen_instance == "printers"


async def test_an_edit_while_a_task_is_being_embedded_isnt_lost(
    idle: Ports, changed: asyncio.Event, provider: Provider
) -> None:
    """The vector of the old text would stay, and nothing would ever mend it."""
    task = await filed(idle)
    provider.meanwhile = lambda: edit_task(task.id, {"title": "Another title"}, ports=idle)
    async with working(idle, changed):
        await drained(idle)
    assert await is_up_to_date(idle, task.id)


async def test_an_edit_while_a_task_is_being_routed_isnt_lost(
    idle: Ports, changed: asyncio.Event, provider: Provider
) -> None:
    """The router would put the vector of the old text over the worker's new one, and nothing would mend it."""
    task = await filed(idle)

    async def edited_and_embedded() -> None:
        await edit_task(task.id, {"title": "Another title"}, ports=idle)
        await embed_batch(idle, 100)

    provider.meanwhile = edited_and_embedded
    assert (await lifecycle.route_task(task.id, ports=idle)).chosen_instance is None
    async with working(idle, changed):
        await drained(idle)
    assert await is_up_to_date(idle, task.id)


async def test_a_task_that_is_gone_leaves_nothing(idle: Ports, changed: asyncio.Event, provider: Provider) -> None:
    """The queue would hold what can never be done, or the text of a removed task would live on in a vector."""
    gone, going = await filed(idle), await filed(idle, "Going")
    await delete_task(gone.id, ports=idle)
    provider.meanwhile = lambda: delete_task(going.id, ports=idle)
    async with working(idle, changed):
        await drained(idle)
    assert await vector_of(idle, gone.id) is None
    assert await vector_of(idle, going.id) is None


async def test_workers_share_the_queue(idle: Ports, changed: asyncio.Event, provider: Provider) -> None:
    """Two servers would each pay for all embeddings, or each wait for the other."""
    tasks = [await filed(idle, f"Task {number}") for number in range(40)]
    async with working(idle, changed, batch_size=3), working(idle, asyncio.Event(), batch_size=3):
        await drained(idle)
    assert len(provider.asked) == len(set(provider.asked)) == len(tasks)


async def test_many_decisions_get_an_index_that_is_used(database_url: str) -> None:
    """Each decision would compare itself with all that were ever made, and take longer every day."""
    index = "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'idx_episode_embedding%'"
    async with open_hopper(load_settings(), database_url) as opened:
        await joined(opened, "cards")
        await decided(opened, database_url, INDEX_FROM - 1)
        await drained(opened)
        assert await sql(database_url, index) is None
        await decided(
            opened, database_url, 9 * INDEX_FROM
        )  # with few more than that, PostgreSQL rightly prefers to look at all
        name = await eventually(database_url, index)
        built = "SELECT indexrelid FROM pg_index WHERE indexrelid = $1::text::regclass AND indisvalid"
        first = await eventually(database_url, built, name)
        await decided(opened, database_url, 100)
        task = await filed(opened)
        decision = await lifecycle.route_task(task.id, ports=opened)
        assert decision.alternatives or decision.chosen_instance
        assert await sql(database_url, built, name) == first  # and not made again with each of them
    used = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = $1 AND idx_scan > 0"
    assert await eventually(database_url, used, name)  # counted when the connections have closed


async def decided(ports: Ports, database_url: str, number: int) -> None:
    """So many past decisions whose outcome is known, each somewhere else in the space."""
    random = np.random.default_rng(number)
    made = [replace(an_episode(chosen="cards"), id=new_id(), outcome_instance="cards") for _ in range(number)]
    vectors = random.normal(size=(number, WordLlamaEmbedder.dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    first, *others, last = (replace(one, outcome_success=True, completed_at=one.routed_at) for one in made)
    async with ports.unit_of_work() as uow:
        await uow.episodes.add(first)
        await uow.commit()
    await sql(
        database_url,
        """INSERT INTO routing_episodes SELECT (jsonb_populate_record(e, jsonb_build_object('id', other))).*
           FROM routing_episodes e, unnest($2::text[]) other WHERE e.id = $1""",
        first.id,
        [one.id for one in others],
    )
    async with ports.unit_of_work() as uow:
        await uow.episodes.add(last)
        stored = {e.id: StoredVector(v, "0" * 64) for e, v in zip(made, vectors, strict=True)}
        await uow.vectors.put(VectorKind.EPISODE, MODEL, stored)
        await uow.commit()


@pytest.mark.parametrize("odd", ["refused", "unstorable"])
async def test_one_odd_text_holds_up_no_other(
    idle: Ports, provider: Provider, database_url: str, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    """A single task that a provider chokes on would keep all that were filed with it from being found."""
    real = provider.embed

    async def embed(texts: Sequence[str]) -> list[Vector]:
        if odd == "refused" and any("odd" in text for text in texts):
            raise RuntimeError("no such text")
        vectors = await real(texts)
        return [np.full_like(v, np.nan) if "odd" in text else v for text, v in zip(texts, vectors, strict=True)]

    monkeypatch.setattr(provider, "embed", embed)
    bad, good = await filed(idle, "An odd one"), await filed(idle, "A good one")
    assert await embed_batch(idle, 100) == 2
    assert await is_up_to_date(idle, good.id)
    failed = "SELECT last_error FROM projection_queue WHERE entity_id = $1"
    assert (await sql(database_url, failed, bad.id)).startswith(("RuntimeError", "Invalid: "))


async def test_texts_that_were_embedded_are_not_kept() -> None:
    """A server's memory would grow by 50 MB for each of its threads, the longer it runs."""
    embedder, process = WordLlamaEmbedder(), psutil.Process()
    await embedder.embed(["Warm up."] * 1_000)
    before = process.memory_info().rss
    for start in range(0, 8_000, 1_000):
        await embedder.embed(
            [f"Payment {n} of {n} is declined at till {n} since Monday" for n in range(start, start + 1_000)]
        )
    assert process.memory_info().rss - before < 15e6
