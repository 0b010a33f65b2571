"""Living through past tasks again, in order: file, route, hear who should have had it, and so to the next.

It goes the same way as real work does (`app.lifecycle`), so its figures are those that a user would see.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from hopper.app.lifecycle import create_task, give_feedback, route_task
from hopper.domain.decision import Decision
from hopper.domain.feedback import Feedback
from hopper.domain.ids import InstanceId, new_id
from hopper.domain.instance import Instance
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.routing.quality import Judged


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


async def create_targets(examples: Sequence[Example], *, ports: Ports) -> dict[str, InstanceId]:
    """An instance for each target, by its name."""
    targets = {name: new_id() for name in dict.fromkeys(example.target for example in examples)}
    async with ports.unit_of_work() as uow:
        for name, id in targets.items():
            await uow.instances.add(Instance(id=id, name=name, created_at=ports.clock.now()))
        await uow.commit()
    return targets


async def replay(
    examples: Sequence[Example], targets: Mapping[str, InstanceId], *, ports: Ports
) -> AsyncIterator[Step]:
    """Route each example, then reveal where it belonged."""
    for example in examples:
        now = ports.clock.now()
        task = replace(example.task, id=new_id(), source="replay", created_at=now, updated_at=now)
        await create_task(task, ports=ports)
        began = perf_counter()
        decision = await route_task(task.id, ports=ports)
        took = 1000 * (perf_counter() - began)
        target = targets[example.target]
        await give_feedback(
            Feedback(
                task_id=task.id,
                was_good_match=decision.chosen_instance == target,
                should_have_routed_to=target,
                source="replay",
                created_at=ports.clock.now(),
            ),
            ports=ports,
        )
        yield Step(task, decision, Judged.of(decision, target, took))
