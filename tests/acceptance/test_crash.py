"""kill -9 in the middle of work: what was acknowledged is there afterwards, once."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.asking import KEYED
from tests.conftest import serving
from tests.problems import problem

CLIENTS = 8
ACKNOWLEDGED = 300
"""So many tasks are filed before the blow falls; the clients go on meanwhile."""


@dataclass
class Load:
    """Clients that file tasks until they are cut off, and what they know."""

    url: str
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Titles by id."""
    unanswered: list[tuple[str, str]] = field(default_factory=list)
    """Title and Idempotency-Key of what was sent and got no answer."""
    enough: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)

    def run(self, client_number: int) -> None:
        with api(self.url) as client:
            number = 0
            while True:
                number += 1
                title, key = f"Task {number} of {client_number}", uuid4().hex
                try:
                    # Half of them with a key: those that come alone and those that share a transaction.
                    answer = file(client, title, key if number % 2 else None)
                except httpx.TransportError:
                    if number % 2:
                        with self._lock:
                            self.unanswered.append((title, key))
                        return
                    continue  # so that each client ends with one that it can repeat
                if answer.status_code != 201:
                    return
                with self._lock:
                    self.acknowledged[answer.json()["id"]] = title
                    if len(self.acknowledged) == ACKNOWLEDGED:
                        self.enough.set()


def api(url: str) -> httpx.Client:
    return httpx.Client(base_url=f"{url}/api/v1", headers=KEYED, timeout=30, trust_env=False)


def file(client: httpx.Client, title: str, key: str | None) -> httpx.Response:
    return client.post("/tasks", json={"title": title}, headers={"Idempotency-Key": key} if key else None)


def stored(client: httpx.Client) -> dict[str, str]:
    """All tasks' titles by id."""
    found: dict[str, str] = {}
    cursor: str | None = None
    while True:
        answer = client.get("/tasks", params={"limit": 200, **({"cursor": cursor} if cursor else {})})
        page: Any = answer.raise_for_status().json()
        found |= {task["id"]: task["title"] for task in page["items"]}
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def postgres_of(home: Path) -> int:
    """The process number of the home's PostgreSQL."""
    return int((home / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])


def children_of(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    return [pid for pid, ppid in pairs if ppid == parent]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def kill_everything(server: int, home: Path) -> None:
    """The server and PostgreSQL with all its processes, as a power cut would."""
    postgres = postgres_of(home)
    for pid in (server, postgres, *children_of(postgres)):
        try:
            kill(pid)
        except ProcessLookupError:  # it noticed that its parent is gone, and went
            continue


def kill_server(server: int, _home: Path) -> None:
    """The server alone; its PostgreSQL stays behind."""
    kill(server)


@pytest.mark.parametrize("blow", [kill_server, kill_everything], ids=["the server", "everything"])
def test_nothing_acknowledged_is_lost_and_nothing_is_doubled(
    server_home: Path, blow: Callable[[int, Path], None]
) -> None:
    """Tasks that people were told are safe would be gone after a crash, or come twice when they try again."""
    home = server_home
    with serving(None, home) as running, ThreadPoolExecutor(CLIENTS) as pool:
        load = Load(running.url)
        clients = [pool.submit(load.run, number) for number in range(CLIENTS)]
        assert load.enough.wait(30)
        blow(running.process.pid, home)
        for one in clients:
            one.result(timeout=30)
        assert running.process.wait(10) == -signal.SIGKILL
    with serving(None, home) as again, api(again.url) as client:
        there = stored(client)
        assert load.acknowledged.items() <= there.items()
        assert len(there) <= len(load.acknowledged) + CLIENTS
        assert load.unanswered
        for title, key in load.unanswered:
            repeated = file(client, title, key)
            assert repeated.status_code == 201
            assert [id for id, found in stored(client).items() if found == title] == [repeated.json()["id"]]
    assert not (home / "postgres" / "postmaster.pid").exists()


def test_a_server_without_its_database_says_so_and_ends(server_home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """When PostgreSQL alone is killed, people would see internal errors, or be refused for ever."""
    home = server_home
    with serving(None, home) as running, api(running.url) as client:
        task = client.post("/tasks", json={"title": "Before"}).json()["id"]
        kill(postgres_of(home))
        statuses = [client.get(f"/tasks/{task}").status_code for _ in range(20)]
        assert set(statuses) <= {200, 503}, statuses  # its sessions may answer to the end
        until(lambda: client.get(f"{running.url}/readyz").status_code == 503, 10)
        for answer in (
            client.get(f"/tasks/{task}"),
            client.post("/tasks", json={"title": "Meanwhile"}),
            client.post(f"/tasks/{task}/route"),
        ):
            assert "ry again" in problem(answer, 503)["detail"]
        assert client.get(f"{running.url}/healthz").status_code == 200
        assert running.process.wait(15) == 5
        assert "hopper: PostgreSQL ended" in capfd.readouterr().err
    with serving(None, home) as again, api(again.url) as client:
        assert stored(client) == {task: "Before"}


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it didn't happen in time"
        time.sleep(0.05)
