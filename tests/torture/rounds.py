"""Rounds of torture: load, faults at random, peace, and what has to be true then."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import asyncpg
import httpx
import psutil
from tests.asking import KEYED
from tests.sync import registered
from tests.torture.clients import Clients
from tests.torture.faults import KILLS, TROUBLES, Fault, kill_neo4j
from tests.torture.ledger import Ledger
from tests.torture.stage import Stage, staged

from hopper.adapters.postgres import migrate
from hopper.domain.errors import HopperError
from hopper.services.neo4j import EmbeddedNeo4j

INSTANCES = ("garage", "bakery", "florist")
SOURCES = ("laptop", "tower")

_KILLS = 4
_ROUND_SECONDS = 1_800
_QUIET_SECONDS = 60.0
_READY_SECONDS = 5.0
_GROWTH_MEGABYTES = 150
"""What a server may hold at most beyond what it held after its first round: caches fill."""


@dataclass
class Told:
    """What a round did."""

    seed: str
    faults: list[str] = field(default_factory=list)
    kills: int = 0
    ready_seconds: float = 0.0
    writes: int = 0
    wrong: list[str] = field(default_factory=list)


class Rounds:
    """Rounds on one stage, whose data stay from one to the next."""

    def __init__(self, stage: Stage, instances: list[str], tokens: dict[str, dict[str, str]]) -> None:
        self.stage = stage
        self._instances = instances
        self.ledger = Ledger()
        self._tokens = tokens
        self._memory: dict[int, float] = {}

    async def round(self, seed: str, troubles: tuple[Fault, ...] = TROUBLES) -> Told:
        """Four kills or more, and some of the troubles, under load; `wrong` is empty if all went well."""
        chance = random.Random(seed)
        told = Told(seed)
        before, known = self.ledger.writes, set(self.ledger.tasks)
        clients = Clients(lambda: self.stage.url, self._instances, self.ledger, chance)
        working = asyncio.create_task(clients.run(self._tokens))
        try:
            async with asyncio.timeout(_ROUND_SECONDS):
                while told.kills < _KILLS:
                    await asyncio.sleep(chance.uniform(0.1, 1.0))
                    await self._hurt(told, chance, troubles)
                clients.stop.set()
                await self._mended(told)
                await working
                await self._quiet()
                if self.stage.neo4j:
                    await self._followed()
                await self._held(told, chance, known)
        except (AssertionError, TimeoutError, ExceptionGroup, OSError, HopperError, httpx.HTTPError) as error:
            told.wrong.append(f"{type(error).__name__}: {error}")
        finally:
            clients.stop.set()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        told.writes = self.ledger.writes - before
        told.wrong += self.ledger.wrong
        self.ledger.wrong = []
        return told

    async def _hurt(self, told: Told, chance: random.Random, troubles: tuple[Fault, ...]) -> None:
        """One or two faults at once; then what has ended is started again, or a moment later."""
        kinds = [*KILLS, *([kill_neo4j] * 3 if self.stage.neo4j else [])]
        chosen = [chance.choice(kinds)]
        if chance.random() < 0.4 and troubles:
            chosen.append(chance.choice(troubles))
        told.faults += [fault.__name__ for fault in chosen]
        told.kills += sum(await asyncio.gather(*(fault(self.stage, chance) for fault in chosen)))
        await asyncio.sleep(chance.uniform(0, 1.0))
        if chance.random() < 0.7:
            await self._mended(told)

    async def _mended(self, told: Told) -> None:
        took = await self.stage.mend()
        told.ready_seconds = max(told.ready_seconds, took)

    async def _quiet(self) -> None:
        """Wait until no projection has anything to do and nobody holds a lock."""
        until = monotonic() + _QUIET_SECONDS
        connection = await asyncpg.connect(self.stage.postgres.url)
        try:
            # What a killed server had taken to project waits for a minute; here nobody does.
            await connection.execute("UPDATE projection_queue SET not_before = now() WHERE not_before > now()")
            while True:
                waiting = await connection.fetchval("SELECT count(*) FROM projection_queue")
                open_ = await connection.fetchval(
                    """SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()
                       AND datname = current_database() AND state LIKE 'idle in transaction%'"""
                )
                locks = await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
                if not (waiting or open_ or locks):
                    return
                assert monotonic() < until, f"{waiting} wait, {open_} transactions are open, {locks} wait for locks"
                await asyncio.sleep(0.1)
        finally:
            await connection.close()

    async def _followed(self) -> None:
        """Wait until the graph has everything."""
        until = monotonic() + _QUIET_SECONDS
        async with self._client() as client:
            while True:
                now = (await client.get("/graph/status")).raise_for_status().json()
                if now["is_followed"] and not (now["is_rebuilding"] or now["waiting"] or now["trouble"]):
                    return
                assert monotonic() < until, f"the graph doesn't catch up: {now}"
                await asyncio.sleep(0.2)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"{self.stage.url}/api/v1", headers=KEYED, timeout=60, trust_env=False)

    async def _held(self, told: Told, chance: random.Random, known: set[str]) -> None:
        """What must be true in peace."""
        older = chance.sample(sorted(known), min(len(known), 1_000))
        connection = await asyncpg.connect(self.stage.postgres.url)
        try:
            await self.ledger.hold_against(connection, [*(self.ledger.tasks.keys() - known), *older])
        finally:
            await connection.close()
        await migrate.check(self.stage.postgres.url)
        async with self._client() as client:
            told.wrong += await checked(client, "embeddings")
            if self.stage.neo4j:
                told.wrong += await checked(client, "graph")
        told.wrong += [f"left over: {stray}" for stray in self.stage.strays()]
        self._weigh(told)

    def _weigh(self, told: Told) -> None:
        assert self.stage.server
        pid = self.stage.server.pid
        now = psutil.Process(pid).memory_info().rss / 1e6
        first = self._memory.setdefault(pid, now)
        if now > first + _GROWTH_MEGABYTES:
            told.wrong.append(f"the server has grown from {first:.0f} to {now:.0f} MB")


async def checked(client: httpx.AsyncClient, what: str) -> list[str]:
    """What `hopper embeddings check` or `hopper graph check` finds."""
    wrong: list[str] = []
    cursor: str | None = None
    while True:
        answer = await client.get(f"/{what}/check", params={"cursor": cursor} if cursor else {})
        part = answer.raise_for_status().json()
        for kind in ("missing", "extra", "different", "stale", "wrong_dimension", "outdated_outcome", "orphaned"):
            wrong += [f"{what} check: {kind} {one}" for one in part.get(kind, ())]
        cursor = part["next_cursor"]
        if cursor is None:
            return wrong


@asynccontextmanager
async def rounds(home: Path, seed: str, neo4j: EmbeddedNeo4j | None = None) -> AsyncIterator[Rounds]:
    """A stage of its own, with instances that work and sources that push."""
    async with staged(home, random.Random(seed), neo4j) as stage:
        yield Rounds(stage, *await asyncio.to_thread(_peopled, stage))


def _peopled(stage: Stage) -> tuple[list[str], dict[str, dict[str, str]]]:
    """The ids of new instances, and the headers of new sources."""
    with httpx.Client(base_url=f"{stage.url}/api/v1", headers=KEYED, timeout=60, trust_env=False) as client:
        made = [client.post("/instances", json={"name": name}).raise_for_status().json() for name in INSTANCES]
        return [one["id"] for one in made], {source: registered(client, source) for source in SOURCES}
