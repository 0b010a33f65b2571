"""Clients that go on working while everything breaks, and remember what they were told."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any
from uuid import uuid4

import httpx
from tests.asking import KEYED
from tests.sync import a_push, a_rule
from tests.torture.ledger import Filed, Ledger

WORDS = ("brakes squeak", "bread is stale", "roses wilted", "card declined", "tyre is flat", "cake is late")

_ANSWER_SECONDS = 60.0
"""A server waits 15 seconds for a connection; one that says nothing for so long has hung."""

_MADE = 201


class Clients:
    """All that work on a server whose address `url` tells, until `stop` is set.

    What was filed, claimed or pushed without an answer is repeated with the same key until there is one, also after
    `stop`: so the ledger is certain about it at the end of a round.
    """

    def __init__(
        self,
        url: Callable[[], str],
        instances: list[str],
        ledger: Ledger,
        chance: random.Random,
    ) -> None:
        self._url = url
        self._instances = instances
        self._ledger = ledger
        self._chance = chance
        self._http = httpx.AsyncClient(headers=KEYED, timeout=_ANSWER_SECONDS, trust_env=False)
        self.stop = asyncio.Event()

    async def run(self, tokens: dict[str, dict[str, str]], filers: int = 6, agents: int = 4) -> None:
        """Work until `stop`; return when nobody waits for an answer any more."""
        async with self._http, asyncio.TaskGroup() as group:
            for _ in range(filers):
                group.create_task(self._until_stop(self._person()))
            for at in range(agents):
                group.create_task(self._until_stop(partial(self._agent, self._instances[at % 3])))
            for source, headers in tokens.items():
                group.create_task(self._until_stop(partial(self._push, source, headers)))

    async def _until_stop(self, act: Callable[[], Awaitable[None]]) -> None:
        while not self.stop.is_set():
            await act()
            await asyncio.sleep(self._chance.uniform(0, 0.02))

    async def _ask(self, method: str, path: str, **what: Any) -> httpx.Response | None:
        """The answer, or None if there was none, or none that tells whether it was done."""
        try:
            answer = await self._http.request(method, f"{self._url()}/api/v1{path}", **what)
        except httpx.TransportError as error:
            if isinstance(error, httpx.TimeoutException):
                self._ledger.wrong.append(f"{method} {path} had no answer within {_ANSWER_SECONDS:.0f} s")
            self._ledger.lost += 1
            await asyncio.sleep(0.1)
            return None
        if answer.status_code == 503:
            self._ledger.refused += 1
            await asyncio.sleep(0.1)
            return None
        if answer.status_code >= 500:
            self._ledger.wrong.append(f"{method} {path} was answered {answer.status_code}")
            return None
        return answer

    async def _surely(self, path: str, body: object, **what: Any) -> httpx.Response:
        """Repeat until there is an answer."""
        while True:
            if (answer := await self._ask("POST", path, json=body, **what)) is not None:
                return answer

    def _person(self) -> Callable[[], Awaitable[None]]:
        """One who files tasks and comes back to them; nobody else edits, routes or deletes these."""
        mine: list[Filed] = []

        async def act() -> None:
            if len(mine) < 3 or self._chance.random() < 0.4:
                await self._file(mine)
                return
            task = self._chance.choice(mine[-20:])
            does = self._chance.choices(
                (self._edit, self._route, self._judge, self._look, self._delete), (5, 4, 4, 3, 1)
            )
            await does[0](task)
            if task.gone or task.may_be_gone:
                mine.remove(task)

        return act

    async def _file(self, mine: list[Filed]) -> None:
        mark, title = uuid4().hex, f"{self._chance.choice(WORDS)} {self._chance.randrange(1000)}"
        body: dict[str, Any] = {"title": title, "description": mark, "tags": [title.split(maxsplit=1)[0]]}
        if self._chance.random() < 0.4:
            body["instance_id"] = self._chance.choice(self._instances)
        if self._chance.random() < 0.6:
            answer = await self._surely("/tasks", body, headers={"Idempotency-Key": mark})
        elif (once := await self._ask("POST", "/tasks", json=body)) is not None:
            answer = once
        else:
            return
        if answer.status_code != _MADE:
            self._ledger.wrong.append(f"filing was answered {answer.status_code}: {answer.text}")
            return
        mine.append(self._ledger.filed(answer.json()["id"], mark, title))

    async def _edit(self, task: Filed) -> None:
        now = await self._ask("GET", f"/tasks/{task.id}")
        if now is None or not self._is_there(now, task):
            return
        title = f"{self._chance.choice(WORDS)} {uuid4().hex[:8]}"
        task.titles.add(title)
        # Only on what was read: a change without an answer can't come late and undo a later one.
        match = {"If-Match": now.headers["ETag"]}
        answer = await self._ask("PATCH", f"/tasks/{task.id}", json={"title": title}, headers=match)
        if answer is None:
            return
        if answer.status_code == 200:
            self._changed(task, answer)
            task.titles = {title}
        elif answer.status_code == 412:
            task.titles.discard(title)
        else:
            self._is_there(answer, task)

    async def _route(self, task: Filed) -> None:
        self._ledger.held.pop(task.id, None)  # a new holder's workers may claim it
        answer = await self._surely(f"/tasks/{task.id}/route", None, headers={"Idempotency-Key": f"r-{task.mark}"})
        if answer.status_code == 200:
            task.episodes.add(answer.json()["episode_id"])
            self._ledger.writes += 1
        elif answer.status_code != 409:  # it is handed over already, or done
            self._is_there(answer, task)

    async def _judge(self, task: Filed) -> None:
        """Say once how it went, and repeat that until it is heard."""
        said = task.feedback or f"said of {task.mark}"
        body = {"routing_feedback": said, "should_have_routed_to": self._instances[int(task.mark[0], 16) % 3]}
        answer = await self._ask("PUT", f"/tasks/{task.id}/feedback", json=body)
        if answer is not None and self._is_there(answer, task):
            task.feedback = said
            self._ledger.writes += 1

    async def _look(self, task: Filed) -> None:
        path = self._chance.choice(
            ("/search?q=squeak", "/tasks?limit=20", f"/tasks/{task.id}/similar", "/tasks/triage")
        )
        await self._ask("GET", path)

    async def _delete(self, task: Filed) -> None:
        task.may_be_gone = True
        answer = await self._ask("DELETE", f"/tasks/{task.id}")
        if answer is not None:
            task.gone = True
            self._ledger.writes += 1

    def _is_there(self, answer: httpx.Response, task: Filed) -> bool:
        if answer.is_success:
            return True
        if not (task.gone or task.may_be_gone):
            self._ledger.wrong.append(f"the task {task.id} was answered {answer.status_code}: {answer.text}")
        return False

    def _changed(self, task: Filed, answer: httpx.Response) -> None:
        task.version = max(task.version, answer.json()["version"])
        self._ledger.writes += 1

    async def _agent(self, instance: str) -> None:
        """Claim a task and work on it, give it back, or be heard of no more."""
        seconds = self._chance.choice((2, 30))
        body = {"instance_id": instance, "worker": "agent", "lease_seconds": seconds}
        asked = monotonic()
        answer = await self._surely("/tasks/claim", body, headers={"Idempotency-Key": uuid4().hex})
        if answer.status_code != 200:
            return  # nothing is ready, or the first answer was lost for longer than the lease
        claim = answer.json()
        task, token = claim["task"]["id"], claim["token"]
        self._ledger.claimed(task, token, asked, seconds)
        ends = self._chance.choices((self._complete, self._release, self._vanish), (7, 2, 1))[0]
        if self._chance.random() < 0.3:
            await self._heartbeat(task, token)
        await ends(task, token)

    async def _heartbeat(self, task: str, token: str) -> None:
        asked = monotonic()
        answer = await self._ask("POST", f"/tasks/{task}/heartbeat", json={"token": token, "lease_seconds": 30})
        if answer is not None and answer.status_code == 200 and (held := self._ledger.held.get(task)):
            held.ends = max(held.ends, asked + 30) if held.token == token else held.ends

    async def _complete(self, task: str, token: str) -> None:
        self._ledger.let_go(task, token)
        answer = await self._ask("POST", f"/tasks/{task}/complete", json={"token": token})
        if answer is not None and answer.status_code == 200 and task in self._ledger.tasks:
            self._ledger.tasks[task].done = True
            self._changed(self._ledger.tasks[task], answer)

    async def _release(self, task: str, token: str) -> None:
        self._ledger.let_go(task, token)
        await self._ask("POST", f"/tasks/{task}/release", json={"token": token, "reason": "torture"})

    async def _vanish(self, task: str, token: str) -> None:
        """Its lease runs out, and somebody else gets the task."""

    async def _push(self, source: str, headers: dict[str, str]) -> None:
        sequence = self._ledger.pushed.get(source, 0) + 1
        counts = {"usage_count": 10 + sequence, "success_count": 8 + sequence}
        body = a_push(source, patterns=[a_rule(f"tag-{at}", **counts) for at in range(5)], sequence=sequence)
        answer = await self._surely("/sync/northbound", body, headers=headers)
        if answer.status_code == 200:
            self._ledger.pushed[source] = sequence
            self._ledger.writes += 1
        else:
            self._ledger.wrong.append(f"a push was answered {answer.status_code}: {answer.text}")
        await asyncio.sleep(0.2)
