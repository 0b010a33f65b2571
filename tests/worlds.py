"""Worlds as they come about: any history of what people, workers and the router do, by the use cases."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from itertools import count
from typing import TypeVar

from tests.builders import a_pattern, a_task, an_instance

from hopper.app.instances import create_instance, delete_instance, edit_instance
from hopper.app.leases import claim_task, expire_lease
from hopper.app.lifecycle import (
    accept_delegation,
    complete_delegation,
    complete_task,
    create_task,
    delegate_task,
    reject_delegation,
    route_task,
)
from hopper.app.patterns import create_pattern, delete_pattern, edit_pattern
from hopper.app.tasks import delete_task, edit_task
from hopper.domain.errors import HopperError
from hopper.domain.ids import InstanceId, PatternId, TaskId
from hopper.domain.instance import InstanceStatus
from hopper.domain.pattern import Criteria
from hopper.domain.task import Priority, TaskStatus
from hopper.ports import Ports

T = TypeVar("T")

NAMES = ("a", "b", "c", "d", "ä")
TAGS = ("ui", "UI", "zürich", "Zeit", "ß" * 200)
VALUES: tuple[bool | str, ...] = (True, "web", "ja=nein", "")


class World:
    """Takes one step after the other; what the rules refuse is a step, too, and changes nothing.

    `choose` takes one of some options: of a `random.Random(seed)`, or drawn by hypothesis. Instances and patterns
    come back under the names of others that are gone, tasks never do.
    """

    def __init__(self, ports: Ports, choose: Callable[[Sequence[object]], object]) -> None:
        self._ports = ports
        self._choose = choose
        self._tasks: list[TaskId] = []
        self._number = count()

    async def step(self) -> str:
        """Do something; returns what."""
        what = self._one(tuple(_STEPS))
        try:
            await _STEPS[what](self)
        except HopperError as refused:
            return f"{what}: {refused.slug}"
        return what

    def _one(self, options: Sequence[T]) -> T:
        return self._choose(options)  # type: ignore[return-value]

    def _some(self, options: Sequence[T], most: int = 3) -> list[T]:
        return [self._one(options) for _ in range(self._one(range(most + 1)))] if options else []

    def _task(self) -> TaskId:
        return self._one(self._tasks or ["nobody"])

    def _instance(self) -> InstanceId:
        return self._one(NAMES)

    def _pattern(self) -> PatternId:
        return self._one(["p", "q", "r"])

    def _tags(self) -> dict[str, bool | str]:
        return {name: self._one(VALUES) for name in self._some(TAGS)}

    def _criteria(self) -> Criteria:
        terms = (*TAGS, "ui=web", "unheard")
        return Criteria(any=(self._one(terms),), all=tuple(self._some(terms, 2)))

    async def file(self) -> None:
        task = a_task(
            id=f"t{next(self._number)}",
            tags=self._tags(),
            depends_on=tuple(dict.fromkeys(self._some(self._tasks))),
            parent_task_id=self._one([None, *self._tasks]),
            instance_id=self._one([None, *NAMES]),
        )
        await create_task(task, ports=self._ports)
        self._tasks.append(task.id)

    async def change_task(self) -> None:
        values: dict[str, Callable[[], object]] = {
            "tags": self._tags,
            "depends_on": lambda: tuple(dict.fromkeys(self._some(self._tasks))),
            "parent_task_id": lambda: self._one([None, *self._tasks]),
            "instance_id": lambda: self._one([None, *NAMES]),
            "status": lambda: self._one([*TaskStatus]),
            "priority": lambda: self._one([None, *Priority]),
            "project": lambda: self._one([None, "bank"]),
        }
        field = self._one(tuple(values))
        await edit_task(self._task(), {field: values[field]()}, ports=self._ports)

    async def remove_task(self) -> None:
        task = self._task()
        await delete_task(task, ports=self._ports)
        self._tasks.remove(task)

    async def finish(self) -> None:
        await complete_task(self._task(), ports=self._ports, force=self._one([True, False]))

    async def delegate(self) -> None:
        by = self._one([None, *NAMES])
        await delegate_task(self._task(), self._instance(), ports=self._ports, by=by)

    async def route(self) -> None:
        await route_task(self._task(), ports=self._ports)

    async def answer(self) -> None:
        async with self._ports.reading() as uow:
            live = await uow.delegations.live(self._task())
        if live:
            answer = self._one((accept_delegation, reject_delegation, complete_delegation))
            await answer(live.id, ports=self._ports)

    async def claim(self) -> None:
        lease = timedelta(minutes=self._one([0, 1]))
        await claim_task(self._instance(), None, lease, ports=self._ports)

    async def sweep(self) -> None:
        await expire_lease(ports=self._ports)

    async def join(self) -> None:
        await create_instance(an_instance(self._instance()), ports=self._ports)

    async def change_instance(self) -> None:
        change: dict[str, object] = self._one(
            (
                {"parent_id": self._one([None, *NAMES])},
                {"name": self._one(("mine", "deins"))},
                {"status": self._one((InstanceStatus.RUNNING, InstanceStatus.PAUSED))},
            )
        )
        await edit_instance(self._instance(), change, ports=self._ports)

    async def leave(self) -> None:
        await delete_instance(self._instance(), ports=self._ports)

    async def rule(self) -> None:
        pattern = a_pattern(self._instance(), id=self._pattern(), tag_criteria=self._criteria(), confidence=0.9)
        await create_pattern(pattern, ports=self._ports)

    async def change_rule(self) -> None:
        change: dict[str, object] = self._one(
            (
                {"tag_criteria": self._criteria()},
                {"target_instance": self._instance()},
                {"is_active": self._one((True, False))},
                {"confidence": self._one((0.0, 0.5, 1.0))},
            )
        )
        await edit_pattern(self._pattern(), change, ports=self._ports)

    async def derive(self) -> None:
        one, other = self._pattern(), self._pattern()
        async with self._ports.unit_of_work() as uow:
            if one != other:
                await uow.patterns.derive(one, [other])
                await uow.commit()

    async def remove_rule(self) -> None:
        await delete_pattern(self._pattern(), ports=self._ports)


_STEPS: dict[str, Callable[[World], Awaitable[None]]] = {
    step.__name__: step
    for step in (
        World.join,
        World.file,
        World.delegate,
        World.change_task,
        World.change_instance,
        World.answer,
        World.route,
        World.claim,
        World.rule,
        World.change_rule,
        World.derive,
        World.finish,
        World.sweep,
        World.remove_task,
        World.leave,
        World.remove_rule,
    )
}
