"""Filing tasks: those that arrive while others are being stored share the next transaction.

Nobody waits for company: a lone task is stored at once. Each is acknowledged after its commit only, so what was
acknowledged is durable (group commit, DeWitt et al. 1984).
"""

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context

from hopper.domain.access import Asker
from hopper.domain.errors import Unavailable
from hopper.domain.task import Task
from hopper.ports.unit_of_work import UnitOfWork

_LARGEST = 200
_AT_ONCE = 2
"""Groups under way: one is put together while the other waits for the disk."""

_Waiting = tuple[Task, Asker, asyncio.Future[None], Context]


class GroupIntake:
    """Implements ports.intake.Intake: files tasks in groups."""

    def __init__(self, unit_of_work: Callable[[], UnitOfWork]) -> None:
        self._unit_of_work = unit_of_work
        self._waiting: list[_Waiting] = []
        self._storing: set[asyncio.Task[None]] = set()

    async def file(self, task: Task, asker: Asker) -> None:
        """Return when the task is stored; raises what storing it raised."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((task, asker, stored, copy_context()))
        if len(self._storing) < _AT_ONCE:
            self._begin()
        await stored

    def _begin(self) -> None:
        """Store a group, as work for the first that waits: what it logs, and its trace, are that one's."""
        *_, context = self._waiting[0]
        self._storing.add(asyncio.create_task(self._store_waiting(), context=context))

    async def _store_waiting(self) -> None:
        try:
            group, self._waiting = self._waiting[:_LARGEST], self._waiting[_LARGEST:]
            await self._store(group)
        finally:
            # At once, not in a callback: a task that came in between would find nobody to store it.
            this = asyncio.current_task()
            assert this
            self._storing.discard(this)
        if self._waiting:
            self._begin()

    async def _store(self, group: list[_Waiting]) -> None:
        try:
            await self._add(group)
        except BaseException as error:
            if len(group) > 1 and isinstance(error, Exception) and not isinstance(error, Unavailable):
                for member in group:  # one bad task must not take the others with it
                    await self._store([member])
                return
            for _, _, stored, _ in group:
                _tell(stored, error)
            if not isinstance(error, Exception):
                raise
        else:
            for _, _, stored, _ in group:
                _tell(stored, None)

    async def _add(self, group: list[_Waiting]) -> None:
        async with self._unit_of_work() as uow:
            await uow.tasks.add_many([task for task, *_ in group])
            for task, asker, *_ in group:
                uow.audit.note(asker, "task", task.id)
            await uow.commit()


def _tell(stored: asyncio.Future[None], error: BaseException | None) -> None:
    """A client that has gone meanwhile is past telling."""
    if stored.done():
        return
    if error is None:
        stored.set_result(None)
    else:
        stored.set_exception(error)
