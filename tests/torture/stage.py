"""The processes that are tortured: a PostgreSQL, perhaps a Neo4j, and a `hopper serve` between wires."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx
import psutil
from tests.asking import ADMIN_KEY
from tests.torture.wires import Wires, wired

from hopper.domain.errors import HopperError
from hopper.services.neo4j import EmbeddedNeo4j
from hopper.services.postgres import EmbeddedPostgres

_START_SECONDS = 120.0


class Stage:
    """What runs under `home`; who breaks something of it calls `mend` in the end.

    Only what an operator's service manager would start again is started again: a server, PostgreSQL or Neo4j that has
    ended. `skew` is by how many seconds the next server's clock is wrong.
    """

    def __init__(self, home: Path, postgres: EmbeddedPostgres, wires: Wires, neo4j: EmbeddedNeo4j | None) -> None:
        self.home = home
        self.postgres = postgres
        self.wires = wires
        self.neo4j = neo4j
        self.skew = 0.0
        self.url = "http://127.0.0.1:9"
        self.server: Process | None = None
        self.log = (home / "server.log").open("ab", buffering=0)

    @property
    def postmaster(self) -> int | None:
        """The number of PostgreSQL's first process; None while there is none."""
        try:
            pid = int((self.postgres.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        return pid if psutil.pid_exists(pid) else None

    async def mend(self) -> float:
        """Have everything running; returns the seconds from PostgreSQL's return to the server's being ready."""
        self.wires.free.set()
        self.wires.delay = 0.0
        self.wires.cut_commits = 0
        await self.accepting()
        if self.server is None or self.server.returncode is not None:
            await self._serve()
            began = monotonic()
        else:
            began = monotonic()
        await self.ready(_START_SECONDS)
        took = monotonic() - began
        if self.neo4j:
            await asyncio.to_thread(self.neo4j.start)
        return took

    async def accepting(self) -> None:
        """Return once PostgreSQL takes statements; it is started if it has ended."""
        until = monotonic() + _START_SECONDS
        while True:
            if not await asyncio.to_thread(self.postgres.runs):
                await asyncio.to_thread(self.postgres.stop)
                await asyncio.to_thread(self.postgres.start)
            try:
                connection = await asyncpg.connect(self.postgres.url, timeout=5)
                await connection.close()
                return
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                assert monotonic() < until, "PostgreSQL doesn't come back"
                await asyncio.sleep(0.02)

    async def ready(self, seconds: float) -> None:
        """Return once the server says that it is ready."""
        until = monotonic() + seconds
        async with httpx.AsyncClient(base_url=self.url, timeout=5, trust_env=False) as client:
            while True:
                with suppress(httpx.TransportError):
                    if (await client.get("/readyz")).status_code == 200:
                        return
                assert monotonic() < until, f"the server isn't ready {seconds:.0f} s after everything is back"
                await asyncio.sleep(0.02)

    async def _serve(self) -> None:
        environment = {
            **os.environ,
            "HOPPER_HOME": str(self.home / "server"),
            "PORT": "0",
            "HOPPER_ADMIN_KEY": ADMIN_KEY,
            "DATABASE_URL": self.wires.url,
            "SKEW": str(self.skew),
        }
        if self.neo4j:
            named = {"URL": self.neo4j.url, "USERNAME": self.neo4j.username, "PASSWORD": self.neo4j.password}
            environment |= {f"NEO4J_{name}": value for name, value in named.items()}
        self.server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.torture.skewed", "serve", "--json",
            env=environment, stdout=PIPE, stderr=self.log,
        )  # fmt: skip
        assert self.server.stdout
        said = await asyncio.wait_for(self.server.stdout.readline(), _START_SECONDS)
        assert said, "the server ended before it was ready, with a PostgreSQL that takes statements"
        self.url = json.loads(said)["address"]

    async def signal_server(self, number: int) -> int | None:
        """How the server ended; None if it isn't there."""
        if self.server is None or self.server.returncode is not None:
            return None
        self.server.send_signal(number)
        return await asyncio.wait_for(self.server.wait(), 60)

    def strays(self) -> list[str]:
        """Processes of this PostgreSQL that don't belong to the one that runs now."""
        now = self.postmaster
        family = {now, *(child.pid for child in psutil.Process(now).children(recursive=True))} if now else set()
        found = []
        for process in psutil.process_iter(["name", "cwd"]):
            if process.info["cwd"] == str(self.postgres.data) and process.pid not in family:
                found.append(f"{process.info['name']} {process.pid}")
        return found


@contextmanager
def small_disk(megabytes: int = 700) -> Iterator[Path | None]:
    """A directory that is a disk of its own and can be filled; None where one may not mount."""
    with TemporaryDirectory(prefix="hopper-torture-disk-") as place:
        options = ["-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "none", place]
        if subprocess.run(["mount", *options], check=False, capture_output=True).returncode != 0:
            yield None
            return
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", place], check=True)


@asynccontextmanager
async def staged(home: Path, chance: random.Random, neo4j: EmbeddedNeo4j | None) -> AsyncIterator[Stage]:
    """A stage whose PostgreSQL and server are running; all of it is ended at the end, however broken it is."""
    postgres = EmbeddedPostgres(home, exclusive=False)
    await asyncio.to_thread(postgres.start)
    where = parse_qs(urlsplit(postgres.url).query)["host"][0]
    try:
        async with wired(f"{where}/.s.PGSQL.5432", chance) as wires:
            stage = Stage(home, postgres, wires, neo4j)
            try:
                await stage.mend()
                yield stage
            finally:
                with suppress(asyncio.TimeoutError, ProcessLookupError):
                    await stage.signal_server(signal.SIGTERM)
                if stage.server and stage.server.returncode is None:
                    stage.server.kill()
                stage.log.close()
    finally:
        with suppress(HopperError):
            await asyncio.to_thread(postgres.stop)
