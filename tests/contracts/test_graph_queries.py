"""What is asked of the graph: equal answers, whichever database gives them."""

import pytest
from tests.builders import a_delegation, a_pattern, a_task, an_instance, later
from tests.contracts.graphs import AskedGraph, edges, nodes

from hopper.domain.delegation import DelegationStatus, DelegationType
from hopper.domain.errors import NotFound
from hopper.domain.graph import Edge, EdgeType, Graph, Label, Node, Standing, TagUse
from hopper.domain.instance import InstanceStatus, Scope
from hopper.domain.pattern import Criteria, PatternType
from hopper.domain.task import Priority, Task, TaskStatus
from hopper.ports.graph import GraphQueries


def plain(id: str, title: str = "Card payment is declined") -> Node:
    return Node(Label.TASK, id, {"title": title, "status": "pending", "version": 1})


def runs(id: str) -> Node:
    return Node(Label.INSTANCE, id, {"name": id, "scope": "PROJECT", "status": "running", "version": 1})


def tasks_waiting(*pairs: str) -> list[Task]:
    """Tasks that need those before: “b<a” needs a, “d<bc” needs both."""
    return [a_task(id=pair[0], depends_on=tuple(pair[2:])) for pair in pairs]


async def test_a_delegation_chain_tells_who_gave_the_task_to_whom(graph: AskedGraph) -> None:
    """Nobody could see how a task came to where it is."""
    task = a_task("Überweisung hängt", id="t", priority=Priority.HIGH, project="bank", instance_id="b")
    queries = await graph.of(
        an_instance("root", scope=Scope.GLOBAL),
        an_instance("a", status=InstanceStatus.PAUSED),
        an_instance("b"),
        an_instance("elsewhere"),
        task,
        a_task(id="other"),
        a_delegation("other", "elsewhere"),
        a_delegation(
            "t",
            "a",
            id="d1",
            source_instance_id="root",
            status=DelegationStatus.REJECTED,
            delegated_at=later(1),
            completed_at=later(2),
        ),
        a_delegation("t", "b", id="d2", delegation_type=DelegationType.MANUAL, delegated_at=later(3)),
    )
    assert await queries.delegation_chain("t") == Graph.of(
        [
            Node(Label.INSTANCE, "a", {"name": "a", "scope": "PROJECT", "status": "paused", "version": 1}),
            runs("b"),
            Node(Label.INSTANCE, "root", {"name": "root", "scope": "GLOBAL", "status": "running", "version": 1}),
            Node(
                Label.TASK,
                "t",
                {"title": task.title, "status": "pending", "priority": "high", "project": "bank", "version": 1},
            ),
        ],
        [
            Edge(
                EdgeType.DELEGATED_TO,
                "t",
                "a",
                {
                    "delegation_id": "d1",
                    "type": "routed",
                    "status": "rejected",
                    "delegated_at": later(1),
                    "completed_at": later(2),
                    "source_instance_id": "root",
                },
            ),
            Edge(
                EdgeType.DELEGATED_TO,
                "t",
                "b",
                {"delegation_id": "d2", "type": "manual", "status": "pending", "delegated_at": later(3)},
            ),
        ],
    )


async def test_a_task_that_went_to_an_instance_twice_has_both_delegations(graph: AskedGraph) -> None:
    """A task that came back would look as if it had been there once."""
    queries = await graph.of(
        an_instance("a"),
        a_task(id="t"),
        a_delegation("t", "a", id="d1", status=DelegationStatus.RECALLED),
        a_delegation("t", "a", id="d2"),
    )
    chain = await queries.delegation_chain("t")
    assert nodes(chain) == ["a", "t"]
    assert [edge.properties["delegation_id"] for edge in chain.edges] == ["d1", "d2"]


async def test_an_instance_that_is_gone_leaves_the_chain(graph: AskedGraph) -> None:
    """The chain would lead to an instance that nobody can look at."""
    await graph.of(
        an_instance("a"),
        an_instance("b"),
        a_task(id="t"),
        a_delegation("t", "a", id="d1", status=DelegationStatus.REJECTED),
        a_delegation("t", "b", id="d2", source_instance_id="a"),
    )
    async with graph.unit_of_work() as uow:
        await uow.instances.delete("a")
        await uow.commit()
    chain = await (await graph.settled()).delegation_chain("t")
    assert nodes(chain) == ["b", "t"]
    assert [dict(edge.properties) for edge in chain.edges] == [
        {"delegation_id": "d2", "type": "routed", "status": "pending", "delegated_at": later(0)}
    ]


