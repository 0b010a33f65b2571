"""What a server does in the background, done by the command that needs it: nothing runs beside a local instance."""

from datetime import timedelta

from hopper.app.consolidation import consolidate_if_due
from hopper.app.projections import embed_batch
from hopper.app.standings import refresh_standings
from hopper.app.teaching import refresh_shared
from hopper.app.training import learn_if_due, remember
from hopper.ports import Ports

_AT_A_TIME = 500

_OUTCOMES, _PAUSE = 50, timedelta(minutes=5)
"""As a server consolidates by default."""


async def embed_waiting(ports: Ports) -> None:
    """Give everything that was filed or edited its vector: before a search, and before what compares tasks."""
    while await embed_batch(ports, _AT_A_TIME):
        pass


async def prepare_decisions(ports: Ports) -> None:
    """Know all that a decision goes by: before a task is routed."""
    await embed_waiting(ports)
    await learn_if_due(ports=ports, when_quiet=False)  # it takes seconds, for which somebody waits here
    await consolidate_if_due(_OUTCOMES, _PAUSE, ports=ports)
    await remember(ports)
    await refresh_standings(ports=ports)
    if ports.teaching:
        await refresh_shared(ports.teaching(), ports=ports)
