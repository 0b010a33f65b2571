"""What the graph should hold: each entity with the edges of its own, page by page, and the tags."""

import pytest
from tests.builders import a_delegation, a_pattern, a_task, an_instance, later
from tests.contracts.working import UnitOfWorkFactory, add, keep

from hopper.domain.delegation import DelegationStatus
from hopper.domain.graph import Edge, EdgeType, Graph, Label, Node, Value
from hopper.domain.pattern import Criteria, PatternType
from hopper.domain.task import Priority, TaskStatus
from hopper.ports.graph import Unit
from hopper.ports.unit_of_work import UnitOfWork

pytestmark = pytest.mark.server_only


async def test_a_task_has_what_its_rows_say(uow: UnitOfWork) -> None:
    """What people ask of the graph about a task would miss a part of it."""
    await add(
        uow,
        an_instance("a"),
        an_instance("b"),
        *(a_task(id=id) for id in ("above", "N1", "n2", "ä3")),
        a_task(
            "Zahlung hängt",
            id="t",
            description="not in the graph",
            status=TaskStatus.IN_PROGRESS,
            priority=Priority.URGENT,
            project="bank",
            instance_id="b",
            parent_task_id="above",
            duplicate_of="n2",
            depends_on=("n2", "ä3", "N1"),
            tags={"ui": True, "area": "cards", "Ä": ""},
        ),
        a_task(id="below", parent_task_id="t", depends_on=("t",)),
        a_delegation("t", "b", id="d2", source_instance_id="a", delegated_at=later(2)),
        a_delegation("t", "a", id="d1", status=DelegationStatus.RECALLED, completed_at=later(1)),
    )
    assert await uow.graph_source.units(Label.TASK, ["t", "gone"]) == {
        "t": Unit(
            Node(
                Label.TASK,
                "t",
                {
                    "title": "Zahlung hängt",
                    "status": "in_progress",
                    "priority": "urgent",
                    "project": "bank",
                    "version": 1,
                },
            ),
            (
                *(Edge(EdgeType.BLOCKS, id, "t") for id in ("N1", "n2", "ä3")),
                Edge(
                    EdgeType.DELEGATED_TO,
                    "t",
                    "a",
                    {
                        "delegation_id": "d1",
                        "type": "routed",
                        "status": "recalled",
                        "delegated_at": later(0),
                        "completed_at": later(1),
                    },
                ),
                Edge(
                    EdgeType.DELEGATED_TO,
                    "t",
                    "b",
                    {
                        "delegation_id": "d2",
                        "type": "routed",
                        "status": "pending",
                        "delegated_at": later(2),
                        "source_instance_id": "a",
                    },
                ),
                *(Edge(EdgeType.DEPENDS_ON, "t", id) for id in ("N1", "n2", "ä3")),
                Edge(EdgeType.HAS_TAG, "t", "area", {"value": "cards"}),
                Edge(EdgeType.HAS_TAG, "t", "ui"),
                Edge(EdgeType.HAS_TAG, "t", "Ä", {"value": ""}),
                Edge(EdgeType.MANAGES, "b", "t"),
                Edge(EdgeType.SUBTASK_OF, "t", "above"),
            ),
        )
    }


async def test_an_instance_has_its_parent(uow: UnitOfWork) -> None:
    """The tree of instances would be missing from the graph."""
    await add(uow, an_instance("root"), an_instance("a", parent_id="root"))
    plain: dict[str, Value] = {"scope": "PROJECT", "status": "running", "version": 1}
    assert await uow.graph_source.units(Label.INSTANCE, ["root", "a"]) == {
        "root": Unit(Node(Label.INSTANCE, "root", {"name": "root", **plain}), ()),
        "a": Unit(Node(Label.INSTANCE, "a", {"name": "a", **plain}), (Edge(EdgeType.CHILD_OF, "a", "root"),)),
    }


async def test_a_pattern_has_its_target_its_origins_and_its_tags(uow: UnitOfWork) -> None:
    """Nobody could see what a rule is for and where it came from."""
    criteria = Criteria(any=("ui=web", "ui=app", "Zoo"), all=("Zoo", "ü"), none=("never",))
    await add(
        uow,
        an_instance("a"),
        a_pattern("a", id="p", name="für a", confidence=1.0, is_active=False, tag_criteria=criteria),
        a_pattern("gone", id="o1", pattern_type=PatternType.TEXT, text_criteria=Criteria(any=("card",))),
        a_pattern("a", id="O2", tag_criteria=Criteria(none=("never",))),
    )
    await uow.patterns.derive("p", ["o1", "O2"])
    units = await uow.graph_source.units(Label.PATTERN, ["p", "o1", "O2"])
    assert units["p"] == Unit(
        Node(Label.PATTERN, "p", {"name": "für a", "confidence": 1.0, "is_active": False, "version": 1}),
        (
            Edge(EdgeType.DERIVED_FROM, "p", "O2"),
            Edge(EdgeType.DERIVED_FROM, "p", "o1"),
            *(Edge(EdgeType.MATCHES_TAG, "p", name) for name in ("Zoo", "ui", "ü")),
            Edge(EdgeType.ROUTES_TO, "p", "a"),
        ),
    )
    assert units["o1"].edges == ()
    assert units["O2"].edges == (Edge(EdgeType.ROUTES_TO, "O2", "a"),)


