"""A graph database that follows a Hopper, for tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

from hopper.app.graph_audit import graph_differences, graph_status
from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.ports import Ports
from hopper.ports.graph import Neo4jAddress

SOON = 30.0


@asynccontextmanager
async def following(
    database_url: str, address: Callable[[], Neo4jAddress | None] | None, **graph: bool
) -> AsyncIterator[Ports]:
    """The whole of Hopper with a graph, its workers included, as `hopper serve --with-graph` has it."""
    async with open_hopper(load_settings(graph=graph or None), database_url, address) as opened:
        yield opened


async def differences(ports: Ports) -> list[str]:
    """What `hopper graph check` finds."""
    found: list[str] = []
    cursor = None
    while True:
        part = await graph_differences(cursor, ports=ports)
        for kind in ("missing", "extra", "different"):
            found += [f"{kind} {key}" for key in getattr(part, kind)]
        if part.next_cursor is None:
            return found
        cursor = part.next_cursor


async def caught_up(ports: Ports, seconds: float = SOON) -> None:
    """Return once the graph has everything."""
    until = monotonic() + seconds
    while True:
        status = await graph_status(ports=ports)
        if status.is_followed and not (status.is_rebuilding or status.waiting or status.trouble):
            return
        assert monotonic() < until, status
        await asyncio.sleep(0.05)
