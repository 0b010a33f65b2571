"""What holds of the graph's truth after any history."""

from itertools import combinations
from random import Random

import pytest
from tests.builders import NOW
from tests.worlds import World

from hopper.app.projections import GRAPH
from hopper.domain.graph import Label
from hopper.ports import Ports
from hopper.ports.graph import Unit
from hopper.ports.repositories import TaskFilter

LABELS = {"instance": Label.INSTANCE, "task": Label.TASK, "pattern": Label.PATTERN}


async def units(ports: Ports) -> dict[tuple[str, str], Unit]:
    async with ports.reading() as uow:
        return {
            (kind, unit.node.id): unit
            for kind, label in LABELS.items()
            for unit in await uow.graph_source.page(label, "", 1000)
        }


async def marked(ports: Ports) -> set[tuple[str, str]]:
    """What the queue says of the graph; it is empty then."""
    async with ports.unit_of_work() as uow:
        rows = await uow.queue.claim(GRAPH, 1000, NOW - NOW)
        await uow.queue.done(GRAPH, rows)
        await uow.commit()
    return {(row.entity_type, row.entity_id) for row in rows}


@pytest.mark.parametrize("seed", range(3))
async def test_every_step_of_every_history_marks_what_it_changes(seed: int, ports: Ports) -> None:
    """Some way of working would leave the graph behind, and only a check would find out."""
    world = World(ports, Random(seed).choice)
    async with ports.unit_of_work() as uow:
        await uow.projections.follow(GRAPH, NOW)
        await uow.commit()
    before: dict[tuple[str, str], Unit] = {}
    changing = set()
    for _ in range(150):
        step = await world.step()
        after = await units(ports)
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert changed <= await marked(ports), step
        changing |= {step} if changed else set()
        before = after
    assert len(changing) >= 8


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_history_edges_lead_to_what_is_there_and_tags_are_those_of_the_tasks(
    seed: int, ports: Ports
) -> None:
    """A graph that is rebuilt would never be equal to the truth, or count tags wrongly."""
    world = World(ports, Random(f"other {seed}").choice)
    for _ in range(150):
        await world.step()
    found = await units(ports)
    async with ports.reading() as uow:
        tag_graph = await uow.graph_source.tag_graph()
        tagged = [set(task.tags) for task in (await uow.tasks.list(TaskFilter(), 1000)).items]
    there = {unit.node.key for unit in found.values()} | {node.key for node in tag_graph.nodes}
    for unit in found.values():
        assert list(unit.edges) == sorted(unit.edges, key=lambda edge: edge.key)
        assert all(edge.ends <= there for edge in unit.edges)
    assert {node.id: node.properties["tasks"] for node in tag_graph.nodes} == {
        node.id: sum(node.id in tags for tags in tagged) for node in tag_graph.nodes
    }
    names = {node.id for node in tag_graph.nodes}
    assert names >= set().union(*tagged)
    expected = {}
    for one, other in combinations(sorted(names), 2):
        both = sum({one, other} <= tags for tags in tagged)
        if both:
            expected[one, other] = {"count": both, "weight": both / sum(bool({one, other} & tags) for tags in tagged)}
    assert {(edge.source, edge.target): edge.properties for edge in tag_graph.edges} == expected
