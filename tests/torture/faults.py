"""What is done to a stage. Each fault returns how many processes it has killed."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg
import psutil
from tests.torture.stage import Stage

Fault = Callable[[Stage, random.Random], Awaitable[int]]

_CONNECTIONS = 100
"""What PostgreSQL takes at most, as Hopper sets it up."""


async def kill_server(stage: Stage, _chance: random.Random) -> int:
    await stage.signal_server(signal.SIGKILL)
    return 1


async def end_server(stage: Stage, _chance: random.Random) -> int:
    """As a service manager does: it may finish, and leaves with 0, unless a second fault kills it."""
    code = await stage.signal_server(signal.SIGTERM)
    assert code in {0, None, -signal.SIGTERM, -signal.SIGKILL}, f"the server ended with {code}"
    return 1


async def kill_postgres(stage: Stage, _chance: random.Random) -> int:
    return _send(stage.postmaster, signal.SIGKILL)


async def crash_postgres(stage: Stage, _chance: random.Random) -> int:
    """An immediate shutdown: nothing is finished, and the next start recovers."""
    return _send(stage.postmaster, signal.SIGQUIT)


async def end_postgres(stage: Stage, _chance: random.Random) -> int:
    """A fast shutdown, as before an upgrade."""
    return _send(stage.postmaster, signal.SIGINT)


async def kill_session(stage: Stage, chance: random.Random) -> int:
    """One session dies as by the kernel: PostgreSQL ends all others and recovers by itself."""
    return _send(_session(stage, chance), signal.SIGKILL)


async def end_session(stage: Stage, chance: random.Random) -> int:
    """One session is terminated, as an administrator does."""
    return _send(_session(stage, chance), signal.SIGTERM)


async def kill_everything(stage: Stage, chance: random.Random) -> int:
    """As a power cut."""
    killed = _send(stage.postmaster, signal.SIGKILL) + await kill_server(stage, chance)
    return killed + (await kill_neo4j(stage, chance) if stage.neo4j else 0)


async def kill_neo4j(stage: Stage, _chance: random.Random) -> int:
    assert stage.neo4j
    with suppress(OSError, ValueError):
        return _send(int((stage.neo4j.data / "run" / "neo4j.pid").read_text()), signal.SIGKILL)
    return 0


KILLS: tuple[Fault, ...] = (
    kill_server,
    end_server,
    kill_postgres,
    crash_postgres,
    end_postgres,
    kill_session,
    end_session,
    kill_everything,
)


async def cut(stage: Stage, chance: random.Random) -> int:
    """Connections break off, in the middle of statements."""
    stage.wires.cut(chance.choice((0.3, 1.0)))
    return 0


async def cut_commits(stage: Stage, chance: random.Random) -> int:
    """Transactions are committed, and nobody hears of it."""
    stage.wires.cut_commits = chance.randint(1, 5)
    return 0


async def hold(stage: Stage, chance: random.Random) -> int:
    """Nothing gets through for a while."""
    stage.wires.free.clear()
    await asyncio.sleep(chance.uniform(0.5, 4))
    if chance.random() < 0.5:
        stage.wires.cut()
    stage.wires.free.set()
    return 0


async def delay(stage: Stage, chance: random.Random) -> int:
    """A slow network."""
    stage.wires.delay = chance.uniform(0.005, 0.05)
    await asyncio.sleep(1)
    stage.wires.delay = 0.0
    return 0


async def take_connections(stage: Stage, chance: random.Random) -> int:
    """Others have all of PostgreSQL's connections, and the server's own are cut."""
    taken: list[asyncpg.Connection[asyncpg.Record]] = []
    with suppress(asyncpg.PostgresError, OSError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        stage.wires.cut()
        for _ in range(_CONNECTIONS):
            taken.append(await asyncpg.connect(stage.postgres.url, timeout=5))
    await asyncio.sleep(chance.uniform(0.2, 2))
    for connection in taken:
        connection.terminate()
    return 0


async def block(stage: Stage, chance: random.Random) -> int:
    """Each statement about tasks waits, until the whole pool does, and requests wait for it."""
    with suppress(asyncpg.PostgresError, OSError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        connection = await asyncpg.connect(stage.postgres.url, timeout=5)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
                await asyncio.sleep(chance.uniform(0.5, 5))
        finally:
            connection.terminate()
    return 0


async def skew(stage: Stage, chance: random.Random) -> int:
    """The next server's clock is wrong by up to a day."""
    stage.skew = chance.choice((-1, 1)) * chance.choice((3.0, 600.0, 86_400.0))
    return await kill_server(stage, chance)


async def fill_disk(stage: Stage, chance: random.Random) -> int:
    """There is no room any more, neither for data nor for logs, until somebody makes some."""
    filler = stage.home / "filler"
    with filler.open("wb") as file:
        free = os.statvfs(stage.home)
        taken, part = 0, free.f_bavail * free.f_frsize
        while part:
            try:
                os.posix_fallocate(file.fileno(), taken, part)
                taken += part
            except OSError:  # others have taken some of it meanwhile
                part //= 2
    await asyncio.sleep(chance.uniform(1, 5))
    filler.unlink()
    return 0


TROUBLES: tuple[Fault, ...] = (cut, cut_commits, hold, delay, take_connections, block, skew)


def _session(stage: Stage, chance: random.Random) -> int | None:
    """One of PostgreSQL's processes that serve a client."""
    with suppress(psutil.Error):
        if postmaster := stage.postmaster:
            children = psutil.Process(postmaster).children()
            sessions = [child.pid for child in children if "postgres: postgres hopper" in " ".join(child.cmdline())]
            return chance.choice(sorted(sessions)) if sessions else None
    return None


def _send(pid: int | None, number: int) -> int:
    if pid is None:
        return 0
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return 1
    return 0
