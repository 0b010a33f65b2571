"""How the cost of each operation grows with what is stored, over HTTP, one request at a time."""

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from math import log10
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import numpy as np
import psutil
import uvloop

from bench import growth_world, servers
from bench.calls import Caller
from bench.figures import Figure
from hopper.services.postgres import EmbeddedPostgres

SIZES = [1_000, 10_000, 100_000, 1_000_000]
PLACE = Path.home() / ".cache" / "hopper-bench-growth"

_TIMES = 100
_SECONDS = 15.0
"""An operation is measured so often, or for so long."""

_A_DECADE = 1.5
"""What costs more than so many times as much with ten times the tasks is worth a look."""

_SETTLING_SECONDS = 60

Operation = Callable[[], Awaitable[object]]


def measure(sizes: Sequence[int], place: Path) -> list[Figure]:
    """Fill what isn't there yet, and measure each size; the databases are kept for the next time."""
    times: dict[str, dict[int, float]] = {}
    figures: list[Figure] = []
    with EmbeddedPostgres(place, exclusive=False) as postgres:
        for size in sizes:
            url = _filled(postgres.url, size)
            with (
                servers.hopper(url, place / "server") as hopper,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                found = runner.run(_measured(hopper, url, size))
            for name, took in found.items():
                p50, p99 = (1000 * float(np.percentile(took, share)) for share in (50, 99))
                times.setdefault(name, {})[size] = p50
                figures += [
                    Figure(name=f"growth: {name}, {size:,} tasks, p{share}", value=value, unit="ms")
                    for share, value in ((50, p50), (99, p99))
                ]
    return [*figures, *_growth(times, sizes)]


def _growth(times: dict[str, dict[int, float]], sizes: Sequence[int]) -> list[Figure]:
    """By what each p50 was multiplied with ten times the tasks, from the smallest size to the largest."""
    decades = log10(max(sizes) / min(sizes))
    return [
        Figure(
            name=f"growth: {name}, a decade",
            value=(by_size[max(sizes)] / by_size[min(sizes)]) ** (1 / decades),
            goal=_A_DECADE,
            at_least=False,
        )
        for name, by_size in times.items()
        if decades
    ]


def _filled(url: str, size: int) -> str:
    """The database of this size; one that was broken off is made anew."""
    name = f"growth_{size}"
    asyncio.run(_fill(url, name, size))
    return urlsplit(url)._replace(path=f"/{name}").geturl()


async def _fill(url: str, name: str, size: int) -> None:
    def tell(sentence: str) -> None:
        print(f"{name}: {sentence}", file=sys.stderr, flush=True)

    connection = await asyncpg.connect(url)
    if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
        await connection.execute("DROP DATABASE IF EXISTS filling WITH (FORCE)")
        await connection.execute("CREATE DATABASE filling")
        await growth_world.make(urlsplit(url)._replace(path="/filling").geturl(), size, tell)
        await connection.execute(f"ALTER DATABASE filling RENAME TO {name}")
    await connection.close()


async def _measured(hopper: servers.Server, url: str, size: int) -> dict[str, list[float]]:
    await _settled(hopper.pid)
    times: dict[str, list[float]] = {}
    async with Caller(hopper) as caller, asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
        asking = Asking(caller, size)
        await asking.gather()
        for name, operation in asking.operations(pool).items():
            times[name] = []
            until = perf_counter() + _SECONDS
            while len(times[name]) < _TIMES and perf_counter() < until:
                began = perf_counter()
                await operation()
                times[name].append(perf_counter() - began)
    return times


async def _settled(pid: int) -> None:
    """Wait until the server has learned from what it found, and does nothing any more."""
    process, until = psutil.Process(pid), perf_counter() + _SETTLING_SECONDS
    process.cpu_percent()
    quiet = 0
    while quiet < 5 and perf_counter() < until:
        await asyncio.sleep(1)
        quiet = quiet + 1 if process.cpu_percent() < 5 else 0


class Asking:
    """Everything that is asked, about other tasks each time."""

    def __init__(self, caller: Caller, size: int) -> None:
        self._caller = caller
        self._size = size
        self._chance = random.Random(1)
        self._claimed: list[tuple[str, str]] = []
        self._filed: list[str] = []
        self._token = ""
        self._sequence = 0

    async def gather(self) -> None:
        """A source of this run's own, and something to claim, also after earlier runs."""
        for at in range(_TIMES):
            instance = f"instance-{at % growth_world.INSTANCES}"
            await self._post("/tasks", {"title": self._words(6).replace("+", " "), "instance_id": instance})
        self._source = f"laptop-{uuid4().hex[:8]}"
        made = await self._post("/sync/sources", {"source_instance_id": self._source, "name": "a laptop"})
        self._token = made["token"]

    def operations(self, pool: "asyncpg.Pool[asyncpg.Record]") -> dict[str, Operation]:
        read, some = self._read, self._some
        return {
            "floor: a task by its id": lambda: pool.fetchrow("SELECT * FROM tasks WHERE id = $1", some()),
            "create": self._create,
            "get": lambda: read(f"/tasks/{some()}"),
            "list": lambda: read("/tasks"),
            "list, of an instance": lambda: read(f"/tasks?instance_id={self._instance()}"),
            "list, by tag": lambda: read(f"/tasks?tag=topic-{self._chance.randrange(200)}"),
            "list, by project": lambda: read(f"/tasks?project=project+{self._chance.randrange(self._size // 200)}"),
            "triage": lambda: read("/tasks/triage"),
            "ready": lambda: read("/tasks/ready"),
            "search, hybrid": lambda: read(f"/search?q={self._words(2)}"),
            "search, keyword, rare words": lambda: read(f"/search?mode=keyword&q={self._words(1)}"),
            "search, keyword, a frequent word": lambda: read(
                f"/search?mode=keyword&q={_word(self._chance.randrange(3))}"
            ),
            "search, semantic": lambda: read(f"/search?mode=semantic&q={self._words(3)}"),
            "similar": lambda: read(f"/tasks/{some()}/similar"),
            "route": self._route,
            "claim": self._claim,
            "complete and feedback": self._complete,
            "decisions": lambda: read(f"/tasks/{some()}/decisions"),
            "graph: blocked": lambda: read(f"/graph/tasks/{some()}/blocked"),
            "graph: lineage": lambda: read(f"/graph/tasks/{some()}/lineage"),
            "graph: critical path": lambda: read(f"/graph/tasks/{some()}/critical-path"),
            "graph: bottlenecks": lambda: self._anew("/graph/bottlenecks"),
            "graph: ping-pong": lambda: self._anew("/graph/ping-pong"),
            "graph: co-occurrence of tags": lambda: self._anew("/graph/tags/co-occurrence"),
            "graph: tag hygiene": lambda: self._anew("/graph/tags/hygiene"),
            "statistics": lambda: read("/learning/statistics"),
            "sync: a push": self._push,
            "sync: a pack": lambda: read("/sync/southbound"),
            "embeddings status": lambda: read("/embeddings/status"),
        }

    async def _read(self, path: str) -> object:
        return await self._caller.call("GET", f"/api/v1{path}")

    async def _post(self, path: str, body: object = None) -> "dict[str, str]":
        answer: dict[str, str] = await self._caller.call("POST", f"/api/v1{path}", body)
        return answer

    async def _anew(self, path: str) -> object:
        """After a change, so that no answer is kept."""
        await self._create()
        return await self._read(path)

    def _some(self) -> str:
        return f"task-{self._chance.randint(1, self._size)}"

    def _instance(self) -> str:
        return f"instance-{self._chance.randrange(growth_world.INSTANCES)}"

    def _words(self, count: int) -> str:
        """Some that a few tasks have each."""
        return "+".join(_word(self._chance.randint(5_000, 19_999)) for _ in range(count))

    async def _create(self) -> None:
        words = self._words(6).replace("+", " ")
        self._filed.append((await self._post("/tasks", {"title": words, "tags": ["topic-1"]}))["id"])

    async def _route(self) -> None:
        await self._post(f"/tasks/{self._filed.pop()}/route")

    async def _claim(self) -> None:
        """Of each instance in turns."""
        instance = f"instance-{len(self._claimed) % growth_world.INSTANCES}"
        claim = await self._caller.call(
            "POST", "/api/v1/tasks/claim", {"instance_id": instance, "worker": "bench", "lease_seconds": 3600}
        )
        if claim:
            self._claimed.append((claim["task"]["id"], claim["token"]))

    async def _complete(self) -> None:
        task, token = self._claimed.pop()
        await self._post(f"/tasks/{task}/complete?force=true", {"token": token})
        body = {"should_have_routed_to": self._instance()}
        await self._caller.call("PUT", f"/api/v1/tasks/{task}/feedback", body)

    async def _push(self) -> None:
        self._sequence += 1
        stats = {"usage_count": 20 + self._sequence, "success_count": 15, "failure_count": 5}
        patterns = [
            {
                "name": f"topic {at}",
                "pattern_type": "tag",
                "tag_criteria": {"any": [f"topic-{at}"]},
                "text_criteria": {},
                "target_scope": "PROJECT",
                "confidence": 0.8,
                **stats,
            }
            for at in range(50)
        ]
        body = {"source_instance_id": self._source, "source_instance_name": "a laptop", "sequence": self._sequence}
        whole = body | {"patterns": patterns, "episode_summaries": []}
        await self._caller.call("POST", "/api/v1/sync/northbound", whole, key=self._token)


def _word(number: int) -> str:
    """As the world spells it; the lower the number, the more frequent."""
    return f"{7919 * number:x}".translate(str.maketrans("0123456789", "ghijklmnop"))
