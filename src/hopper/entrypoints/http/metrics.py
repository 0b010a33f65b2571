"""/metrics: how the projections keep up, and how often answers could be kept (Prometheus text format)."""

from collections.abc import Iterator

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from hopper.app.projections import SUBSCRIPTIONS
from hopper.entrypoints.http.conventions import ApiRequest, ApiRoute, problems
from hopper.ports import Ports
from hopper.ports.queue import Backlog

router = APIRouter(tags=["health"], route_class=ApiRoute)


@router.get("/metrics", response_class=Response, responses=problems())
async def metrics(request: ApiRequest) -> Response:
    """Numbers for Prometheus: what waits for each projection, and how often an answer about the graph was kept."""
    async with request.ports.reading() as uow:
        backlogs = {projection: await uow.queue.backlog(projection) for projection in SUBSCRIPTIONS}
    registry = CollectorRegistry()
    registry.register(_Numbers(backlogs, request.ports))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class _Numbers(Collector):
    def __init__(self, backlogs: dict[str, Backlog], ports: Ports) -> None:
        self._backlogs = backlogs
        self._ports = ports

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "hopper_projection_waiting", "Entities that a projection has yet to look at", labels=["projection"]
        )
        failing = GaugeMetricFamily("hopper_projection_failing", "Those of them that failed", labels=["projection"])
        lag = GaugeMetricFamily(
            "hopper_projection_lag_seconds", "For how long the first of them has waited", labels=["projection"]
        )
        for projection, backlog in self._backlogs.items():
            waiting.add_metric([projection], backlog.waiting)
            failing.add_metric([projection], backlog.failing)
            lag.add_metric([projection], backlog.oldest_seconds)
        answers = CounterMetricFamily(
            "hopper_graph_answers", "Answers about the graph since the server began", labels=["kept"]
        )
        kept = self._ports.memory.graph_answers
        answers.add_metric(["yes"], kept.hits)
        answers.add_metric(["no"], kept.misses)
        yield from (waiting, failing, lag, answers)