async def test_a_task_that_was_never_delegated_is_alone(graph: AskedGraph) -> None:
    """A task in triage would look as if it weren't there."""
    queries = await graph.of(a_task(id="t"))
    assert await queries.delegation_chain("t") == Graph.of([plain("t")], [])


async def test_blocked_is_everything_that_waits_however_indirectly(graph: AskedGraph) -> None:
    """Whoever puts a task off wouldn't see all that is held up by it."""
    await graph.of(*tasks_waiting("z<", "a<z", "b<a", "c<a", "d<bc", "e<d", "x<z"))
    async with graph.unit_of_work() as uow:
        await uow.tasks.update(a_task(id="c", depends_on=("a",), status=TaskStatus.DONE))
        await uow.commit()
    found = await (await graph.settled()).blocked("a")
    assert nodes(found) == ["a", "b", "c", "d", "e"]
    assert edges(found) == [
        "b DEPENDS_ON a",
        "c DEPENDS_ON a",
        "d DEPENDS_ON b",
        "d DEPENDS_ON c",
        "e DEPENDS_ON d",
    ]
    assert {node.id: node.properties["status"] for node in found.nodes}["c"] == "done"


async def test_needed_is_everything_that_a_task_waits_for(graph: AskedGraph) -> None:
    """Whoever plans a task wouldn't see all that has to be done before."""
    queries = await graph.of(*tasks_waiting("z<", "a<z", "b<a", "c<a", "d<bc", "e<d", "x<z"))
    found = await queries.needed("d")
    assert nodes(found) == ["a", "b", "c", "d", "z"]
    assert edges(found) == [
        "a DEPENDS_ON z",
        "b DEPENDS_ON a",
        "c DEPENDS_ON a",
        "d DEPENDS_ON b",
        "d DEPENDS_ON c",
    ]
    assert await queries.needed("z") == Graph.of([plain("z")], [])


async def test_many_ways_to_a_task_are_walked_once(graph: AskedGraph) -> None:
    """Thirty diamonds in a row have a billion ways through them: the question would never be answered."""
    tasks = [a_task(id="000")]
    for n in range(1, 31):
        before = f"{n - 1:03}"
        sides = [a_task(id=f"{n:03}{side}", depends_on=(before,)) for side in "lr"]
        tasks += [*sides, a_task(id=f"{n:03}", depends_on=(f"{n:03}l", f"{n:03}r"))]
    queries = await graph.of(*tasks)
    for found in (await queries.blocked("000"), await queries.needed("030")):
        assert nodes(found) == sorted(task.id for task in tasks)
        assert len(found.edges) == 30 * 4


async def test_a_lineage_is_what_is_above_and_below_with_its_delegations(graph: AskedGraph) -> None:
    """Whoever looks at a subtask wouldn't see what it belongs to, nor who has its parts."""
    queries = await graph.of(
        an_instance("i"),
        an_instance("j"),
        an_instance("sender"),
        a_task(id="top"),
        a_task(id="mid", parent_task_id="top"),
        a_task(id="beside", parent_task_id="top"),
        a_task(id="low", parent_task_id="mid"),
        a_task(id="low2", parent_task_id="mid"),
        a_task(id="lowest", parent_task_id="low"),
        a_delegation("top", "i", id="d1", source_instance_id="sender"),
        a_delegation("lowest", "j", id="d2"),
        a_delegation("beside", "sender", id="d3"),
    )
    found = await queries.lineage("mid")
    assert nodes(found) == ["i", "j", "low", "low2", "lowest", "mid", "top"]
    assert edges(found) == [
        "lowest DELEGATED_TO j",
        "top DELEGATED_TO i",
        "low SUBTASK_OF mid",
        "low2 SUBTASK_OF mid",
        "lowest SUBTASK_OF low",
        "mid SUBTASK_OF top",
    ]
    found = await queries.lineage("low2")
    assert nodes(found) == ["i", "low2", "mid", "top"]


async def test_a_removed_task_is_gone_from_all_that_led_to_it(graph: AskedGraph) -> None:
    """Plans would go on waiting for a task that nobody can do any more."""
    await graph.of(*tasks_waiting("a<", "b<a", "c<b"), a_task(id="s", parent_task_id="b"))
    async with graph.unit_of_work() as uow:
        await uow.tasks.delete("b")
        await uow.commit()
    queries = await graph.settled()
    assert nodes(await queries.blocked("a")) == ["a"]
    assert nodes(await queries.needed("c")) == ["c"]
    assert nodes(await queries.lineage("s")) == ["s"]
    with pytest.raises(NotFound):
        await queries.blocked("b")


