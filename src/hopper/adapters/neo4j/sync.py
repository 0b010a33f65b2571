"""Bringing single entities to the graph at once, on somebody's word."""

from collections.abc import Awaitable, Callable

from hopper.domain.delegation import Delegation
from hopper.domain.graph import Label
from hopper.domain.instance import Instance
from hopper.domain.task import Task


class GraphSync:
    """Each makes the graph hold the entity as the truth has it now, as everything else that is projected.

    `project` does so for one entity.
    """

    def __init__(self, project: Callable[[Label, str], Awaitable[None]]) -> None:
        self._project = project

    async def sync_instance(self, instance: Instance) -> None:
        """The instance and its place in the tree."""
        await self._project(Label.INSTANCE, instance.id)

    async def sync_delegation(self, delegation: Delegation) -> None:
        """The delegation, with its task: a delegation is an edge of that."""
        await self._project(Label.TASK, delegation.task_id)

    async def sync_task_tags(self, task: Task) -> None:
        """The task, its tags, and what follows from these."""
        await self._project(Label.TASK, task.id)
