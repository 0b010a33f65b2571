"""Knowing how instances do, for the decisions to come."""

from hopper.app.background import Log, Repeating
from hopper.app.graph import standings
from hopper.ports import Ports

_REFRESH_SECONDS = 10.0
_SHARE = 0.05
"""Of the time, at most: with a million tasks it takes seconds to count what instances hold."""


def standings_keeper(ports: Ports, log: Log) -> Repeating:
    """Reads the instances' records from the graph every few seconds.

    A decision takes what was read last: counting all delegations each time would make it slower as they grow.
    """
    failure = "reading the instances' records failed"
    return Repeating(lambda: refresh_standings(ports=ports), _REFRESH_SECONDS, failure, log, share=_SHARE)


async def refresh_standings(*, ports: Ports) -> None:
    """Read how all instances do."""
    async with ports.reading() as uow:
        ids = list(await uow.instances.names())
    ports.memory.standings = await standings(ids, ports=ports)
