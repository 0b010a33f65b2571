"""Filing tasks in groups: each is stored once, acknowledged after its commit, and none waits for another's mishap."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

import pytest
from tests.builders import a_task

from hopper.app.intake import GroupIntake
from hopper.domain.access import HOPPER, Asker
from hopper.domain.errors import Invalid, Unavailable
from hopper.domain.ids import TaskId
from hopper.domain.task import Task


class Memory:
    """A store that keeps a unit's tasks when it commits; `gate` holds commits up, `refused` names bad tasks."""

    def __init__(self) -> None:
        self.kept: Counter[TaskId] = Counter()
        self.groups: list[int] = []
        self.attempts = 0
        self.refused: dict[TaskId, Exception] = {}
        self.open = 0
        self.most_open = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def unit_of_work(self) -> Any:
        return Unit(self)


class Unit:
    def __init__(self, memory: Memory) -> None:
        self.tasks = self.audit = self
        self._memory = memory
        self._added: list[Task] = []

    async def __aenter__(self) -> "Unit":
        self._memory.attempts += 1
        self._memory.open += 1
        self._memory.most_open = max(self._memory.most_open, self._memory.open)
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)
        self._memory.open -= 1

    async def add_many(self, tasks: Sequence[Task]) -> None:
        await asyncio.sleep(0)
        for task in tasks:
            if task.id in self._memory.refused:
                raise self._memory.refused[task.id]
        self._added += tasks

    def note(self, asker: Asker, entity_type: str, *entity_ids: str) -> None:
        assert (asker, entity_type) == (HOPPER, "task")

    async def commit(self) -> None:
        await self._memory.gate.wait()
        self._memory.groups.append(len(self._added))
        self._memory.kept.update(task.id for task in self._added)


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def intake(memory: Memory) -> GroupIntake:
    return GroupIntake(memory.unit_of_work)


def some_tasks(count: int) -> list[Task]:
    return [a_task(id=f"t{n}") for n in range(count)]


async def turns(count: int) -> None:
    """Let everything else go on for so many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


def once(tasks: Sequence[Task]) -> Counter[TaskId]:
    return Counter(task.id for task in tasks)


async def filed(intake: GroupIntake, tasks: Sequence[Task]) -> list[BaseException | None]:
    """What became of each, all filed at the same time."""
    async with asyncio.timeout(10):
        return await asyncio.gather(*(intake.file(task, HOPPER) for task in tasks), return_exceptions=True)


async def test_a_lone_task_is_stored_at_once(memory: Memory, intake: GroupIntake) -> None:
    """A single task would wait for company."""
    task = a_task()
    async with asyncio.timeout(5):
        await intake.file(task, HOPPER)
    assert memory.kept == once([task])


async def test_a_thousand_at_once_are_each_stored_exactly_once(memory: Memory, intake: GroupIntake) -> None:
    """Under load tasks would be lost, or be stored twice."""
    tasks = some_tasks(1000)
    assert await filed(intake, tasks) == [None] * 1000
    assert memory.kept == once(tasks)


async def test_those_that_wait_share_a_transaction_of_bounded_size(memory: Memory, intake: GroupIntake) -> None:
    """A burst would take one transaction a task, or one that is too large, or all connections."""
    await filed(intake, some_tasks(1000))
    assert sum(memory.groups) == 1000
    assert max(memory.groups) <= 200
    assert len(memory.groups) <= 10
    assert memory.most_open <= 2


async def test_nothing_is_acknowledged_before_its_commit(memory: Memory, intake: GroupIntake) -> None:
    """A client would be told that its task is safe, and a crash would prove it wrong."""
    memory.gate.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as clients:
        filings = [clients.create_task(intake.file(task, HOPPER)) for task in some_tasks(5)]
        await turns(50)
        assert not any(filing.done() for filing in filings)
        memory.gate.set()
    assert sum(memory.kept.values()) == 5


@pytest.mark.parametrize("kind", [partial(Invalid, "depends_on"), RuntimeError])
async def test_one_bad_task_does_not_take_the_others_with_it(
    kind: Callable[[str], Exception], memory: Memory, intake: GroupIntake
) -> None:
    """A stranger's mistake would refuse the tasks that happened to arrive at the same moment."""
    tasks = some_tasks(50)
    refused = {at: kind(f"task {at} can't be stored") for at in (0, 7, 49)}
    memory.refused = {tasks[at].id: error for at, error in refused.items()}
    assert await filed(intake, tasks) == [refused.get(at) for at in range(50)]
    assert memory.kept == once([task for at, task in enumerate(tasks) if at not in refused])


