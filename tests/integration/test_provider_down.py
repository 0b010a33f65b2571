"""A provider over the network that fails: nobody waits for it, nothing is lost, everything catches up."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs
from tests import provider as faulty
from tests.provider import DIMENSION, Fault, Provider, a_provider, status
from tests.steps import CARD, belongs, drained, filed, joined, rule, task_now, waiting

from hopper.app import lifecycle
from hopper.app.evidence import embed_soon
from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.domain.decision import Strategy
from hopper.domain.errors import Unavailable
from hopper.ports import Ports
from hopper.ports.circuit import PATIENCE_SECONDS, Circuit, rest_after

KEY = "sk-planted-Quillon"
QUICK = 0.5
"""Seconds within which a decision is made that waits for nobody."""


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with a_provider() as running:
        yield running


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What the server logs."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
async def hopper(database_url: str, provider: Provider, logged: list[MutableMapping[str, Any]]) -> AsyncIterator[Ports]:
    """The whole of Hopper, with its embeddings from this provider."""
    embeddings = {"provider": "openai", "base_url": provider.url, "batch_size": 100, "timeout_seconds": 4}
    async with open_hopper(load_settings(embeddings=embeddings), database_url) as ports:
        yield ports
    provider.released.set()


async def found(url: str, statement: str) -> Any:
    """What the statement finds, once it finds something."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(15):
            while True:
                if value := await connection.fetchval(statement):
                    return value
                await asyncio.sleep(0.05)
    finally:
        await connection.close()


