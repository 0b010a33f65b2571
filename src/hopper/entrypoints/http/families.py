"""The metrics, by name. docs/observability.md tells what each is for; deploy/ has a dashboard and alerts of them."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from hopper import __version__
from hopper.app.graph import QUESTIONS
from hopper.app.projections import GRAPH
from hopper.app.readiness import Readiness, State
from hopper.domain.decision import Strategy
from hopper.entrypoints.http.traffic import BUCKETS, Traffic
from hopper.entrypoints.logs import LINES
from hopper.ports import Ports
from hopper.ports.circuit import Circuit
from hopper.ports.monitor import Figures, Pool
from hopper.ports.replica import ReplicaState, ReplicaStatus
from hopper.ports.tally import RIGHT, WRONG, Counted

_BOUNDS = [str(bound) for bound in BUCKETS] + ["+Inf"]


def server(readiness: Readiness) -> Iterator[Metric]:
    """Whether it can work, and what it is."""
    info = GaugeMetricFamily("hopper_info", "The version that runs", labels=["version"])
    info.add_metric([__version__], 1)
    ready = GaugeMetricFamily("hopper_ready", "Whether the server can do its work, as /readyz says", readiness.is_ready)
    up = GaugeMetricFamily("hopper_part_up", "Whether a part is as it should be, as /readyz says", labels=["part"])
    for name, part in readiness.parts.items():
        up.add_metric([name], part.state is State.UP)
    lost = CounterMetricFamily("hopper_log_lines_lost", "Lines of the log that couldn't be written", LINES.lost)
    yield from (info, ready, up, lost)


def requests(traffic: Traffic) -> Iterator[Metric]:
    """What was asked and how long it took."""
    answered = CounterMetricFamily(
        "hopper_http_requests", "Requests that were answered", labels=["method", "route", "status"]
    )
    for (method, route, status), count in traffic.answered():
        answered.add_metric([method, route, str(status)], count)
    took = HistogramMetricFamily("hopper_http_request_seconds", "How long requests took", labels=["method", "route"])
    for (method, route), one in traffic.latencies().items():
        took.add_metric([method, route], [*zip(_BOUNDS, accumulate(one.buckets), strict=True)], one.seconds)
    under_way = GaugeMetricFamily("hopper_http_requests_under_way", "Requests without an answer", traffic.under_way)
    yield from (answered, took, under_way)


def work(ports: Ports) -> Iterator[Metric]:
    """Decisions, what became of them, claims, and answers about the graph."""
    tally = ports.tally
    decisions = CounterMetricFamily("hopper_decisions", "Decisions that were stored", labels=["strategy"])
    for strategy in Strategy:
        decisions.add_metric([strategy.value], tally[Counted.DECISION, strategy])
    outcomes = CounterMetricFamily(
        "hopper_outcomes", "Outcomes of Hopper's own decisions that became known, or were corrected", labels=["result"]
    )
    for result in (RIGHT, WRONG):
        outcomes.add_metric([result], tally[Counted.OUTCOME, result])
    claims = CounterMetricFamily("hopper_claims", "Tasks that workers claimed", tally[Counted.CLAIM, ""])
    expired = CounterMetricFamily("hopper_expired_leases", "Leases that ran out", tally[Counted.EXPIRED_LEASE, ""])
    answers = CounterMetricFamily(
        "hopper_graph_answers", "Answers about the graph since the server began", labels=["kept"]
    )
    kept = ports.memory.graph_answers
    answers.add_metric(["yes"], kept.hits)
    answers.add_metric(["no"], kept.misses)
    yield from (decisions, outcomes, claims, expired, answers)


def embedders(ports: Ports) -> Iterator[Metric]:
    """Calls to the providers of embeddings, and whether they and the graph database are known to fail."""
    calls = CounterMetricFamily("hopper_embedder_calls", "Calls to an embedder, with retries", labels=["model"])
    failed = CounterMetricFamily("hopper_embedder_failures", "Those that failed", labels=["model"])
    seconds = CounterMetricFamily("hopper_embedder_seconds", "How long they took", labels=["model"])
    is_open = GaugeMetricFamily(
        "hopper_embedder_circuit_open", "Whether an embedder is known to fail", labels=["model"]
    )
    circuits = {ports.embedder.model: ports.circuits[ports.embedder.model], **ports.circuits}
    graph = [circuits.pop(of, Circuit()).trouble for of in (GRAPH, QUESTIONS)]
    for model, circuit in circuits.items():
        calls.add_metric([model], circuit.calls)
        failed.add_metric([model], circuit.failed)
        seconds.add_metric([model], circuit.seconds)
        is_open.add_metric([model], circuit.trouble is not None)
    yield from (calls, failed, seconds, is_open)
    yield GaugeMetricFamily("hopper_graph_circuit_open", "Whether the graph database is known to fail", any(graph))


def pool(pool: Pool) -> Iterator[Metric]:
    """The connections to PostgreSQL."""
    connections = GaugeMetricFamily("hopper_pool_connections", "Open connections to PostgreSQL", labels=["state"])
    connections.add_metric(["idle"], pool.idle)
    connections.add_metric(["used"], pool.size - pool.idle)
    yield connections
    yield GaugeMetricFamily("hopper_pool_most", "How many connections there may be", pool.most)
    yield GaugeMetricFamily("hopper_pool_waiting", "Units of work that wait for a connection", pool.waiting)
    yield CounterMetricFamily("hopper_pool_taken", "Connections that were given out", pool.taken)
    yield CounterMetricFamily("hopper_pool_wait_seconds", "How long was waited for them", pool.waited)


def database(figures: Figures) -> Iterator[Metric]:
    """What the database says, the same whichever process is asked."""
    waiting = GaugeMetricFamily(
        "hopper_projection_waiting", "Entities that a projection has yet to look at", labels=["projection"]
    )
    failing = GaugeMetricFamily("hopper_projection_failing", "Those of them that failed", labels=["projection"])
    lag = GaugeMetricFamily(
        "hopper_projection_lag_seconds", "For how long the first of them has waited", labels=["projection"]
    )
    for projection, backlog in figures.backlogs.items():
        waiting.add_metric([projection], backlog.waiting)
        failing.add_metric([projection], backlog.failing)
        lag.add_metric([projection], backlog.oldest_seconds)
    yield from (waiting, failing, lag)
    yield GaugeMetricFamily(
        "hopper_recent_outcomes", "Of the last decisions of Hopper's own, those whose outcome is known", figures.known
    )
    accuracy = GaugeMetricFamily("hopper_recent_accuracy", "The share of them that was right")
    if figures.known:
        accuracy.add_metric([], figures.right / figures.known)
    yield accuracy


def replica(status: ReplicaStatus) -> Iterator[Metric]:
    """Whether the database's replica answers searches, and how often it has."""
    yield GaugeMetricFamily(
        "hopper_replica_up", "Whether the replica is used", float(status.state is ReplicaState.IN_USE)
    )
    lag = float("nan") if status.lag_seconds is None else status.lag_seconds
    yield GaugeMetricFamily("hopper_replica_lag_seconds", "For how long it has lacked something", lag)
    searches = CounterMetricFamily("hopper_searches", "Units of work for searches", labels=["by"])
    searches.add_metric(["replica"], status.answered)
    searches.add_metric(["primary"], status.passed_on)
    yield searches
