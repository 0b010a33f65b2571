"""Living through past tasks again, in order: file, route, hear who should have had it, and so to the next.

It goes the same way as real work does (`app.lifecycle`), so its figures are those that a user would see.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from time import perf_counter

from hopper.app.consolidation import consolidate
from hopper.app.lifecycle import create_task, give_feedback, route_task
from hopper.app.training import up_to_date
from hopper.domain.decision import Decision
from hopper.domain.feedback import Feedback
from hopper.domain.ids import InstanceId, TaskId, new_id
from hopper.domain.instance import Instance
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.routing.quality import Judged

_FEWEST, _GROWTH = 50, 1.2
"""Patterns are consolidated at so many outcomes, and whenever they have grown so much."""


@dataclass(frozen=True, slots=True)
class Example:
    """A past task, and the name of who should have had it."""

    task: Task
    target: str


@dataclass(frozen=True, slots=True)
class Step:
    """One task of a replay: what was decided, and how good that was."""

    task: Task
    decision: Decision
    judged: Judged


def targets_of(examples: Sequence[Example]) -> dict[str, InstanceId]:
    """An id for each target, by its name."""
    return {name: new_id() for name in dict.fromkeys(example.target for example in examples)}


async def create_targets(targets: Mapping[str, InstanceId], *, ports: Ports) -> None:
    """An instance for each target."""
    async with ports.unit_of_work() as uow:
        for name, id in targets.items():
            await uow.instances.add(Instance(id=id, name=name, created_at=ports.clock.now()))
        await uow.commit()


async def replay(
    examples: Sequence[Example], targets: Mapping[str, InstanceId], *, ports: Ports
) -> AsyncIterator[Step]:
    """Route each example, then reveal where it belonged."""
    for example in examples:
        step = await _step(example, targets[example.target], ports)
        await _reveal(step.task.id, step.decision, targets[example.target], ports)
        yield step


async def teach(examples: Sequence[Example], targets: Mapping[str, InstanceId], *, ports: Ports) -> AsyncIterator[Task]:
    """File each example and say where it belonged, without routing it."""
    for example in examples:
        task = await _file(example, ports)
        await _reveal(task.id, None, targets[example.target], ports)
        yield task


async def examine(
    examples: Sequence[Example], targets: Mapping[str, InstanceId], *, ports: Ports
) -> AsyncIterator[Step]:
    """Ask who should have each example; neither the question nor the answer teaches anything."""
    for example in examples:
        yield await _step(example, targets[example.target], ports, dry_run=True)


async def _step(example: Example, target: InstanceId, ports: Ports, *, dry_run: bool = False) -> Step:
    task = await _file(example, ports)
    began = perf_counter()
    decision = await route_task(task.id, ports=ports, dry_run=dry_run)
    took = 1000 * (perf_counter() - began)
    return Step(task, decision, Judged.of(decision, target, took))


async def keep_pace(outcomes: int, *, ports: Ports) -> None:
    """Learn what is due after so many outcomes: by their number and not by the clock, or figures would vary."""
    await up_to_date(ports=ports)
    if outcomes >= _FEWEST and int(log(outcomes, _GROWTH)) > int(log(outcomes - 1, _GROWTH)):
        await consolidate(ports=ports)


async def all_learned(*, ports: Ports) -> None:
    """Learn everything that is known."""
    await up_to_date(ports=ports, after_all=True)
    await consolidate(ports=ports)


async def _file(example: Example, ports: Ports) -> Task:
    now = ports.clock.now()
    task = replace(example.task, id=new_id(), source="replay", created_at=now, updated_at=now)
    return await create_task(task, ports=ports)


async def _reveal(task_id: TaskId, decision: Decision | None, target: InstanceId, ports: Ports) -> None:
    feedback = Feedback(
        task_id=task_id,
        was_good_match=decision.chosen_instance == target if decision else None,
        should_have_routed_to=target,
        source="replay",
        created_at=ports.clock.now(),
    )
    await give_feedback(feedback, ports=ports)
