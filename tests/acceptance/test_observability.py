"""What a server tells of its work: its log, its metrics and its traces, to a real collector. Never what tasks say."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.acceptance.test_provider import KEY, configured
from tests.asking import ADMIN_KEY, KEYED
from tests.collector import Collector, a_collector, attributes
from tests.commands import COMMAND
from tests.conftest import serving
from tests.problems import problem
from tests.provider import a_provider, status

from hopper.services.neo4j_keeper import GraphConnection

PLANTED = "Zanzibarquill"
"""Stands in everything that people say."""

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SERVE = [*COMMAND, "serve", "--json"]


def until(true: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@dataclass
class Told:
    """Everything that a server told, while it was asked for all kinds of things that hold the planted word."""

    log: list[dict[str, Any]]
    metrics: str
    ready: dict[str, Any]
    collector: Collector
    statuses: set[int]

    def of_request(self, request_id: str) -> list[dict[str, Any]]:
        return [line for line in self.log if line.get("request_id") == request_id]


@pytest.fixture
def told(database_url: str, neo4j: GraphConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """A server with a provider, Neo4j and a collector, at the most talkative level."""
    with a_provider() as provider, a_collector() as collector:
        configured(monkeypatch, tmp_path, provider.url)
        for name, value in {
            "NEO4J_URL": neo4j.url,
            "NEO4J_PASSWORD": neo4j.password,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
            "HOPPER_LOGGING__LEVEL": "debug",
            "HOPPER_LOGGING__FORMAT": "json",
            "HOPPER_HOME": str(tmp_path / "home"),
            "PORT": "0",
            "DATABASE_URL": database_url,
        }.items():
            monkeypatch.setenv(name, value)
        with (tmp_path / "log").open("w+") as log:
            process = subprocess.Popen(SERVE, stdout=subprocess.PIPE, stderr=log, text=True)
            try:
                assert process.stdout
                url = json.loads(process.stdout.readline())["address"]
                with httpx.Client(base_url=url, headers=KEYED, trust_env=False, timeout=30) as client:
                    statuses = {answer.status_code for answer in everything(client)}
                    provider.always = status(400)
                    statuses |= {answer.status_code for answer in in_trouble(client)}
                    until(lambda: "embedding worker failed" in (tmp_path / "log").read_text())
                    metrics, ready = client.get("/metrics").text, client.get("/readyz").json()
            finally:
                process.terminate()
                assert process.wait(30) == 0
        lines = (tmp_path / "log").read_text().splitlines()
        yield Told([json.loads(line) for line in lines if line.startswith("{")], metrics, ready, collector, statuses)
        assert [line for line in lines if not line.startswith("{")] == []


def everything(client: httpx.Client) -> Iterator[httpx.Response]:
    """All kinds of requests, those that are refused included."""
    api = "/api/v1"
    traced = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": "asked-by-a-test.1"}
    yield client.post(f"{api}/instances", json={"name": PLANTED})
    target = client.get(f"{api}/instances").json()["items"][0]["id"]
    yield client.post(f"{api}/tasks", json=task(), headers=traced)
    made = client.post(f"{api}/tasks", json={**task(), "on_duplicate": "warn"}, headers=traced).json()["id"]
    yield client.post(f"{api}/tasks/{made}/route", headers=traced)
    yield client.post(f"{api}/tasks/{made}/delegations", json={"target_instance_id": target})
    yield client.post(f"{api}/tasks/claim", json={"instance_id": target, "worker": PLANTED})
    yield client.put(f"{api}/tasks/{made}/feedback", json={"was_good_match": True, "routing_feedback": PLANTED})
    yield client.get(f"{api}/search", params={"q": PLANTED})
    yield client.get(f"{api}/tasks", params={"tag": PLANTED})
    other = count(1)  # answers are kept, by whom they came from at first
    blocked = f"{api}/graph/tasks/{made}/blocked"
    until(lambda: client.get(blocked, params={"limit": next(other)}).json()["answered_by"] == "neo4j", 180)
    yield client.get(blocked, headers=traced)
    yield client.get(f"{api}/tasks/{PLANTED}")
    yield client.get(f"/{PLANTED}")
    yield client.post(f"{api}/tasks", json={"title": PLANTED, "status": PLANTED})
    yield client.get(f"{api}/tasks", params={PLANTED: PLANTED})
    yield client.get(f"{api}/tasks", headers={"Authorization": f"Bearer {PLANTED}"})
    yield client.get(f"{api}/tasks", headers={"X-Request-ID": f"{PLANTED} {PLANTED}"})
    yield client.get(f"{api}/tasks", headers={"traceparent": PLANTED, "tracestate": f"a={PLANTED}"})
    rule = {"pattern_type": "text", "text_criteria": {"any": [PLANTED]}, "target_instance": target}
    yield client.post(f"{api}/patterns", json={"name": PLANTED, **rule})


def in_trouble(client: httpx.Client) -> Iterator[httpx.Response]:
    """With a provider that repeats in its answer what it was sent."""
    yield client.post("/api/v1/tasks", json=task())
    yield client.post(f"/api/v1/tasks/{client.post('/api/v1/tasks', json=task()).json()['id']}/route")
    yield client.get("/readyz")
    yield client.get("/healthz")


def task() -> dict[str, Any]:
    return {"title": f"{PLANTED} is declined", "description": f"At {PLANTED}", "tags": {PLANTED: True, "at": PLANTED}}


def test_what_is_told_is_whole_and_holds_nothing_that_a_task_says(told: Told) -> None:
    """Whoever reads the log, the metrics or the traces would read people's tasks and keys, or couldn't find a fault."""
    assert {200, 201, 401, 404, 422} <= told.statuses
    sent = b"".join(told.collector.received).decode("latin-1")
    for secret in (PLANTED, ADMIN_KEY, KEY, os.environ["NEO4J_PASSWORD"]):
        for what in (json.dumps(told.log), told.metrics, sent):
            assert secret.lower() not in what.lower()

    lines = [line for line in told.of_request("asked-by-a-test.1") if line["event"] == "request"]
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", "/api/v1/tasks", 201),
        ("POST", "/api/v1/tasks", 201),
        ("POST", "/api/v1/tasks/{task_id}/route", 200),
        ("GET", "/api/v1/graph/tasks/{task_id}/blocked", 200),
    ]
    assert all(line["trace_id"] == TRACE and line["key_id"] == "admin" and line["ms"] > 0 for line in lines)
    quiet = [line for line in told.log if line.get("route") in {"/readyz", "/metrics"}]
    assert {line["level"] for line in quiet} == {"debug"}

    assert told.ready["status"] == "degraded"
    assert {name for name, part in told.ready["parts"].items() if part["state"] == "degraded"} == {"embeddings"}
    assert "hopper embeddings status" in told.ready["parts"]["embeddings"]["advice"]
    assert 'hopper_embedder_circuit_open{model="text-embedding-ada-002"} 1.0' in told.metrics

    mine = told.collector.of_trace(TRACE)
    names = {span.name for span in mine}
    asked = {"POST /api/v1/tasks", "POST /api/v1/tasks/{task_id}/route", "INSERT", "SELECT", "COMMIT", "MATCH"}
    assert asked <= names, names
    assert any(span.name.startswith("embeddings") for span in mine)
    requests = [span for span in mine if span.parent_span_id.hex() == PARENT]
    assert len(requests) == 4
    assert {attributes(span)["http.response.status_code"] for span in requests} == {200, 201}
    assert {attributes(span).get("db.system.name") for span in mine} >= {"postgresql", "neo4j"}


def number(metrics: str, name: str) -> float:
    [found] = re.findall(rf"^{re.escape(name)} (\S+)$", metrics, re.MULTILINE)
    return float(found)


def test_metrics_count_what_was_done(database_url: str, tmp_path: Path) -> None:
    """Nobody would see that Hopper abstains more often, is wrong more often, or is asked for what isn't there."""
    with serving(database_url, tmp_path) as running, httpx.Client(headers=KEYED, trust_env=False, timeout=30) as client:
        client.base_url = f"{running.url}/api/v1"
        target = client.post("/instances", json={"name": "payments"}).json()["id"]
        rule = {"name": "cards", "pattern_type": "tag", "tag_criteria": {"any": ["cards"]}, "target_instance": target}
        client.post("/patterns", json=rule).raise_for_status()
        made = [
            client.post("/tasks", json={"title": f"Card {number}", "tags": {"cards": True}}).json()["id"]
            for number in range(3)
        ]
        for task_id, good in zip(made, (True, True, False), strict=True):
            assert client.post(f"/tasks/{task_id}/route").json()["chosen_instance"] == target
            client.put(f"/tasks/{task_id}/feedback", json={"was_good_match": good}).raise_for_status()
        lost = client.post("/tasks", json={"title": "Of nobody's"}).json()["id"]
        client.post(f"/tasks/{lost}/route").raise_for_status()
        client.post("/tasks/claim", json={"instance_id": target}).raise_for_status()
        client.get("/tasks/nothing")
        metrics = client.get(f"{running.url}/metrics").text
    assert number(metrics, 'hopper_decisions_total{strategy="manual_pattern"}') == 3
    assert number(metrics, 'hopper_decisions_total{strategy="abstain"}') == 1
    assert number(metrics, 'hopper_outcomes_total{result="right"}') == 2
    assert number(metrics, 'hopper_outcomes_total{result="wrong"}') == 1
    assert number(metrics, "hopper_recent_outcomes") == 3
    assert number(metrics, "hopper_recent_accuracy") == pytest.approx(2 / 3)
    assert number(metrics, "hopper_claims_total") == 1
    assert number(metrics, 'hopper_http_requests_total{method="GET",route="/api/v1/tasks/{task_id}",status="404"}') == 1
    routed = 'method="POST",route="/api/v1/tasks/{task_id}/route"'
    assert number(metrics, f'hopper_http_requests_total{{{routed},status="200"}}') == 4
    assert number(metrics, f"hopper_http_request_seconds_count{{{routed}}}") == 4
    assert number(metrics, f'hopper_http_request_seconds_bucket{{le="+Inf",{routed}}}') == 4
    assert number(metrics, "hopper_ready") == 1
    assert number(metrics, "hopper_pool_taken_total") > 10
    assert number(metrics, 'hopper_embedder_calls_total{model="wordllama-256"}') > 0