@pytest.mark.parametrize("error", [RuntimeError("a bug"), Unavailable("the database is down")])
async def test_a_failure_is_told_to_everybody_and_does_not_stay(
    error: Exception, memory: Memory, intake: GroupIntake
) -> None:
    """After one failure all later tasks would hang, or clients wait forever for an answer."""
    tasks = some_tasks(20)
    memory.refused = {task.id: error for task in tasks}
    assert await filed(intake, tasks) == [error] * 20
    assert not memory.kept
    memory.refused = {}
    assert await filed(intake, tasks) == [None] * 20
    assert memory.kept == once(tasks)


async def test_while_the_store_is_down_it_is_not_asked_for_each_task(memory: Memory, intake: GroupIntake) -> None:
    """Hundreds of clients would wait in a row, each for a time-out of its own."""
    tasks = some_tasks(400)
    memory.refused = {task.id: Unavailable("the database is down") for task in tasks}
    assert all(isinstance(end, Unavailable) for end in await filed(intake, tasks))
    assert memory.attempts <= 5


@pytest.mark.parametrize("moment", range(16))
async def test_a_task_that_arrives_just_as_the_last_groups_end_is_stored(
    moment: int, memory: Memory, intake: GroupIntake
) -> None:
    """A task that comes in at an unlucky moment would wait until the next one arrives, perhaps for hours."""
    first, also, late = tasks = some_tasks(3)
    memory.gate.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as clients:
        for task in (first, also):
            clients.create_task(intake.file(task, HOPPER))
            await turns(10)  # each is alone in its group, and both wait for their commit
        memory.gate.set()
        await turns(moment)
        await intake.file(late, HOPPER)
    assert memory.kept == once(tasks)


async def test_clients_that_file_one_task_after_the_other_are_all_served(memory: Memory, intake: GroupIntake) -> None:
    """In steady traffic a client would now and then hang."""
    dice = Random(3)
    tasks = some_tasks(1000)

    async def client(own: Sequence[Task]) -> None:
        for task in own:
            await turns(dice.randrange(8))
            await intake.file(task, HOPPER)

    async with asyncio.timeout(20):
        await asyncio.gather(*(client(tasks[at::50]) for at in range(50)))
    assert memory.kept == once(tasks)
    assert memory.open == 0


async def test_a_client_that_goes_away_harms_nobody(memory: Memory, intake: GroupIntake) -> None:
    """A connection that breaks would take the tasks of others in its group with it, or stop the intake."""
    memory.gate.clear()
    tasks = some_tasks(6)
    filings = [asyncio.create_task(intake.file(task, HOPPER)) for task in tasks]
    await turns(10)  # the first group is at its commit, the rest wait
    for gone in (filings[0], filings[3]):
        gone.cancel()
    memory.gate.set()
    async with asyncio.timeout(5):
        ends = await asyncio.gather(*filings, return_exceptions=True)
        await intake.file(a_task(id="next"), HOPPER)
    assert [isinstance(end, asyncio.CancelledError) for end in ends] == [True, False, False, True, False, False]
    acknowledged = {task.id for task, end in zip(tasks, ends, strict=True) if end is None}
    assert acknowledged | {"next"} <= memory.kept.keys()
    assert max(memory.kept.values()) == 1


async def test_a_bad_task_whose_client_went_away_harms_nobody(memory: Memory, intake: GroupIntake) -> None:
    """Nobody would hear of the refusal, and the next task in the group would pay for it."""
    tasks = some_tasks(3)
    memory.refused = {tasks[0].id: Invalid("depends_on", "no such task")}
    filings = [asyncio.create_task(intake.file(task, HOPPER)) for task in tasks]
    await turns(1)
    filings[0].cancel()
    async with asyncio.timeout(5):
        ends = await asyncio.gather(*filings, return_exceptions=True)
    assert isinstance(ends[0], asyncio.CancelledError)
    assert ends[1:] == [None, None]
    assert memory.kept == once(tasks[1:])
