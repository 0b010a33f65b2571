"""What stands between a server and its PostgreSQL, and cuts, holds up or delays what goes through."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

COMMIT = b"COMMIT\x00"


class Wires:
    """Connections on loopback that lead to a Unix socket, each way in order; `url` is for a server to use.

    `held` keeps what is sent until it is let go, `delay` is how many seconds each piece is late at most, and the next
    `cut_commits` commits are sent on while their answers never come.
    """

    def __init__(self, socket: str, chance: random.Random) -> None:
        self._socket = socket
        self.chance = chance
        self.free = asyncio.Event()
        self.free.set()
        self.delay = 0.0
        self.cut_commits = 0
        self.open: set[asyncio.Transport] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/hopper"

    def cut(self, share: float = 1.0) -> None:
        """Break off so many of all connections, in the middle of whatever goes through."""
        for transport in tuple(self.open):
            if self.chance.random() < share:
                transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_unix_connection(self._socket)
        except OSError:
            writer.transport.abort()
            return
        ends = {cast("asyncio.Transport", one.transport) for one in (writer, back)}
        self.open |= ends
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pipe(reader, back, writer))
                group.create_task(self._pipe(there, writer, back))
        except* OSError:
            pass
        finally:
            self.open -= ends
            for end in ends:
                end.abort()

    async def _pipe(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, other: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(65_536):
            if self.delay:
                await asyncio.sleep(self.chance.uniform(0, self.delay))
            await self.free.wait()
            target.write(data)
            await target.drain()
            if self.cut_commits and COMMIT in data:
                self.cut_commits -= 1
                other.transport.abort()
        raise ConnectionAbortedError  # the other way ends with it


@asynccontextmanager
async def wired(socket: str, chance: random.Random) -> AsyncIterator[Wires]:
    """Wires to a PostgreSQL's socket, for as long as the block lasts."""
    wires = Wires(socket, chance)
    listening = await asyncio.start_server(wires.accept, "127.0.0.1", 0)
    wires.port = listening.sockets[0].getsockname()[1]
    try:
        yield wires
    finally:
        listening.close()
        wires.free.set()
        wires.cut()