async def test_a_hierarchy_leads_from_an_instance_to_its_root(graph: AskedGraph) -> None:
    """Nobody could see whose an instance is."""
    queries = await graph.of(
        an_instance("root"),
        an_instance("mid", parent_id="root"),
        an_instance("leaf", parent_id="mid"),
        an_instance("beside", parent_id="mid"),
    )
    found = await queries.hierarchy("leaf")
    assert found == Graph.of(
        [runs("leaf"), runs("mid"), runs("root")],
        [Edge(EdgeType.CHILD_OF, "leaf", "mid"), Edge(EdgeType.CHILD_OF, "mid", "root")],
    )
    assert await queries.hierarchy("root") == Graph.of([runs("root")], [])


async def test_an_instance_that_moved_has_its_new_parents(graph: AskedGraph) -> None:
    """After a reorganisation people would be sent to whom they had before."""
    await graph.of(an_instance("old"), an_instance("new"), an_instance("leaf", parent_id="old"))
    async with graph.unit_of_work() as uow:
        await uow.instances.update(an_instance("leaf", parent_id="new"))
        await uow.commit()
    found = await (await graph.settled()).hierarchy("leaf")
    assert edges(found) == ["leaf CHILD_OF new"]


async def test_routing_patterns_are_the_active_ones_above_the_bound(graph: AskedGraph) -> None:
    """Whoever asks what sends tasks to an instance would be shown what doesn't, or miss what does."""
    queries = await graph.of(
        an_instance("a"),
        an_instance("b"),
        a_pattern("a", id="sure", confidence=0.9),
        a_pattern("a", id="just", confidence=0.5),
        a_pattern("a", id="off", confidence=0.9, is_active=False),
        a_pattern("b", id="other", confidence=0.9),
    )
    expected = Graph.of(
        [
            runs("a"),
            Node(Label.PATTERN, "sure", {"name": "goes to a", "confidence": 0.9, "is_active": True, "version": 1}),
        ],
        [Edge(EdgeType.ROUTES_TO, "sure", "a")],
    )
    assert await queries.routing_patterns("a", 0.5) == expected
    assert nodes(await queries.routing_patterns("a", 0.49)) == ["a", "just", "sure"]
    assert nodes(await queries.routing_patterns("a", 0.9)) == ["a"]


async def test_tags_co_occur_more_than_so_often(graph: AskedGraph) -> None:
    """Tags that always come together would be taken for unrelated, or the reverse."""
    queries = await graph.of(
        a_task(tags={"ui": True, "zürich": True, "ämter": True}),
        a_task(tags={"ui": "web", "zürich": True}),
        a_task(tags={"ui": True, "Zebra": True}),
        a_task(tags={"zürich": True, "ui": True}),
        a_task(tags={"alone": True}),
    )
    assert await queries.co_occurrence(2, 10) == Graph.of(
        [Node(Label.TAG, "ui", {"tasks": 4}), Node(Label.TAG, "zürich", {"tasks": 3})],
        [Edge(EdgeType.CO_OCCURS_WITH, "ui", "zürich", {"count": 3, "weight": 0.75})],
    )
    found = await queries.co_occurrence(0, 10)
    assert edges(found) == [
        "Zebra CO_OCCURS_WITH ui",
        "ui CO_OCCURS_WITH zürich",
        "ui CO_OCCURS_WITH ämter",
        "zürich CO_OCCURS_WITH ämter",
    ]
    assert [edge.properties["weight"] for edge in found.edges] == [1 / 4, 3 / 4, 1 / 4, 1 / 3]
    assert nodes(found) == ["Zebra", "ui", "zürich", "ämter"]


async def test_the_most_frequent_pairs_come_first_and_equals_by_name(graph: AskedGraph) -> None:
    """A short list would show other pairs each time, or not those that matter."""
    queries = await graph.of(
        a_task(tags={"b": True, "c": True, "ä": True}),
        a_task(tags={"c": True, "ä": True}),
        a_task(tags={"B": True, "x": True}),
    )
    assert edges(await queries.co_occurrence(0, 1)) == ["c CO_OCCURS_WITH ä"]
    assert edges(await queries.co_occurrence(0, 2)) == ["B CO_OCCURS_WITH x", "c CO_OCCURS_WITH ä"]
    assert edges(await queries.co_occurrence(0, 3)) == [
        "B CO_OCCURS_WITH x",
        "b CO_OCCURS_WITH c",
        "c CO_OCCURS_WITH ä",
    ]
    assert await queries.co_occurrence(2, 10) == Graph()


