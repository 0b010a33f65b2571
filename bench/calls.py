"""HTTP calls over kept-alive connections, light enough not to be what is measured."""

import asyncio
import json
from types import TracebackType
from typing import Any, Self

from bench.asking import ADMIN_KEY
from bench.servers import Server

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Refused(Exception):
    """An answer that isn't one of success."""


class Caller:
    """Calls a server; each call has a connection to itself meanwhile, and there are as many as it takes."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._free: list[Connection] = []

    async def call(self, method: str, path: str, body: object = None, *, key: str = ADMIN_KEY) -> Any:
        """What the server answered, None if that is nothing. Raises Refused, and OSError."""
        connection = await self._connected()
        reader, writer = connection
        content = b"" if body is None else json.dumps(body).encode()
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            answer = await reader.readexactly(int(length or 0))
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError(f"{method} {path}") from error
        self._free.append(connection)
        if not head.startswith(b"http/1.1 2"):
            raise Refused(f"{method} {path}: {head.partition(b' ')[2][:3].decode()} {answer.decode()[:300]}")
        return json.loads(answer) if answer else None

    async def _connected(self) -> Connection:
        """One that the server hasn't closed meanwhile, as it does when it was idle for long."""
        while self._free:
            connection = self._free.pop()
            if not connection[0].at_eof():
                return connection
            connection[1].close()
        return await asyncio.open_connection(self._server.host, self._server.port, limit=64 << 20)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, writer in self._free:
            writer.close()