async def until(true: Callable[[], Any], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if true():
                return
            await asyncio.sleep(0.02)


async def timed(ports: Ports, task: str) -> tuple[Strategy, float]:
    """How a task is routed, and how long that takes."""
    began = time.monotonic()
    decision = await lifecycle.route_task(task, ports=ports)
    return decision.strategy, time.monotonic() - began


async def test_a_provider_that_hangs_delays_one_decision_only(hopper: Ports, provider: Provider) -> None:
    """While a provider hangs every request would hang, though rules alone decide most."""
    await joined(hopper, "cards")
    await rule(hopper, "cards")
    provider.always = faulty.hang
    first = await filed(hopper)
    strategy, seconds = await timed(hopper, first.id)
    assert strategy is Strategy.MANUAL_PATTERN
    assert seconds < PATIENCE_SECONDS + QUICK
    for _ in range(5):
        strategy, seconds = await timed(hopper, (await filed(hopper)).id)
        assert strategy is Strategy.MANUAL_PATTERN
        assert seconds < QUICK


async def test_decisions_at_the_same_time_wait_once(hopper: Ports, provider: Provider) -> None:
    """A burst that meets a hanging provider would count as so many failures, and shut it out for long."""
    provider.always = faulty.hang
    tasks = [await filed(hopper) for _ in range(8)]
    began = time.monotonic()
    await asyncio.gather(*(lifecycle.route_task(task.id, ports=hopper) for task in tasks))
    assert time.monotonic() - began < PATIENCE_SECONDS + 1
    provider.always = None
    provider.released.set()
    await drained(hopper)
    assert len(await embed_soon("soon again", hopper)) == DIMENSION


@pytest.mark.parametrize("fault", [status(401), status(404), faulty.of_dimension(8), status(500)])
async def test_decisions_are_made_without_a_provider(hopper: Ports, provider: Provider, fault: Fault) -> None:
    """A wrong key would take routing down, though rules alone decide most."""
    await joined(hopper, "cards")
    await rule(hopper, "cards")
    provider.always = fault
    strategy, seconds = await timed(hopper, (await filed(hopper)).id)
    assert strategy is Strategy.MANUAL_PATTERN
    assert seconds < PATIENCE_SECONDS + QUICK


@pytest.mark.parametrize("fault", [status(500), status(429), status(401), faulty.hang, faulty.truncated])
async def test_everything_is_embedded_when_the_provider_is_back(
    hopper: Ports, provider: Provider, database_url: str, fault: Fault
) -> None:
    """Tasks filed while it was away would never be found, or somebody had to see to them."""
    provider.always = fault
    tasks = [await filed(hopper, f"Task number {number}") for number in range(150)]
    failed = "SELECT count(*) FROM projection_queue WHERE last_error IS NOT NULL AND not_before > now()"
    assert await found(database_url, failed)
    assert await waiting(hopper) == len(tasks)
    provider.always = None
    provider.released.set()
    await drained(hopper)
    vectors = f"SELECT count(*) FROM task_embeddings WHERE vector_dims(embedding) = {DIMENSION}"
    assert await found(database_url, vectors) == len(tasks)


async def test_a_wrong_key_is_told_once_and_where_it_counts(
    hopper: Ports, provider: Provider, database_url: str, logged: list[MutableMapping[str, Any]]
) -> None:
    """The reason would drown in a thousand lines, or be nowhere; or a key lie about in a log."""
    provider.always = status(401)
    for number in range(120):
        await filed(hopper, f"Quillon {number}")
    await until(lambda: len(provider.calls) >= 3)
    errors = await found(database_url, "SELECT string_agg(DISTINCT last_error, '|') FROM projection_queue")
    assert errors.startswith("Misconfigured: ")
    assert "OPENAI_API_KEY" in errors
    assert [line["error"] for line in logged] == [errors]
    provider.always = None
    await drained(hopper)
    await until(lambda: len(logged) == 2)
    assert logged[1]["event"] == "embedding works again"
    assert "Quillon" not in str(logged) + errors


async def test_a_provider_that_is_down_is_left_alone(hopper: Ports, provider: Provider) -> None:
    """A thousand waiting tasks would be a thousand calls to a provider that asks for quiet."""
    provider.always = status(401)
    for number in range(300):
        await filed(hopper, f"Task {number}")
    await asyncio.sleep(3)
    assert len(provider.calls) <= 6  # two batches at a time, after 0, 2, 6 … seconds
    assert all(len(call.texts) <= 100 for call in provider.calls)


async def test_one_odd_text_holds_up_no_other(hopper: Ports, provider: Provider, database_url: str) -> None:
    """A single task that the provider refuses would keep all that were filed with it from being found."""
    provider.always = faulty.refusing(lambda text: "odd" in text)
    for title in ("One", "An odd one", "Two"):
        await filed(hopper, title)
    assert await found(database_url, "SELECT 1 FROM task_embeddings HAVING count(*) = 2")
    error = await found(database_url, "SELECT last_error FROM projection_queue")
    assert error.startswith("Invalid: ")
    assert (await timed(hopper, (await filed(hopper, "Another odd one")).id))[0] is Strategy.ABSTAIN


async def test_similar_tasks_are_found_by_the_providers_vectors(hopper: Ports) -> None:
    """Whoever pays for better vectors would be routed as if there were none."""
    await joined(hopper, "cards")
    taught = await filed(hopper)
    await lifecycle.route_task(taught.id, ports=hopper)
    await belongs(hopper, taught.id, "cards")
    await drained(hopper)
    again = await filed(hopper, CARD, description="at once")
    decision = await lifecycle.route_task(again.id, ports=hopper)
    assert (decision.chosen_instance, decision.strategy) == ("cards", Strategy.SIMILAR_EPISODES)
    assert (await task_now(hopper, again.id)).instance_id == "cards"


async def test_a_hanging_provider_doesnt_keep_the_server_from_stopping(database_url: str, provider: Provider) -> None:
    """Every update would wait for the deadline, and end in a kill."""
    provider.always = faulty.hang
    embeddings = {"provider": "openai", "base_url": provider.url, "timeout_seconds": 50}
    async with open_hopper(load_settings(embeddings=embeddings), database_url) as ports:
        await filed(ports)
        await until(lambda: provider.calls)
        began = time.monotonic()
    assert time.monotonic() - began < 7


async def test_a_slow_provider_is_no_reason_to_wait_each_time(hopper: Ports, provider: Provider) -> None:
    """A local model that takes three seconds a text would add two to most decisions, whatever the worker finds."""
    provider.always = faulty.slow(3)
    await filed(hopper)
    _, seconds = await timed(hopper, (await filed(hopper, "First")).id)
    assert seconds < PATIENCE_SECONDS + QUICK
    waited = [seconds]
    for number in range(20):
        await asyncio.sleep(0.3)
        waited.append((await timed(hopper, (await filed(hopper, f"Number {number}")).id))[1])
    assert sum(seconds > QUICK for seconds in waited) <= 3
    assert max(waited) < PATIENCE_SECONDS + QUICK


async def test_after_a_rest_one_may_try() -> None:
    """Where nothing waits in the queue nobody would ever find out that the provider is back."""
    circuit = Circuit()
    with pytest.raises(Unavailable), circuit.watching():
        raise Unavailable("down")
    assert not circuit.admits()
    await asyncio.sleep(rest_after(1) + 0.1)
    assert [circuit.admits() for _ in range(3)] == [True, False, False]
    with circuit.watching():
        pass
    assert all(circuit.admits() for _ in range(3))


def test_rests_grow_to_half_a_minute() -> None:
    """A provider that was away for a night would be tried again by noon, or be called all night."""
    assert [rest_after(failures) for failures in (1, 2, 3, 4, 5, 1_000)] == [2, 4, 8, 16, 30, 30]
