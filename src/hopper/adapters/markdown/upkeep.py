"""What a server does beside its requests, where nothing runs beside a command."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from hopper.adapters.markdown.lock import StoreLock, pause
from hopper.adapters.markdown.places import place_of, private
from hopper.domain.access import Asker
from hopper.domain.task import Task
from hopper.ports.unit_of_work import UnitOfWork
from hopper.ports.vectors import IndexState, VectorKind


class FileIntake:
    """Implements ports.intake.Intake: one task, one unit of work."""

    def __init__(self, unit_of_work: Callable[[], UnitOfWork]) -> None:
        self._unit_of_work = unit_of_work

    async def file(self, task: Task, _asker: Asker) -> None:
        async with self._unit_of_work() as uow:
            await uow.tasks.add(task)
            await uow.commit()


class FileTurns:
    """Implements ports.turns.Turns, with a locked file for each name: long work doesn't hold up changes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @asynccontextmanager
    async def take(self, name: str, patience: float) -> AsyncIterator[bool]:
        lock = StoreLock(private(place_of(self._directory).state) / f"{name}.turn")
        deadline = time.monotonic() + patience
        while not (taken := lock.try_acquire()) and time.monotonic() < deadline:
            await pause()
        try:
            yield taken
        finally:
            lock.release()


class NoVectorIndexes:
    """Implements ports.vectors.VectorIndexes: a local instance compares all vectors."""

    async def ensure(self, model: str, dimension: int) -> None:
        """Nothing is built."""

    async def states(self, model: str, dimension: int) -> Mapping[VectorKind, IndexState]:
        return dict.fromkeys(VectorKind, IndexState.NOT_NEEDED)

    async def drop(self, model: str) -> None:
        """Nothing was built."""
