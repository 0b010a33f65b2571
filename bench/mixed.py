"""A mixed load, as of a team at work: agents, people and sources at once, at saturation and at a fixed rate.

The fixed rate is open-loop: requests begin when they are due, whether earlier ones have been answered or not, and a
latency counts from when its request was due. So a server that stops for a second is seen by all who would have asked
meanwhile. Beside it, at the same time on the same PostgreSQL: the barest endpoint that stores a task, and a bare query.
"""

import asyncio
import random
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import asyncpg
import numpy as np
import uvloop

from bench import servers
from bench.calls import Caller, Refused
from bench.figures import Figure
from bench.memory import Watched
from hopper.services.postgres import EmbeddedPostgres

CLIENTS = 16
SATURATION_SECONDS = 20
SHARE = 0.4
"""Of the rate at saturation, offered then: room for what comes in bursts, and for the worker."""

INSTANCES = 8
TASKS = 2_000
"""What is there before."""

_SUBJECTS = ("card payment is declined", "printer on floor {} jams", "invoice {} is wrong", "login fails for team {}")
_PLACES = ("abroad", "since Monday", "in the new release", "at night", "for one customer", "in Portugal")

Operation = Callable[[], Awaitable[object]]


def measure(seconds: float) -> list[Figure]:
    """Saturation first, then so many seconds at a fixed rate."""
    with (
        TemporaryDirectory(prefix="hopper-bench-") as place,
        EmbeddedPostgres(Path(place), exclusive=False) as postgres,
        servers.hopper(servers.create_database(postgres.url, "ours"), Path(place) / "server") as hopper,
        servers.floor(servers.create_database(postgres.url, "floor")) as floor,
    ):
        pids = {"server": hopper.pid, "PostgreSQL": int((postgres.data / "postmaster.pid").read_text().split()[0])}
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_measured(hopper, floor, postgres.url, pids, seconds))


async def _measured(
    hopper: servers.Server, floor: servers.Server, url: str, pids: dict[str, int], seconds: float
) -> list[Figure]:
    async with Caller(hopper) as caller, Caller(floor) as bare, asyncpg.create_pool(url, min_size=1) as pool:
        team = Team(caller, random.Random(20260105))
        await team.gather()
        team.also = {
            "floor: the barest create": lambda: bare.call("POST", "/api/v1/tasks", team.new_task()),
            "floor: a bare query": lambda: pool.fetchval("SELECT 1"),
        }
        saturated = await _saturated(team)
        watched = Watched(pids)
        rate = SHARE * saturated
        print(f"{saturated:.0f} requests a second at saturation; {rate:.0f} are offered now", file=sys.stderr)
        times, errors = await _offered(team, rate, seconds, watched)
    done = sum(map(len, times.values()))
    return [
        Figure(name=f"load: requests a second, {CLIENTS} clients, saturated", value=saturated, unit="/s"),
        Figure(name="load: requests a second, offered", value=rate, unit="/s"),
        Figure(name="load: requests a second, answered", value=done / seconds, unit="/s"),
        Figure(name="load: errors", value=errors, goal=0, at_least=False),
        *(
            Figure(name=f"load: {name}, p{share}", value=1000 * float(np.percentile(took, share)), unit="ms")
            for name, took in sorted(times.items())
            for share in (50, 99)
        ),
        *watched.figures(),
    ]


async def _saturated(team: "Team") -> float:
    """Requests a second of clients that each wait for an answer before they go on."""
    until = perf_counter() + SATURATION_SECONDS
    done = 0

    async def client() -> None:
        nonlocal done
        while perf_counter() < until:
            name, operation = team.next()
            if not name.startswith("floor"):
                await operation()
                done += 1

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return done / SATURATION_SECONDS


async def _offered(team: "Team", rate: float, seconds: float, watched: Watched) -> tuple[dict[str, list[float]], int]:
    """How long each kind of request took from when it was due, and how many were refused."""
    times: dict[str, list[float]] = defaultdict(list)
    errors = 0
    running: set[asyncio.Task[None]] = set()

    async def ask(name: str, operation: Operation, due: float) -> None:
        nonlocal errors
        try:
            await operation()
            times[name].append(perf_counter() - due)
        except (Refused, OSError) as error:
            errors += 1
            print(error, file=sys.stderr)

    began = due = perf_counter()
    while due < began + seconds:
        due += team.chance.expovariate(rate)
        if (early := due - perf_counter()) > 0:
            await asyncio.sleep(early)
        asked = asyncio.create_task(ask(*team.next(), due))
        running.add(asked)
        asked.add_done_callback(running.discard)
        watched.look()
    await asyncio.gather(*running)
    return times, errors


