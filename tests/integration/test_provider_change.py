"""Changing the provider of embeddings: search goes on with the old one, and nobody waits for the one that fails."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from tests import provider as faulty
from tests.builders import a_task
from tests.provider import Provider, a_provider, status
from tests.steps import CARD, belongs, drained, filed, joined

from hopper.app import lifecycle
from hopper.app.duplicates import likely_duplicates
from hopper.app.embeddings import embedding_status
from hopper.app.patterns import match_patterns
from hopper.app.search import Hit, search, similar_tasks
from hopper.bootstrap import open_hopper
from hopper.config import PUBLIC_API, load_settings
from hopper.domain.decision import Strategy
from hopper.domain.errors import Unavailable
from hopper.domain.query import Mode
from hopper.ports import Ports
from hopper.ports.circuit import PATIENCE_SECONDS
from hopper.ports.repositories import TaskFilter

OFFLINE, OPENAI = "wordllama-256", "text-embedding-ada-002"
QUICK = 0.5
"""Seconds within which somebody is answered who waits for nobody."""


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    with a_provider() as running:
        yield running
        running.released.set()


@asynccontextmanager
async def offline(url: str) -> AsyncIterator[Ports]:
    async with open_hopper(load_settings(embeddings={"timeout_seconds": 4}), url) as ports:
        yield ports


@asynccontextmanager
async def online(url: str, provider: Provider) -> AsyncIterator[Ports]:
    embeddings = {"provider": "openai", "base_url": provider.url, "timeout_seconds": 4}
    async with open_hopper(load_settings(embeddings=embeddings), url) as ports:
        yield ports


async def taught(ports: Ports) -> None:
    """A task about a card belonged to cards, and can be found."""
    await joined(ports, "cards")
    task = await filed(ports)
    await lifecycle.route_task(task.id, ports=ports)
    await belongs(ports, task.id, "cards")
    await drained(ports)


async def moved_to(model: str, ports: Ports) -> None:
    async with asyncio.timeout(30):
        while True:
            if (await embedding_status(ports=ports)).searched == model:
                return
            await asyncio.sleep(0.05)


async def decided_by_likeness(ports: Ports) -> bool:
    task = await filed(ports, CARD, description="at once")
    decision = await lifecycle.route_task(task.id, ports=ports.settled())
    return (decision.chosen_instance, decision.strategy) == ("cards", Strategy.SIMILAR_EPISODES)


async def trouble(model: str, ports: Ports) -> str:
    """What is wrong with the model, once something is."""
    async with asyncio.timeout(15):
        while True:
            state = {one.model: one for one in (await embedding_status(ports=ports)).models}[model]
            if state.trouble:
                return state.trouble
            await asyncio.sleep(0.05)


async def test_a_wrong_key_for_the_new_provider_leaves_search_with_the_old_one(
    database_url: str, provider: Provider
) -> None:
    """Whoever tries a paid provider with a wrong key would be routed blindly until somebody noticed."""
    async with offline(database_url) as ports:
        await taught(ports)
    provider.always = status(401)
    async with online(database_url, provider) as ports:
        assert "OPENAI_API_KEY" in await trouble(OPENAI, ports)
        began = time.monotonic()
        assert await decided_by_likeness(ports)
        assert time.monotonic() - began < QUICK
        fresh = await filed(ports, "A quillon for the sword")
        async with asyncio.timeout(10):  # the worker goes on for the old model
            while True:
                if fresh.id in [hit.task.id for hit in await similar(ports, "A quillon for the sword")]:
                    break
                await asyncio.sleep(0.1)
        assert (await embedding_status(ports=ports)).searched == OFFLINE
        assert len(provider.calls) < 20
        provider.always = None
        await moved_to(OPENAI, ports)
        assert await decided_by_likeness(ports)


async def similar(ports: Ports, text: str) -> tuple[Hit, ...]:
    found = await search(text, Mode.SEMANTIC, TaskFilter(), 5, ports=ports.settled())
    return found.items


async def test_going_offline_needs_nothing_of_the_settings_that_went(database_url: str, provider: Provider) -> None:
    """With its address gone from the settings, the old model would be asked for elsewhere, or not at all."""
    async with online(database_url, provider) as ports:
        await taught(ports)
        before = len(provider.calls)
    async with offline(database_url) as ports:
        assert ports.embedder.model == OPENAI
        assert await decided_by_likeness(ports)
        assert len(provider.calls) > before
        await moved_to(OFFLINE, ports)
        assert await decided_by_likeness(ports)


async def test_a_provider_that_has_gone_doesnt_hold_up_going_offline(database_url: str, provider: Provider) -> None:
    """Whoever goes offline because the provider is down would wait for it all the same."""
    async with online(database_url, provider) as ports:
        await taught(ports)
    provider.always = faulty.hang
    async with offline(database_url) as ports:
        await filed(ports, "Another one")
        await moved_to(OFFLINE, ports)
        async with asyncio.timeout(20):  # loading the model takes longer than a decision waits
            while True:
                if await decided_by_likeness(ports):
                    break
                await asyncio.sleep(0.1)


INTERACTIVE: dict[str, Callable[[Ports], Awaitable[object]]] = {
    "search": lambda ports: search("lost card", Mode.HYBRID, TaskFilter(), 5, ports=ports),
    "duplicates": lambda ports: likely_duplicates(a_task(CARD), ports=ports),
    "patterns": lambda ports: match_patterns(a_task(CARD), ports=ports),
}


@pytest.mark.parametrize("use", INTERACTIVE)
async def test_nobody_who_asks_waits_long_for_a_provider_that_hangs(
    database_url: str, provider: Provider, use: str
) -> None:
    """Every search and every look for duplicates would hang for half a minute, and take the server's clients along."""
    provider.always = faulty.hang
    async with online(database_url, provider) as ports:
        for patience in (PATIENCE_SECONDS + QUICK, QUICK, QUICK):
            began = time.monotonic()
            await INTERACTIVE[use](ports.settled())
            assert time.monotonic() - began < patience


