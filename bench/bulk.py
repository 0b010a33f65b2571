"""A bulk import over HTTP, until every task is stored, embedded and searchable."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep

import httpx

from bench import servers
from bench.asking import KEYED
from bench.data import rows
from bench.figures import Figure
from bench.memory import resident_megabytes


def measure(data: Path) -> list[Figure]:
    """banking77's training set in one request; then the server's memory, and how soon it starts again."""
    tasks = [{"title": row["title"]} for row in rows(data / "banking77-train.jsonl.gz")]
    body = b"".join(json.dumps(task).encode() + b"\n" for task in tasks)
    with TemporaryDirectory(prefix="hopper-bench-") as place:
        with servers.hopper(None, Path(place)) as hopper, _client(hopper) as http:
            began = perf_counter()
            answer = http.post("/tasks/bulk", content=body, headers={"Content-Type": "application/x-ndjson"}).json()
            stored = perf_counter() - began
            if answer["created"] != len(tasks):
                raise RuntimeError(f"only {answer['created']} of {len(tasks)} tasks were created")
            while http.get("/learning/statistics").json()["queue"]:
                sleep(0.02)
            embedded = perf_counter() - began
            if not http.get("/search", params={"q": tasks[-1]["title"]}).json()["items"]:
                raise RuntimeError("the last task can't be found")
            memory = resident_megabytes(hopper.pid)
        with servers.hopper(None, Path(place)) as hopper:
            ready = hopper.ready_seconds
    return [
        Figure(name="bulk import, embedded and searchable", value=len(tasks) / embedded, unit="tasks/s", goal=3000),
        Figure(name="bulk import, stored and searchable by word", value=len(tasks) / stored, unit="tasks/s"),
        Figure(name="ready after", value=ready, unit="s", goal=4, at_least=False),
        Figure(name="resident memory, embedder loaded", value=memory, unit="MB", goal=300, at_least=False),
    ]


def _client(server: servers.Server) -> httpx.Client:
    return httpx.Client(
        base_url=f"http://{server.host}:{server.port}/api/v1", headers=KEYED, timeout=120, trust_env=False
    )
