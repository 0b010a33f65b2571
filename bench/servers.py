"""Servers to measure, each a process of its own on loopback, stopped at the end."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import asyncpg

from bench.asking import ADMIN_KEY


@dataclass(frozen=True)
class Server:
    """`ready_seconds` is from the start of the process to its saying that it is ready."""

    pid: int
    host: str
    port: int
    ready_seconds: float


@contextmanager
def hopper(database_url: str | None, home: Path, *flags: str) -> Iterator[Server]:
    """`hopper serve`, on an external PostgreSQL or its embedded one."""
    given = {
        "HOPPER_ADMIN_KEY": ADMIN_KEY,
        "HOPPER_AUTH__REQUESTS_PER_SECOND": "100000",
        "HOPPER_LOGGING__LEVEL": "warning",
    }
    environment = {**os.environ, "HOPPER_HOME": str(home), "PORT": "0", **given}
    if database_url:
        environment["DATABASE_URL"] = database_url
    command = [sys.executable, "-m", "hopper.entrypoints.cli.main", "serve", "--json", *flags]
    with _running(command, environment) as server:
        yield server


@contextmanager
def floor(database_url: str) -> Iterator[Server]:
    """The barest endpoint that stores a task durably."""
    with _running([sys.executable, "-m", "bench.floor"], {**os.environ, "DATABASE_URL": database_url}) as server:
        yield server


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[Server]:
    began = perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            address = urlsplit(said["address"])
            assert address.hostname
            assert address.port
            yield Server(process.pid, address.hostname, address.port, perf_counter() - began)
        finally:
            process.terminate()
            process.wait(30)


def create_database(url: str, name: str) -> str:
    """A new, empty database on the same PostgreSQL; returns its URL."""

    async def create() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(f'CREATE DATABASE "{name}"')
        await connection.close()

    asyncio.run(create())
    parts = urlsplit(url)
    return parts._replace(path=f"/{name}").geturl()
