"""Knowing how instances do, for the decisions to come."""

import asyncio

from hopper.app.background import Log, pause
from hopper.app.graph import asked
from hopper.ports import Ports

_REFRESH_SECONDS = 10.0


class StandingsKeeper:
    """Reads the instances' records from the graph every few seconds, until it is stopped.

    A decision takes what was read last: counting all delegations each time would make it slower as they grow.
    """

    def __init__(self, ports: Ports, log: Log) -> None:
        self._ports = ports
        self._log = log
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        while not self._stopped.is_set():
            try:
                await refresh_standings(ports=self._ports)
            except Exception as error:
                self._log("reading the instances' records failed", error=type(error).__name__)
            await pause(self._stopped, _REFRESH_SECONDS)


async def refresh_standings(*, ports: Ports) -> None:
    """Read how all instances do."""
    async with ports.reading() as uow:
        ids, stamp = list(await uow.instances.names()), await uow.projections.graph_stamp()
    ports.memory.standings, _ = await asked(lambda graph: graph.standings(ids), ports, stamp)