async def test_what_co_occurs_follows_what_tasks_become(graph: AskedGraph) -> None:
    """Counts would drift away from the tasks, a little with each edit."""
    a, b = a_task(tags={"x": True, "y": True}), a_task(tags={"x": True, "y": True})
    await graph.of(a, b)
    async with graph.unit_of_work() as uow:
        await uow.tasks.update(a_task(id=a.id, tags={"x": True, "z": True}))
        await uow.commit()
    await graph.settled()
    async with graph.unit_of_work() as uow:
        await uow.tasks.delete(b.id)
        await uow.commit()
    queries = await graph.settled()
    assert edges(await queries.co_occurrence(0, 10)) == ["x CO_OCCURS_WITH z"]
    assert await queries.tags() == (TagUse("x", 1, 0), TagUse("z", 1, 0))


async def test_tasks_that_come_back_most_often_come_first(graph: AskedGraph) -> None:
    """What nobody wants to have would go round and round unseen."""
    ways = {"once": "aba", "thrice": "ababa", "never": "abc", "same": "aa", "also": "bab"}
    await graph.of(*(an_instance(name) for name in "abcx"), *(a_task(id=id) for id in ways))
    async with graph.unit_of_work() as uow:
        for id, way in ways.items():
            for n, target in enumerate(way):
                source = "x" if id == "once" and n == 0 else None
                ended = DelegationStatus.RECALLED
                await uow.delegations.add(
                    a_delegation(
                        id, target, id=f"{id}{n}", source_instance_id=source, status=ended, delegated_at=later(n)
                    )
                )
        await uow.commit()
    queries = await graph.settled()
    assert nodes(await queries.ping_pong(3, 10)) == ["a", "b", "thrice"]
    assert nodes(await queries.ping_pong(1, 10)) == ["a", "b", "x", "also", "once", "same", "thrice"]
    assert nodes(await queries.ping_pong(1, 1)) == ["a", "b", "thrice"]
    assert nodes(await queries.ping_pong(1, 2)) == ["a", "b", "also", "thrice"]
    assert await queries.ping_pong(4, 10) == Graph()
    assert await queries.ping_pong(3, 10) == await queries.delegation_chain("thrice")


async def test_bottlenecks_are_what_most_open_tasks_wait_for(graph: AskedGraph) -> None:
    """Work would be done in any order while much of it waits for one task."""
    await graph.of(
        an_instance("i"),
        a_task(id="a", instance_id="i"),
        a_task(id="b"),
        *tasks_waiting("1<a", "2<ab", "3<2b", "4<a", "5<b"),
        a_task(id="over"),
        *tasks_waiting("6<a"),
    )
    async with graph.unit_of_work() as uow:
        await uow.tasks.update(a_task(id="4", depends_on=("a",), status=TaskStatus.DONE))
        await uow.tasks.update(a_task(id="6", depends_on=("a", "over"), status=TaskStatus.IN_PROGRESS))
        await uow.tasks.update(a_task(id="over", status=TaskStatus.CANCELLED))
        await uow.commit()
    queries = await graph.settled()
    found = await queries.bottlenecks(1)  # a and b hold up three each
    assert nodes(found) == ["i", "1", "2", "6", "a"]
    assert edges(found) == ["1 DEPENDS_ON a", "2 DEPENDS_ON a", "6 DEPENDS_ON a", "i MANAGES a"]
    assert {node.id: node.properties["version"] for node in found.nodes if node.label is Label.TASK} == {
        "1": 1,
        "2": 1,
        "6": 2,
        "a": 1,
    }
    found = await queries.bottlenecks(10)
    assert nodes(found) == ["i", "1", "2", "3", "5", "6", "a", "b"]
    assert edges(found) == [
        "1 DEPENDS_ON a",
        "2 DEPENDS_ON a",
        "2 DEPENDS_ON b",
        "3 DEPENDS_ON 2",
        "3 DEPENDS_ON b",
        "5 DEPENDS_ON b",
        "6 DEPENDS_ON a",
        "i MANAGES a",
    ]