@pytest.mark.parametrize(("given", "kept"), [("Ab1.c:d_e-f", True), ("a b", False), ("x" * 65, False), ("", False)])
def test_a_request_is_found_again_by_its_id(server: Any, given: str, kept: bool) -> None:
    """Whoever was told of a fault couldn't tell which line of the log is theirs."""
    answer = httpx.get(f"{server.url}/nothing", headers={"X-Request-ID": given}, trust_env=False)
    request_id = answer.headers["X-Request-ID"]
    assert problem(answer, 404)["request_id"] == request_id
    assert request_id == given if kept else re.fullmatch("[0-9a-f]{16}", request_id)


def test_a_collector_that_hangs_slows_nobody(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People would wait for something that only watches."""
    with a_collector(hangs=True) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        with serving(database_url, tmp_path) as running, httpx.Client(headers=KEYED, trust_env=False) as client:
            client.get(f"{running.url}/api/v1/tasks").raise_for_status()
            assert collector.asked.wait(20)
            for _ in range(50):
                client.get(f"{running.url}/api/v1/tasks").raise_for_status()
            running.process.terminate()
            assert running.process.wait(20) == 0


def test_a_collector_that_isnt_there_is_told_once(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The log would be filled by retries, which say neither what fails nor what to do."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    told = ""
    with serving(database_url, tmp_path) as running, httpx.Client(headers=KEYED, trust_env=False) as client:
        for _ in range(100):
            client.get(f"{running.url}/api/v1/tasks").raise_for_status()
            told += capfd.readouterr().err
            time.sleep(0.05)
    told += capfd.readouterr().err
    assert told.count("traces can't be sent") == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in told
    assert "%s" not in told


def test_a_log_that_nobody_reads_stops_nobody(database_url: str, tmp_path: Path) -> None:
    """A pager that was left open on the log would stop the server."""
    environment = {**os.environ, "HOPPER_HOME": str(tmp_path), "PORT": "0", "DATABASE_URL": database_url}
    process = subprocess.Popen(SERVE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        url = json.loads(process.stdout.readline())["address"]
        with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
            for _ in range(600):  # more than a pipe holds
                client.get("/nothing", headers={"X-Request-ID": "x" * 64})
            client.get("/healthz").raise_for_status()
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


def test_traces_that_cant_be_had_are_told_of() -> None:
    """Somebody would wait for traces that never come, or install a stranger's package that is called hopper, too."""
    program = "import sys; sys.modules['opentelemetry.sdk'] = None; import hopper.bootstrap as b; b.open_spans()"
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set, but there are no traces without their packages" in done.stdout
    assert "py3-none-any.whl[telemetry]'" in done.stdout
    assert "pip install" not in done.stdout


def test_without_a_collector_nothing_of_it_is_loaded() -> None:
    """Every server would take longer to start, and more memory, for what nobody asked for."""
    program = "import sys, hopper.bootstrap, hopper.entrypoints.http.app as a; hopper.bootstrap.open_spans()"
    shown = "print(*(name for name in sys.modules if name.startswith('opentelemetry.')))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; {shown}"], env=environment, check=True, capture_output=True, text=True
    )
    loaded = done.stdout.split()  # FastAPI brings the API, which does nothing
    assert not [name for name in loaded if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
