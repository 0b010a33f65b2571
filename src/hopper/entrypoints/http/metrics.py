"""/metrics: numbers of this process, and of the database while it answers (Prometheus text format)."""

from collections.abc import Iterator
from typing import cast

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from hopper.app.projections import SUBSCRIPTIONS
from hopper.app.readiness import Readiness, ReadinessWatch
from hopper.domain.errors import Unavailable
from hopper.entrypoints.http import families
from hopper.entrypoints.http.conventions import ApiRequest, ApiRoute
from hopper.entrypoints.http.problems import problems
from hopper.entrypoints.http.traffic import Traffic
from hopper.ports import Ports
from hopper.ports.monitor import Figures, Monitor

router = APIRouter(tags=["health"], route_class=ApiRoute)


@router.get("/metrics", response_class=Response, responses=problems())
async def metrics(request: ApiRequest) -> Response:
    """Numbers for Prometheus. Those of this process count from its start; without the database its own are left out."""
    state, ports = request.app.state, request.ports
    assert ports.monitor
    readiness = await cast(ReadinessWatch, state.readiness).look()
    figures = await _figures(ports.monitor) if readiness.is_ready else None
    registry = CollectorRegistry()
    registry.register(_Numbers(ports, ports.monitor, state.traffic, readiness, figures))
    ProcessCollector(registry=registry)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


async def _figures(monitor: Monitor) -> Figures | None:
    try:
        return await monitor.figures(SUBSCRIPTIONS)
    except Unavailable:
        return None


class _Numbers(Collector):
    def __init__(
        self, ports: Ports, monitor: Monitor, traffic: Traffic, readiness: Readiness, figures: Figures | None
    ) -> None:
        self._ports = ports
        self._monitor = monitor
        self._traffic = traffic
        self._readiness = readiness
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        yield from families.server(self._readiness)
        yield from families.requests(self._traffic)
        yield from families.work(self._ports)
        yield from families.embedders(self._ports)
        yield from families.pool(self._monitor.pool())
        if self._ports.replica:
            yield from families.replica(self._ports.replica.status)
        if self._figures:
            yield from families.database(self._figures)