class Team:
    """Who works with Hopper, and what they know: ids of tasks, claims that agents hold."""

    def __init__(self, caller: Caller, chance: random.Random) -> None:
        self._caller = caller
        self.chance = chance
        self.also: dict[str, Operation] = {}
        self._instances: list[str] = []
        self._tasks: list[str] = []
        self._unrouted: list[str] = []
        self._claims: list[tuple[str, str]] = []
        self._token = ""
        self._pushes = 0

    def new_task(self) -> dict[str, Any]:
        subject = self.chance.choice(_SUBJECTS).format(self.chance.randrange(40))
        return {
            "title": f"{subject} {self.chance.choice(_PLACES)} {self.chance.randrange(1000)}",
            "description": "It happens since the last change; before, everything worked as it should.",
            "tags": {"area": subject.split()[0], "week": str(self.chance.randrange(52))},
        }

    async def gather(self) -> None:
        """Instances, tasks of the past with their outcomes, and a source."""
        for at in range(INSTANCES):
            made = await self._post("/instances", {"name": f"team {at}"})
            self._instances.append(made["id"])
        for _ in range(TASKS):
            await self._file()
            if self.chance.random() < 0.5:
                await self._judge()
        source = {"source_instance_id": "laptop", "name": "laptop"}
        self._token = (await self._post("/sync/sources", source))["token"]

    def next(self) -> tuple[str, Operation]:
        """What is asked next, at random."""
        if self.also and self.chance.random() < 0.02:
            return self.chance.choice([*self.also.items()])
        operations, weights = zip(*self._mix(), strict=True)
        operation: Operation = self.chance.choices(operations, weights)[0]
        return operation.__name__.strip("_").replace("_", " "), operation

    def _mix(self) -> list[tuple[Operation, int]]:
        return [
            (self._get, 14),
            (self._list, 12),
            (self._search, 10),
            (self._keyword_search, 3),
            (self._similar, 3),
            (self._file, 12),
            (self._file_and_route, 8),
            (self._route, 6 if self._unrouted else 0),
            (self._edit, 5),
            (self._judge, 5),
            (self._claim, 10),
            (self._heartbeat, 4 if self._claims else 0),
            (self._complete, 9 if len(self._claims) > 20 else 0),
            (self._blocked, 2),
            (self._triage, 2),
            (self._statistics, 1),
            (self._push, 1),
        ]

    async def _post(self, path: str, body: object = None) -> Any:
        return await self._caller.call("POST", f"/api/v1{path}", body)

    async def _read(self, path: str) -> Any:
        return await self._caller.call("GET", f"/api/v1{path}")

    def _some(self) -> str:
        """A task, sooner one of the last hundred."""
        return self.chance.choice(self._tasks[-100:] if self.chance.random() < 0.7 else self._tasks)

    async def _get(self) -> None:
        await self._read(f"/tasks/{self._some()}")

    async def _list(self) -> None:
        await self._read(f"/tasks?limit=50&instance_id={self.chance.choice(self._instances)}")

    async def _search(self) -> None:
        await self._read(f"/search?q=declined+{self.chance.choice(_PLACES).replace(' ', '+')}")

    async def _keyword_search(self) -> None:
        await self._read(f"/search?mode=keyword&q=printer+{self.chance.randrange(40)}")

    async def _similar(self) -> None:
        await self._read(f"/tasks/{self._some()}/similar")

    async def _file(self) -> None:
        """One in three belongs to an instance from the start."""
        held = self.chance.random() < 0.33
        made = await self._post(
            "/tasks", self.new_task() | ({"instance_id": self.chance.choice(self._instances)} if held else {})
        )
        self._tasks.append(made["id"])
        if not held:
            self._unrouted.append(made["id"])

    async def _file_and_route(self) -> None:
        made = await self._post("/tasks", self.new_task() | {"route": True})
        self._tasks.append(made["id"])

    async def _route(self) -> None:
        await self._post(f"/tasks/{self._unrouted.pop()}/route")

    async def _edit(self) -> None:
        await self._caller.call(
            "PATCH", f"/api/v1/tasks/{self._some()}", {"priority": self.chance.choice(("low", "high"))}
        )

    async def _judge(self) -> None:
        task = self._some()
        belongs = self._instances[sum(task.encode()) % INSTANCES]
        await self._caller.call("PUT", f"/api/v1/tasks/{task}/feedback", {"should_have_routed_to": belongs})

    async def _claim(self) -> None:
        body = {"instance_id": self.chance.choice(self._instances), "worker": "agent", "lease_seconds": 3600}
        if claim := await self._post("/tasks/claim", body):
            self._claims.append((claim["task"]["id"], claim["token"]))

    async def _heartbeat(self) -> None:
        task, token = self._claims[0]
        await self._post(f"/tasks/{task}/heartbeat", {"token": token, "lease_seconds": 3600})

    async def _complete(self) -> None:
        task, token = self._claims.pop()
        await self._post(f"/tasks/{task}/complete", {"token": token})

    async def _blocked(self) -> None:
        await self._read(f"/graph/tasks/{self._some()}/blocked")

    async def _triage(self) -> None:
        await self._read("/tasks/triage")

    async def _statistics(self) -> None:
        await self._read("/learning/statistics")

    async def _push(self) -> None:
        """What a source has learned since its last push: a few counts more."""
        self._pushes += 1
        patterns = [
            {
                "name": f"area {at}",
                "pattern_type": "tag",
                "tag_criteria": {"any": [f"area-{at}"]},
                "text_criteria": {},
                "target_scope": "PROJECT",
                "confidence": 0.8,
                "usage_count": 40 + self._pushes,
                "success_count": 30 + self._pushes,
                "failure_count": 10,
            }
            for at in range(20)
        ]
        body = {"source_instance_id": "laptop", "source_instance_name": "laptop", "sequence": self._pushes}
        whole = body | {"patterns": patterns, "episode_summaries": []}
        await self._caller.call("POST", "/api/v1/sync/northbound", whole, key=self._token)
