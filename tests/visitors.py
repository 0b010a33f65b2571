"""Clients that use a server all the time, whatever is done to it, and remember what was acknowledged."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Event, Lock
from typing import Any, Self
from uuid import uuid4

import httpx
from tests.asking import KEYED

CLIENTS = 3
_PAUSE = 0.05
_AGAIN = 0.05
SUBJECTS = {"payments": "The card was declined in shop", "logins": "The password was forgotten by customer"}
"""What is asked for, by the instance that does it."""


class _Stopped(Exception):
    pass


class Visitors:
    """Each files a task, has it routed, says how that went, has it done, and looks for it, again and again.

    What gets no answer is asked again, at the `url` of that moment. `odd` is what no server should have answered.
    """

    def __init__(self, instances: dict[str, str], url: str) -> None:
        self.url = url
        self.filed: dict[str, str] = {}
        self.done: set[str] = set()
        self.told: set[str] = set()
        self.odd: list[str] = []
        self.rounds = 0
        self.instances = instances
        self._stop = Event()
        self._turns = [Lock() for _ in range(CLIENTS)]
        self._threads = ThreadPoolExecutor(CLIENTS)
        self._running: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._running = [self._threads.submit(self._run, number) for number in range(CLIENTS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._threads.shutdown()
        for client in self._running:
            client.result()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Nobody asks anything while the block lasts; what was begun is finished before."""
        with ExitStack() as stack:
            for turn in self._turns:
                stack.enter_context(turn)
            yield

    def more(self, rounds: int = 6) -> None:
        """Return when so many more tasks have gone all the way."""
        until, wanted = time.monotonic() + 120, self.rounds + rounds
        while self.rounds < wanted:
            assert time.monotonic() < until, "the clients don't get on"
            time.sleep(_AGAIN)

    def _run(self, number: int) -> None:
        try:
            with httpx.Client(headers=KEYED, timeout=20, trust_env=False) as client:
                while not self._stop.is_set():
                    with self._turns[number]:
                        self._visit(client)
                    time.sleep(_PAUSE)
        except _Stopped:
            pass

    def _visit(self, client: httpx.Client) -> None:
        name = list(SUBJECTS)[self.rounds % len(SUBJECTS)]
        word = f"case{uuid4().hex[:10]}"
        title = f"{SUBJECTS[name]} {word}"
        task: str = self._ask(client, "POST", "/tasks", {"title": title})["id"]
        self.filed[task] = title
        self._ask(client, "POST", f"/tasks/{task}/route", {})
        self._ask(client, "PUT", f"/tasks/{task}/feedback", {"should_have_routed_to": self.instances[name]})
        self.told.add(task)
        self._ask(client, "POST", f"/tasks/{task}/complete", {})
        self.done.add(task)
        found = self._ask(client, "GET", f"/search?q={word}")["items"]
        if task not in [hit["task"]["id"] for hit in found]:
            self.odd.append(f"{word} wasn't found")
        self.rounds += 1

    def _ask(self, client: httpx.Client, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer, however often it takes; a repetition has the same key."""
        key = {"Idempotency-Key": uuid4().hex}
        while not self._stop.is_set():
            try:
                answer = client.request(method, f"{self.url}/api/v1{path}", json=body, headers=key)
            except httpx.TransportError:
                time.sleep(_AGAIN)
                continue
            if answer.status_code != 503:
                if answer.is_error:
                    self.odd.append(f"{method} {path}: {answer.status_code} {answer.text}")
                return answer.raise_for_status().json()
            time.sleep(_AGAIN)
        raise _Stopped
