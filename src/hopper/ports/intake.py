"""Filing new tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hopper.domain.access import Asker
    from hopper.domain.task import Task


class Intake(Protocol):
    async def file(self, task: Task, asker: Asker) -> None:
        """Store a new task durably for whoever asks, perhaps together with others that arrive at the same time."""
        ...
