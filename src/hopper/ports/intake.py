"""Filing new tasks."""

from typing import Protocol

from hopper.domain.task import Task


class Intake(Protocol):
    async def file(self, task: Task) -> None:
        """Store a new task durably, perhaps together with others that arrive at the same time."""
        ...