async def test_nothing_waits_so_nothing_is_a_bottleneck(graph: AskedGraph) -> None:
    """A quiet shop would be shown troubles that it hasn't."""
    queries = await graph.of(a_task(), an_instance("i"))
    assert await queries.bottlenecks(10) == await queries.ping_pong(1, 10) == Graph()


async def test_tags_are_those_of_tasks_and_those_that_patterns_ask_for(graph: AskedGraph) -> None:
    """A pattern for a tag that is written otherwise on every task would never be noticed."""
    both = Criteria(any=("ui", "area=web", "area=app"), all=("ui", "Zeit"), none=("never",))
    queries = await graph.of(
        an_instance("a"),
        a_task(tags={"ui": True, "area": "web"}),
        a_task(tags={"ui": True, "ünlü": "ja=nein", "a=b": True}),
        a_pattern("a", tag_criteria=both),
        a_pattern("a", tag_criteria=Criteria(any=("ui",)), is_active=False),
        a_pattern("a", pattern_type=PatternType.TEXT, text_criteria=Criteria(any=("card",))),
    )
    assert await queries.tags() == (
        TagUse("Zeit", 0, 1),
        TagUse("a=b", 1, 0),
        TagUse("area", 1, 1),
        TagUse("ui", 2, 2),
        TagUse("ünlü", 1, 0),
    )


async def test_the_longest_tags_are_told_apart(graph: AskedGraph) -> None:
    """Two long tags that differ at their ends would be one."""
    one, other = "ß" * 199 + "a", "ß" * 199 + "b"
    queries = await graph.of(a_task(tags={one: "x" * 200, other: True}), a_task(tags={one: True}))
    assert await queries.tags() == (TagUse(one, 2, 0), TagUse(other, 1, 0))
    assert (await queries.co_occurrence(0, 10)).edges == (
        Edge(EdgeType.CO_OCCURS_WITH, one, other, {"count": 1, "weight": 0.5}),
    )


async def test_a_standing_is_what_an_instance_holds_and_how_it_went(graph: AskedGraph) -> None:
    """Who asks how an instance does would be told of another's work."""
    status = DelegationStatus
    ended = (status.COMPLETED, status.COMPLETED, status.REJECTED, status.RECALLED)
    queries = await graph.of(
        an_instance("busy"),
        an_instance("idle"),
        an_instance("unasked"),
        *(a_task(id=str(n), instance_id="busy") for n in range(2)),
        a_task(id="2", instance_id="busy", status=TaskStatus.DONE),
        a_task(id="3", instance_id="busy", status=TaskStatus.IN_PROGRESS),
        *(a_delegation("2", "busy", status=one) for one in ended),
        a_delegation("0", "busy"),
        a_delegation("3", "busy", status=status.ACCEPTED),
        a_delegation("3", "unasked", status=status.REJECTED),
    )
    assert await queries.standings(["busy", "gone", "idle"]) == {
        "busy": Standing(open_tasks=3, live=2, completed=2, rejected=1, recalled=1),
        "idle": Standing(),
    }
    assert await queries.standings([]) == {}


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("delegation_chain", "task"),
        ("blocked", "task"),
        ("needed", "task"),
        ("lineage", "task"),
        ("hierarchy", "instance"),
    ],
)
async def test_what_is_not_there_is_told_so(question: str, kind: str, graph: AskedGraph) -> None:
    """A mistyped id would look like a task on which nothing depends."""
    queries = await graph.of(an_instance("i"), a_task(id="t"))
    for absent in ("nobody", {"task": "i", "instance": "t"}[kind]):
        with pytest.raises(NotFound, match=f"no {kind} with the id '{absent}'"):
            await getattr(queries, question)(absent)


async def test_patterns_of_an_instance_that_is_not_there_are_not_asked_for(graph: AskedGraph) -> None:
    """A mistyped instance would look like one that no rule sends tasks to; a removed one's rules lead nowhere."""
    queries = await graph.of(a_pattern("gone"))
    with pytest.raises(NotFound, match="no instance with the id 'gone'"):
        await queries.routing_patterns("gone", 0.0)


async def test_an_empty_graph_has_no_tags(graph: AskedGraph) -> None:
    """A fresh installation's pages would fail."""
    queries: GraphQueries = await graph.settled()
    assert await queries.tags() == ()
    assert await queries.co_occurrence(0, 10) == Graph()
