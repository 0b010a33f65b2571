"""What holds of leases after any history of claims, heartbeats, returns, expiries and completions."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.builders import a_task, later
from tests.steps import joined

from hopper.app import lifecycle
from hopper.app.leases import claim_task, expire_lease, heartbeat, release_task
from hopper.domain.errors import Conflict
from hopper.domain.ids import new_id
from hopper.domain.lease import Proof
from hopper.domain.task import Priority, TaskStatus
from hopper.ports import Ports

MINUTE = timedelta(minutes=1)
URGENCY = {priority: at for at, priority in enumerate([*Priority, None])}

steps = st.one_of(
    st.tuples(st.just("file"), st.sampled_from([*Priority, None]), st.sets(st.integers(0, 9), max_size=3)),
    st.tuples(st.just("claim")),
    st.tuples(st.just("claim")),
    st.tuples(st.sampled_from(["heartbeat", "release", "run out", "complete", "finish", "cancel"]), st.integers(0, 9)),
    st.tuples(st.just("sweep")),
)


@dataclass
class Model:
    """The same in a few lines: tasks in order of age, each with its last token and how that stands."""

    priority: list[Priority | None] = field(default_factory=list)
    needs: list[list[int]] = field(default_factory=list)
    status: list[str] = field(default_factory=list)
    token: list[str | None] = field(default_factory=list)

    def file(self, priority: Priority | None, needs: list[int]) -> None:
        self.priority.append(priority)
        self.needs.append(needs)
        self.status.append("free")
        self.token.append(None)

    def next(self) -> int | None:
        """What a claim has to hand out: free or run out, held up by nothing, the most urgent, the oldest."""
        ready = [
            task
            for task, status in enumerate(self.status)
            if status in ("free", "given back", "run out")
            and all(self.status[needed] == "closed" for needed in self.needs[task])
        ]
        return min(ready, key=lambda task: (URGENCY[self.priority[task]], task), default=None)


class Run:
    """One history, on the real thing and on the model."""

    def __init__(self, ports: Ports, instance: str) -> None:
        self.ports = ports
        self.instance = instance
        self.model = Model()
        self.ids: list[str] = []
        self.handed_out: list[tuple[int, str]] = []

    async def step(self, what: str, *rest: Any) -> None:
        match what, rest:
            case "file", (priority, needs):
                await self.file(priority, sorted(need for need in needs if need < len(self.ids)))
            case "claim", ():
                await self.claim()
            case "sweep", ():
                while await expire_lease(ports=self.ports):
                    pass
            case (("finish" | "cancel"), (at,)) if self.ids:
                await self.close(at % len(self.ids), TaskStatus.DONE if what == "finish" else TaskStatus.CANCELLED)
            case _, (at,) if self.handed_out:
                await self.worker(what, *self.handed_out[at % len(self.handed_out)])

    async def file(self, priority: Priority | None, needs: list[int]) -> None:
        at = len(self.ids)
        task = a_task(
            id=new_id(),
            instance_id=self.instance,
            priority=priority,
            depends_on=tuple(self.ids[need] for need in needs),
            created_at=later(at),
        )
        await lifecycle.create_task(task, ports=self.ports)
        self.ids.append(task.id)
        self.model.file(priority, needs)

    async def claim(self) -> None:
        expected = self.model.next()
        claim = await claim_task(self.instance, None, MINUTE, ports=self.ports)
        assert (claim and claim.task.id) == (None if expected is None else self.ids[expected])
        if claim and expected is not None:
            self.model.status[expected], self.model.token[expected] = "live", claim.token
            self.handed_out.append((expected, claim.token))

    async def worker(self, what: str, task: int, token: str) -> None:
        """A worker acts on what it was once handed out; what it may depends on whose turn it is now."""
        model, proof = self.model, Proof(token)
        own = model.token[task] == token
        status = model.status[task]
        if what == "run out":
            if own and status == "live":
                await self.let_run_out(task)
                model.status[task] = "run out"
            return
        actions: dict[str, Callable[[], Awaitable[object]]] = {
            "heartbeat": lambda: heartbeat(self.ids[task], proof, MINUTE, ports=self.ports),
            "release": lambda: release_task(self.ids[task], proof, ports=self.ports),
            "complete": lambda: lifecycle.complete_task(self.ids[task], ports=self.ports, token=token),
        }
        allowed = {
            "heartbeat": own and status == "live",
            "release": own and status in ("live", "given back"),
            "complete": own and status in ("live", "run out", "given back"),
        }[what]
        try:
            await actions[what]()
        except Conflict:
            assert not allowed
        else:
            assert allowed or (what == "complete" and status == "closed")
            if what != "heartbeat":
                model.status[task] = "given back" if what == "release" else "closed"

    async def let_run_out(self, task: int) -> None:
        async with self.ports.unit_of_work() as uow:
            await uow.leases.extend(self.ids[task], timedelta(seconds=-1))
            await uow.commit()

    async def close(self, task: int, status: TaskStatus) -> None:
        """A person does it, whoever has the lease."""
        if self.model.status[task] == "closed":
            return
        async with self.ports.unit_of_work() as uow:
            before = await uow.tasks.get_for_update(self.ids[task])
            if status is TaskStatus.DONE:
                await lifecycle.finish(before, self.ports.clock.now(), uow, force=True)
            else:
                await uow.tasks.update(a_task(**{**_fields(before), "status": status}))
            await uow.commit()
        self.model.status[task], self.model.token[task] = "closed", None


def _fields(task: Any) -> dict[str, Any]:
    return {
        name: getattr(task, name) for name in ("id", "title", "instance_id", "priority", "depends_on", "created_at")
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps, min_size=10, max_size=40))
async def test_any_history_of_leases_is_as_the_model_says(history: list[tuple[Any, ...]], ports: Ports) -> None:
    """In some order of events a task would be given to two, or to nobody, or out of turn, or too early."""
    instance = (await joined(ports, new_id())).id
    run = Run(ports, instance)
    for step in history:
        await run.step(*step)
    for at in range(len(run.ids)):  # nothing is lost: whoever goes on claiming and finishing comes to the end
        if run.model.status[at] == "live":
            await run.let_run_out(at)
            run.model.status[at] = "run out"
    while run.model.next() is not None:
        await run.claim()
        await run.worker("complete", *run.handed_out[-1])
    await run.claim()
    assert set(run.model.status) <= {"closed"}
