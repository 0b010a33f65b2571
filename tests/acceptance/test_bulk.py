"""Many tasks in one request: whatever the body is, the server stays small and answers everybody else."""

import json
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.asking import KEYED
from tests.conftest import RunningServer, fresh_database, serving
from tests.problems import problem

from hopper.entrypoints.http.requests import RESERVED

NDJSON = {"Content-Type": "application/x-ndjson"}
MIB = 1024 * 1024


@pytest.fixture(scope="module")
async def server(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    """A server that this file has for itself: its memory is measured."""
    async with fresh_database(postgres_url) as url:
        with serving(url, tmp_path_factory.mktemp("bulk")) as running:
            yield running


@pytest.fixture(scope="module")
def api(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=KEYED, timeout=60, trust_env=False) as client:
        yield client


def bulk(api: httpx.Client, *lines: Any, **headers: str) -> Any:
    content = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    answer = api.post("/tasks/bulk", content=content, headers={**NDJSON, **headers})
    assert answer.status_code == 200, answer.text[:300]
    return answer.json()


def peak(server: RunningServer) -> int:
    """The most memory that the server has had so far, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


@pytest.mark.parametrize(
    ("content", "failed"),
    [(b"x\n" * MIB, MIB), (b"\n" * 4 * MIB, 0), (b"x" * 60 * MIB, 1)],
    ids=["bad lines", "empty lines", "one line"],
)
def test_a_senseless_body_does_no_harm(api: httpx.Client, server: RunningServer, content: bytes, failed: int) -> None:
    """One mistaken upload would take the server's memory and make everybody wait."""
    bulk(api, {"title": "Warm"})
    before = peak(server)
    slowest = 0.0
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(bulk, api, content)
        while not sending.done():
            began = time.monotonic()
            httpx.get(f"{server.url}/healthz", trust_env=False, timeout=30).raise_for_status()
            slowest = max(slowest, time.monotonic() - began)
    report = sending.result()
    assert (report["created"], report["failed"]) == (0, failed)
    assert len(report["errors"]) <= 1000
    assert peak(server) - before < 50 * MIB
    assert slowest < 2


def test_a_line_may_come_in_pieces(api: httpx.Client) -> None:
    """A slow line to the server would cut tasks in two."""
    lines = b"".join(b'{"title": "Piece %d"}\n' % number for number in range(20))

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(lines), 7):
            yield lines[at : at + 7]

    assert api.post("/tasks/bulk", content=pieces(), headers=NDJSON).json()["created"] == 20


def test_a_line_that_is_too_long_is_skipped(api: httpx.Client) -> None:
    """One broken line would cost all those after it, or be taken for several."""
    report = bulk(api, {"title": "Before"}, b'{"title": "' + b"x" * 5 * MIB + b'"}', b"", {"title": "After"})
    assert (report["created"], report["failed"]) == (2, 1)
    assert report["errors"][0]["line"] == 2
    assert "bytes" in report["errors"][0]["detail"]


def test_senders_that_stall_stop_nobody(api: httpx.Client, server: RunningServer) -> None:
    """A few idle uploads would hold every connection to the database."""
    url = httpx.URL(server.url)
    senders = [socket.create_connection((url.host, url.port or 80)) for _ in range(25)]
    line = b'{"title": "Stalled"}\n'
    head = (
        b"POST /api/v1/tasks/bulk?atomic=true HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/x-ndjson\r\nContent-Length: 100000\r\n"
        + f"Authorization: {KEYED['Authorization']}\r\n\r\n".encode()
    )
    for sender in senders:
        sender.sendall(head + line * 600)
    assert api.post("/tasks", json={"title": "In between"}, timeout=10).status_code == 201
    for sender in senders:
        sender.close()
    assert api.get("/tasks", timeout=10).json()["items"][0]["title"] == "In between"


def test_a_repeated_request_makes_no_doubles(api: httpx.Client) -> None:
    """Whoever repeats an import after a lost connection would have every task twice."""
    tag, own = uuid4().hex, uuid4().hex
    lines = [{"title": "One", "tags": [tag]}, b"", {"title": "Two", "tags": [tag], "id": own}, b"bad"]
    key = {"Idempotency-Key": uuid4().hex}
    first, again = bulk(api, *lines, **key), bulk(api, *lines, {"title": "Three", "tags": [tag]}, **key)
    assert (first["created"], first["unchanged"], first["failed"]) == (2, 0, 1)
    assert (again["created"], again["unchanged"], again["failed"]) == (1, 2, 1)
    there = api.get("/tasks", params={"tag": tag}).json()["items"]
    assert sorted(task["title"] for task in there) == ["One", "Three", "Two"]
    assert own in {task["id"] for task in there}
    assert bulk(api, *lines)["created"] == 1
    assert bulk(api, *lines, **{"Idempotency-Key": uuid4().hex})["created"] == 1
    answer = api.post("/tasks/bulk", content=b"{}", headers={**NDJSON, "Idempotency-Key": "x" * 201})
    problem(answer, 422)


def test_a_line_with_a_bad_tag_is_named(api: httpx.Client) -> None:
    """A single overlong tag would cost the whole import, and nobody would know which one it was."""
    report = bulk(api, {"title": "Good"}, {"title": "Bad", "tags": ["x" * 201]}, {"title": "Good", "tags": ["x" * 200]})
    assert report["created"] == 2
    assert [(error["line"], error["field"]) for error in report["errors"]] == [(2, "tags")]


@pytest.mark.parametrize("id", sorted(RESERVED))
def test_an_id_that_no_address_could_name_is_refused(api: httpx.Client, id: str) -> None:
    """A task would be there that nobody can read, change or complete."""
    report = bulk(api, {"title": "Hidden", "id": id}, {"title": "Seen", "id": f"{id}.{uuid4().hex[:8]}"})
    assert report["created"] == 1
    assert [(error["line"], error["field"]) for error in report["errors"]] == [(1, "id")]


def test_every_word_in_an_address_is_reserved(api: httpx.Client) -> None:
    """With the next endpoint there would be an id again that hides its task."""
    paths = api.get("/openapi.json").json()["paths"]
    words = {path.split("/")[4] for path in paths if path.startswith("/api/v1/tasks/")}
    assert {word for word in words if not word.startswith("{")} <= RESERVED


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/x-www-form-urlencoded", None])
def test_lines_say_what_they_are(api: httpx.Client, kind: str | None) -> None:
    """A form on somebody's web page could file tasks from a visitor's browser."""
    told = problem(api.post("/tasks/bulk", content=b"{}", headers={"Content-Type": kind} if kind else {}), 415)
    assert "application/x-ndjson" in told["detail"]
    for right in ("application/jsonl", "Application/X-NDJSON; charset=utf-8"):
        assert api.post("/tasks/bulk", content=b"", headers={"Content-Type": right}).status_code == 200
