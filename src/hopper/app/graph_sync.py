"""Bringing single entities to the graph at once, on somebody's word."""

from hopper.app.graph_projection import project_one
from hopper.domain.delegation import Delegation
from hopper.domain.graph import Label
from hopper.domain.instance import Instance
from hopper.domain.task import Task
from hopper.ports import Ports


class GraphSync:
    """Each makes the graph hold the entity as the truth has it now, by the way of everything else that is projected.

    Raises Unavailable and Misconfigured while the graph can't be written, and Outdated when it has to be built anew.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def sync_instance(self, instance: Instance) -> None:
        """The instance and its place in the tree."""
        await project_one(Label.INSTANCE, instance.id, ports=self._ports)

    async def sync_delegation(self, delegation: Delegation) -> None:
        """The delegation, with its task: a delegation is an edge of that."""
        await project_one(Label.TASK, delegation.task_id, ports=self._ports)

    async def sync_task_tags(self, task: Task) -> None:
        """The task, its tags, and what follows from these."""
        await project_one(Label.TASK, task.id, ports=self._ports)
