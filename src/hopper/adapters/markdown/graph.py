"""How instances do, from the index. What else the graph tells needs a server."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hopper.adapters.markdown.needs_server import NeedsServer
from hopper.adapters.markdown.sql import AMONG
from hopper.domain.graph import Standing
from hopper.domain.ids import InstanceId

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session


class MarkdownGraph(NeedsServer):
    """Implements one of the questions of ports.graph.GraphQueries."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def standings(self, instance_ids: Sequence[InstanceId]) -> Mapping[InstanceId, Standing]:
        rows = await self._session.fetch(
            f"""SELECT i.id,
                    (SELECT count(*) FROM tasks WHERE instance_id = i.id AND status IN ('pending', 'in_progress')),
                    count(d.id) FILTER (WHERE d.status IN ('pending', 'accepted')),
                    count(d.id) FILTER (WHERE d.status = 'completed'),
                    count(d.id) FILTER (WHERE d.status = 'rejected'),
                    count(d.id) FILTER (WHERE d.status = 'recalled')
                FROM hopper_instances i LEFT JOIN (
                    SELECT id, status, target_instance_id FROM task_delegations
                    WHERE task_id IN (SELECT id FROM tasks)) d ON d.target_instance_id = i.id
                WHERE i.id {AMONG.format("?")} GROUP BY i.id""",
            list(instance_ids),
        )
        return {row[0]: Standing(*tuple(row)[1:]) for row in rows}