async def test_pages_go_through_everything_in_the_order_of_bytes(uow: UnitOfWork) -> None:
    """Two stores that sort otherwise could not be compared part by part: a check would find differences everywhere."""
    ids = ["B", "_", "a", "a-", "aa", "b", "z", "ä", "中"]
    await add(
        uow,
        *(a_task(id=id, tags={"x": True}) for id in reversed(ids)),
        *(an_instance(id) for id in ids),
        *(a_pattern(id, id=id) for id in ids),
    )
    for label in (Label.TASK, Label.INSTANCE, Label.PATTERN):
        found: list[Unit] = []
        while page := await uow.graph_source.page(label, found[-1].node.id if found else "", 4):
            assert len(page) == min(4, len(ids) - len(found))
            found += page
        assert [unit.node.id for unit in found] == sorted(ids) == ids
        assert await uow.graph_source.units(label, ids) == {unit.node.id: unit for unit in found}


async def test_edges_of_units_stand_in_the_order_of_their_keys(uow: UnitOfWork) -> None:
    """Whoever compares two stores would have to sort a hundred thousand tasks' edges first."""
    await add(uow, *(an_instance(id) for id in "bA"), *(a_task(id=id) for id in "zYx"))
    await add(uow, a_task(id="t", tags={"q": True, "P": "v"}, depends_on=("z", "Y"), parent_task_id="x"))
    await add(uow, *(a_delegation("t", to, id=to + n, status=DelegationStatus.RECALLED) for to in "bA" for n in "2B"))
    [unit] = (await uow.graph_source.units(Label.TASK, ["t"])).values()
    assert list(unit.edges) == sorted(unit.edges, key=lambda edge: edge.key)
    assert len(unit.edges) == 2 + 4 + 2 + 2 + 1


async def test_the_tag_graph_is_all_tags_and_what_they_share(uow: UnitOfWork) -> None:
    """Counts in the graph could never be compared with the tasks."""
    asks = Criteria(any=("ui=web", "unused"), all=("unused",))
    await add(
        uow,
        a_task(tags={"ui": True, "ä": "x"}),
        a_task(tags={"ui": "web", "ä": True, "Z": True}),
        a_task(tags={"ui": True}),
        a_task(),
        a_pattern(id="p", tag_criteria=asks),
        a_pattern(id="q", tag_criteria=asks, is_active=False),
    )
    assert await uow.graph_source.tag_graph() == Graph.of(
        [
            Node(Label.TAG, "Z", {"tasks": 1}),
            Node(Label.TAG, "ui", {"tasks": 3}),
            Node(Label.TAG, "unused", {"tasks": 0}),
            Node(Label.TAG, "ä", {"tasks": 2}),
        ],
        [
            Edge(EdgeType.CO_OCCURS_WITH, "Z", "ui", {"count": 1, "weight": 1 / 3}),
            Edge(EdgeType.CO_OCCURS_WITH, "Z", "ä", {"count": 1, "weight": 1 / 2}),
            Edge(EdgeType.CO_OCCURS_WITH, "ui", "ä", {"count": 2, "weight": 2 / 3}),
        ],
    )


async def test_no_edge_leads_to_what_is_gone(uow_factory: UnitOfWorkFactory) -> None:
    """A graph that was rebuilt would hold fewer edges than the truth says, and every check would complain."""
    await keep(
        uow_factory,
        *(an_instance(id) for id in "ab"),
        *(a_task(id=id) for id in "123"),
        a_task(id="t", depends_on=("1", "2"), parent_task_id="2", tags={"x": True}, instance_id="b"),
        a_delegation("t", "a", status=DelegationStatus.REJECTED),
        a_delegation("t", "b", source_instance_id="a"),
        *(a_pattern("a", id=id) for id in "po"),
    )
    async with uow_factory() as uow:
        await uow.patterns.derive("p", ["o"])
        await uow.tasks.delete("2")
        await uow.patterns.delete("o")
        await uow.instances.delete("a")
        units = {
            **await uow.graph_source.units(Label.TASK, list("123t")),
            **await uow.graph_source.units(Label.PATTERN, list("po")),
            **await uow.graph_source.units(Label.INSTANCE, list("ab")),
        }
    assert sorted(units) == ["1", "3", "b", "p", "t"]
    assert [f"{edge.source} {edge.type} {edge.target}" for unit in units.values() for edge in unit.edges] == [
        "1 BLOCKS t",
        "t DELEGATED_TO b",
        "t DEPENDS_ON 1",
        "t HAS_TAG x",
        "b MANAGES t",
        "p MATCHES_TAG cards",
    ]


async def test_an_empty_store_has_an_empty_graph(uow: UnitOfWork) -> None:
    """A fresh installation couldn't be compared with its graph."""
    assert await uow.graph_source.units(Label.TASK, []) == {}
    assert await uow.graph_source.page(Label.PATTERN, "", 10) == ()
    assert await uow.graph_source.tag_graph() == Graph()
