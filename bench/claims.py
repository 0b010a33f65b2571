"""Workers who drain an instance at once, beside the barest claim; and claims where much is in the way."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import asyncpg
import numpy as np
import uvloop

from bench.figures import Figure
from hopper.adapters.postgres import migrate
from hopper.app.instances import create_instance
from hopper.app.leases import claim_task
from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.domain.ids import new_id
from hopper.domain.instance import Instance
from hopper.ports import Ports
from hopper.services.postgres import EmbeddedPostgres

WORKERS = 64
TASKS = 5_000
DONE = 100_000
BLOCKED = 10_000
LATER_CLAIMS = 500
LEASE = timedelta(minutes=10)

_FILL = """INSERT INTO tasks (id, title, status, priority, instance_id, created_at)
    SELECT $2 || n, 'Card payment ' || n || ' is declined', $3, $4, $1, now() - n * interval '1 second'
    FROM generate_series(1, $5) n"""

_BLOCK = """WITH waiting AS (
        UPDATE tasks SET waits_for = $2 WHERE instance_id = $1 AND id LIKE 'blocked-%' RETURNING id)
    INSERT INTO task_dependencies SELECT id, $2 FROM waiting"""

_FLOOR = """UPDATE tasks SET status = 'in_progress' WHERE id = (
    SELECT id FROM tasks WHERE instance_id = $1 AND status = 'pending' AND waits_for IS NULL
    ORDER BY urgency, created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id"""

Claim = Callable[[], Awaitable[str | None]]


def measure() -> list[Figure]:
    """On the event loop that a server has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measured())


async def _measured() -> list[Figure]:
    with (
        TemporaryDirectory(prefix="hopper-bench-") as place,
        EmbeddedPostgres(Path(place), exclusive=False) as postgres,
    ):
        await migrate.upgrade(postgres.url)
        async with (
            open_hopper(load_settings(), postgres.url) as ports,
            asyncpg.create_pool(postgres.url, min_size=20, max_size=20) as pool,
        ):
            for name in ("ours", "floor", "crowded"):
                await create_instance(Instance(id=name, name=name, created_at=ports.clock.now()), ports=ports)
            for name in ("ours", "floor"):
                await pool.execute(_FILL, name, f"{name}-", "pending", None, TASKS)
            await pool.execute("VACUUM ANALYZE tasks")
            floor, _ = await _drained(lambda: pool.fetchval(_FLOOR, "floor"))
            ours, twice = await _drained(_claims(ports, "ours"))
            empty = await _crowded(ports, pool, done=0, blocked=0)
            crowded = await _crowded(ports, pool, done=DONE, blocked=BLOCKED)
    return [
        Figure(name="claims a second, 64 workers", value=ours, unit="/s"),
        Figure(name="claims a second, floor", value=floor, unit="/s"),
        Figure(name="claims a second, against the floor", value=ours / floor),
        Figure(name="tasks claimed twice", value=twice, goal=0, at_least=False),
        Figure(name="a claim, p50", value=empty, unit="ms"),
        Figure(name="a claim beside 100,000 done, 10,000 blocked, p50", value=crowded, unit="ms"),
    ]


def _claims(ports: Ports, instance: str) -> Claim:
    async def claim() -> str | None:
        claimed = await claim_task(instance, "bench", LEASE, ports=ports)
        return claimed.task.id if claimed else None

    return claim


async def _drained(claim: Claim) -> tuple[float, int]:
    """Claims a second, and how many tasks were claimed more than once."""
    claimed: list[str] = []

    async def work() -> None:
        while len(claimed) < TASKS:
            if task := await claim():
                claimed.append(task)

    began = perf_counter()
    await asyncio.gather(*(work() for _ in range(WORKERS)))
    return len(claimed) / (perf_counter() - began), len(claimed) - len(set(claimed))


async def _crowded(ports: Ports, pool: "asyncpg.Pool[asyncpg.Record]", *, done: int, blocked: int) -> float:
    """Milliseconds of a lone worker's claim, p50; what is blocked is more urgent than what is ready."""
    run = new_id()[-8:]
    await pool.execute(_FILL, "crowded", f"done-{run}-", "done", "urgent", done)
    await pool.execute(_FILL, "crowded", f"ready-{run}-", "pending", None, LATER_CLAIMS)
    if blocked:
        await pool.execute(_FILL, None, "needed-", "pending", None, 1)
        await pool.execute(_FILL, "crowded", "blocked-", "pending", "urgent", blocked)
        await pool.execute(_BLOCK, "crowded", "needed-1")
    await pool.execute("ANALYZE tasks")
    claim = _claims(ports, "crowded")
    times = []
    for _ in range(LATER_CLAIMS):
        began = perf_counter()
        assert await claim()
        times.append(1000 * (perf_counter() - began))
    return float(np.percentile(times, 50))