async def test_what_cannot_do_without_a_provider_says_so_at_once(database_url: str, provider: Provider) -> None:
    """A wrong key would be an internal error to whoever searches by meaning."""
    provider.always = status(401)
    async with online(database_url, provider) as ports:
        with pytest.raises(Unavailable, match="mode=keyword"):
            await search("lost card", Mode.SEMANTIC, TaskFilter(), 5, ports=ports)
        task = await filed(ports)
        with pytest.raises(Unavailable, match="no vector yet"):
            await similar_tasks(task.id, TaskFilter(), 5, ports=ports)


async def test_the_old_models_key_that_went_is_named(
    database_url: str, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever leaves OpenAI and takes the key away at once would wonder why nothing like their tasks is found."""
    async with online(database_url, provider) as ports:
        await taught(ports)
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE embedding_models SET base_url = $1", PUBLIC_API)
    await connection.close()
    monkeypatch.delenv("OPENAI_API_KEY")
    async with offline(database_url) as ports:
        assert "OPENAI_API_KEY isn't set" in await trouble(OPENAI, ports)
        await moved_to(OFFLINE, ports)


async def test_a_key_goes_to_no_server_that_it_is_not_for(
    database_url: str, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever moves from a server of their own to a paid one would hand its key to the old one, over plain HTTP."""
    monkeypatch.delenv("OPENAI_API_KEY")
    async with online(database_url, provider) as ports:
        await taught(ports)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-the-new-one")
    before = len(provider.calls)
    with a_provider() as paid:
        elsewhere = {"provider": "openai", "model": "better", "base_url": paid.url, "timeout_seconds": 4}
        dimension = {"pgvector": {"embedding_dimension": faulty.DIMENSION}}
        async with open_hopper(load_settings(embeddings=elsewhere, database=dimension), database_url) as ports:
            await filed(ports, "Asked of both")
            await moved_to("better", ports)
        assert {call.authorization for call in paid.calls} == {"Bearer sk-for-the-new-one"}
    asked = provider.calls[before:]
    assert asked
    assert {call.authorization for call in asked} == {None}
