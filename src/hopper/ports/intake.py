"""Filing new tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hopper.domain.task import Task


class Intake(Protocol):
    async def file(self, task: Task) -> None:
        """Store a new task durably, perhaps together with others that arrive at the same time."""
        ...
