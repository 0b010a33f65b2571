"""Steps of a story over the ports, each a line in a test."""

import asyncio
from typing import Any

from tests.builders import a_pattern, a_task, an_instance, feedback_on

from hopper.app.instances import create_instance
from hopper.app.lifecycle import create_task, give_feedback
from hopper.app.patterns import create_pattern
from hopper.app.projections import EMBEDDING
from hopper.domain.delegation import Delegation
from hopper.domain.episode import Episode
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.instance import Instance
from hopper.domain.pattern import Criteria, Pattern, PatternType
from hopper.domain.task import Task
from hopper.ports import Ports

CARD = "Card payment is declined abroad"
REFUND = "Where does the refund of my purchase stay?"


async def joined(ports: Ports, name: str, **fields: Any) -> Instance:
    """An instance whose id is its name."""
    return await create_instance(an_instance(name, **fields), ports=ports)


async def filed(ports: Ports, title: str = CARD, **fields: Any) -> Task:
    return await create_task(a_task(title, **fields), ports=ports)


async def rule(ports: Ports, to: InstanceId, word: str = "card") -> Pattern:
    """A person's rule: tasks with this word go to this instance."""
    pattern = a_pattern(to, pattern_type=PatternType.TEXT, text_criteria=Criteria(any=(word,)), confidence=0.9)
    return await create_pattern(pattern, ports=ports)


async def said(ports: Ports, task: TaskId, **fields: Any) -> None:
    """A person says now how the decision went."""
    await give_feedback(feedback_on(task, created_at=ports.clock.now(), **fields), ports=ports)


async def belongs(ports: Ports, task: TaskId, to: InstanceId) -> None:
    """A person says where the task should have gone."""
    await said(ports, task, should_have_routed_to=to)


async def task_now(ports: Ports, task: TaskId) -> Task:
    async with ports.unit_of_work() as uow:
        return await uow.tasks.get(task)


async def delegations(ports: Ports, task: TaskId) -> tuple[Delegation, ...]:
    async with ports.unit_of_work() as uow:
        return await uow.delegations.of_task(task)


async def episodes(ports: Ports, task: TaskId) -> tuple[Episode, ...]:
    async with ports.unit_of_work() as uow:
        return await uow.episodes.of_task(task)


async def record(ports: Ports, pattern: Pattern) -> tuple[int, int, int]:
    """How often the pattern carried a decision, and how often that was right and wrong."""
    async with ports.unit_of_work() as uow:
        now = await uow.patterns.get(pattern.id)
    return now.usage_count, now.success_count, now.failure_count


async def in_triage(ports: Ports) -> list[TaskId]:
    async with ports.unit_of_work() as uow:
        return [task.id for task in (await uow.tasks.triage(200)).items]


async def drained(ports: Ports) -> None:
    """Wait until the worker has embedded everything."""
    async with asyncio.timeout(20):
        while True:
            if await waiting(ports) == 0:
                return
            await asyncio.sleep(0.02)


async def waiting(ports: Ports) -> int:
    """How many entities the embedding queue holds."""
    async with ports.unit_of_work() as uow:
        return await uow.queue.depth(EMBEDDING)
