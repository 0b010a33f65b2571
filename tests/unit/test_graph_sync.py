"""Bringing one entity to the graph at once."""

from tests.builders import a_delegation, a_task, an_instance

from hopper.adapters.neo4j.sync import GraphSync
from hopper.domain.graph import Label


async def test_each_entity_is_projected_as_the_kind_of_node_that_holds_it() -> None:
    """A delegation would be looked for as a node of its own, and never reach the graph."""
    projected: list[tuple[Label, str]] = []

    async def project(label: Label, id: str) -> None:
        projected.append((label, id))

    sync = GraphSync(project)
    await sync.sync_instance(an_instance("i"))
    await sync.sync_delegation(a_delegation("t", "i"))
    await sync.sync_task_tags(a_task(id="u"))
    assert projected == [(Label.INSTANCE, "i"), (Label.TASK, "t"), (Label.TASK, "u")]
