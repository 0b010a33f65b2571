"""A load of HTTP requests over kept-alive connections, light enough not to be what is measured."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from bench.asking import ADMIN_KEY
from bench.servers import Server


@dataclass(frozen=True)
class Load:
    """Requests a second, and milliseconds that one took."""

    rate: float
    p50_ms: float
    p99_ms: float


def create_tasks(server: Server, *, clients: int, requests: int) -> Load:
    """POST /api/v1/tasks from so many clients at once, each waiting for its answer before it goes on."""
    return asyncio.run(_load(server, clients, requests))


async def _load(server: Server, clients: int, requests: int) -> Load:
    left = iter(range(requests))
    times: list[float] = []
    began = perf_counter()
    await asyncio.gather(*(_client(server, left, times) for _ in range(clients)))
    took = perf_counter() - began
    return Load(requests / took, 1000 * float(np.percentile(times, 50)), 1000 * float(np.percentile(times, 99)))


async def _client(server: Server, left: Iterator[int], times: list[float]) -> None:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    for number in left:
        body = json.dumps(
            {
                "title": f"The card payment number {number} is declined abroad",
                "description": "It happens at every till in Portugal since Monday; at home it works.",
                "tags": {"payments": True, "area": "cards"},
            }
        ).encode()
        began = perf_counter()
        writer.write(
            b"POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (ADMIN_KEY.encode(), len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 201"):
            raise RuntimeError(head.splitlines()[0].decode())
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        await reader.readexactly(length)
        times.append(perf_counter() - began)
    writer.close()
    await writer.wait_closed()
