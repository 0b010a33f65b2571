"""One API process and two on one database: requests a second, and whose processor time a request takes.

On a machine with few cores PostgreSQL and this load take a share of them. So there are further rounds in which each API
process has a part of a core only, small enough that the cores are enough for all, where one may give it so little.
Beside the rates stand how much more these cores allow two processes to do, and what follows from the API's processor
time where that is the limit: twice as much, less what a request costs more while there are two.
"""

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time, sleep

from bench import quota, servers
from bench.asking import KEYED
from bench.figures import Figure
from bench.servers import Server
from hopper.services.postgres import EmbeddedPostgres

CLIENTS = 32
"""In all. Creates that come together share a transaction: a process needs others to work at while one is stored."""
ROUNDS = 5
REQUESTS = 2_000
_SPARED = 0.5
"""What all of them may take of the cores, so that none has to wait: chosen when creates had missed the goal at 0.85."""

_HEAD = f" HTTP/1.1\r\nHost: localhost\r\nAuthorization: {KEYED['Authorization']}\r\n".encode()
_TICK = 1 / os.sysconf("SC_CLK_TCK")

Request = Callable[[int], bytes]


@dataclass(frozen=True)
class Round:
    """Requests a second, and milliseconds of processor time for one: the API's, PostgreSQL's and this load's."""

    rate: float
    api: float
    database: float
    load: float


def measure() -> list[Figure]:
    """Rounds with one process and with two in turns; the median round counts."""
    with TemporaryDirectory(prefix="hopper-bench-") as place, ExitStack() as running:
        home = Path(place)
        postgres = running.enter_context(EmbeddedPostgres(home, exclusive=False))
        ours, bare = (servers.create_database(postgres.url, name) for name in ("ours", "floor"))
        hoppers = [running.enter_context(servers.hopper(ours, home)) for _ in range(2)]
        floors = [running.enter_context(servers.floor(bare)) for _ in range(2)]
        return [
            *_in_turns("creates", hoppers, _create, home),
            *_in_turns("creates, floor", floors, _create, home),
            *_in_turns("searches", hoppers, _search, home),
        ]


def _create(number: int) -> bytes:
    title = f"The card payment number {number} is declined abroad"
    body = json.dumps({"title": title, "tags": {"payments": True, "area": "cards"}}).encode()
    return b"POST /api/v1/tasks%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        _HEAD,
        len(body),
        body,
    )


def _search(number: int) -> bytes:
    """By words, of which each stands in few tasks."""
    return b"GET /api/v1/search?mode=keyword&limit=5&q=%d%b\r\n" % (number, _HEAD)


def _in_turns(name: str, processes: Sequence[Server], request: Request, home: Path) -> Iterator[Figure]:
    one, two = _rounds(processes, request, home)
    rates = [median(each.rate for each in rounds) for rounds in (one, two)]
    api, database, load = (median(getattr(each, whose) for each in two) for whose in ("api", "database", "load"))
    goal = 1.5 if "floor" not in name else None
    alone = median(each.api for each in one)
    part = _SPARED * len(os.sched_getaffinity(0)) / (2 + (database + load) / api)
    with quota.shares([one.pid for one in processes], part) as given:
        if given:
            limited = [median(each.rate for each in rounds) for rounds in _rounds(processes, request, home)]
            said = f"{name}: two against one, each with {part:.2f} of a core"
            yield Figure(name=said, value=limited[1] / limited[0], goal=goal)
    yield Figure(name=f"{name}: two against one, by the API's processor time", value=2 * alone / api)
    yield Figure(name=f"{name}: two against one, sharing these cores", value=rates[1] / rates[0])
    yield Figure(name=f"{name}: the most that these cores allow", value=_most(api, database, load))
    yield Figure(name=f"{name} a second, one process", value=rates[0], unit="/s")
    yield Figure(name=f"{name} a second, two processes", value=rates[1], unit="/s")
    for whose, took in {"API, one process": alone, "API, two": api, "PostgreSQL": database, "this load": load}.items():
        yield Figure(name=f"{name}: processor time, {whose}", value=took, unit="ms")


def _rounds(processes: Sequence[Server], request: Request, home: Path) -> tuple[list[Round], list[Round]]:
    """With one process and with two, in turns."""
    one: list[Round] = []
    two: list[Round] = []
    for _ in range(ROUNDS):
        sleep(3)  # what the worker has put off is embedded in between
        one.append(_round(processes[:1], processes, request, home))
        sleep(3)
        two.append(_round(processes, processes, request, home))
    return one, two


def _most(api: float, database: float, load: float) -> float:
    """Two processes against one, if each fills a core and nothing else holds them up but the cores that there are."""
    all_cores = len(os.sched_getaffinity(0)) / (api + database + load)
    return min(2 / api, all_cores) / min(1 / api, all_cores)


def _round(processes: Sequence[Server], everyone: Sequence[Server], request: Request, home: Path) -> Round:
    """What a process that isn't asked does meanwhile counts: it embeds what the other has stored."""
    api, database, load = _used(everyone), _used_by_postgres(home), process_time()
    took = asyncio.run(_asked(processes, request))
    used = (_used(everyone) - api, _used_by_postgres(home) - database, process_time() - load)
    return Round(REQUESTS / took, *(1000 * seconds / REQUESTS for seconds in used))


async def _asked(processes: Sequence[Server], request: Request) -> float:
    """Seconds that it took from the first request to the last answer."""
    left = iter(range(REQUESTS))
    clients = [
        await asyncio.open_connection(one.host, one.port) for one in processes for _ in range(CLIENTS // len(processes))
    ]
    began = perf_counter()
    await asyncio.gather(*(_client(*streams, left, request) for streams in clients))
    return perf_counter() - began


async def _client(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: Iterator[int], request: Request
) -> None:
    for number in left:
        writer.write(request(number))
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(head.splitlines()[0].decode())
        await reader.readexactly(int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0]))
    writer.close()
    await writer.wait_closed()


def _used(processes: Sequence[Server]) -> float:
    return sum(_seconds(one.pid) for one in processes)


def _used_by_postgres(home: Path) -> float:
    """By all its processes, those that have ended included."""
    postmaster = int((home / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return sum(_seconds(pid) for pid in (postmaster, *map(int, children)))


def _seconds(pid: int) -> float:
    """Of processor time that a process has used, and those of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return _TICK * sum(map(int, fields[11:15]))
