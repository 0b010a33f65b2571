"""What is worked out from the parts of the graph that traversals return."""

from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import NOW

from hopper.domain import graph_answers as answers
from hopper.domain.graph import Edge, EdgeType, Graph, Label, Node, Value

ALL = 500


def a_task_node(id: str, **fields: Value) -> Node:
    return Node(Label.TASK, id, {"title": f"Task {id}", "status": "pending", "version": 1, **fields})


def an_instance_node(id: str, **fields: Value) -> Node:
    return Node(
        Label.INSTANCE, id, {"name": id.title(), "scope": "PROJECT", "status": "running", "version": 1, **fields}
    )


def waits(text: str, **statuses: str) -> Graph:
    """`b>a c>b`: b depends on a, and c on b; all are pending unless told otherwise."""
    pairs = [pair.split(">") for pair in text.split()]
    ids = {id for pair in pairs for id in pair}
    return Graph.of(
        [a_task_node(id, status=statuses.get(id, "pending")) for id in ids],
        [Edge(EdgeType.DEPENDS_ON, source, target) for source, target in pairs],
    )


def handed(task: str, to: str, minutes: float, came_from: str | None = None, **fields: Value) -> Edge:
    at: dict[str, Value] = {"delegated_at": NOW + timedelta(minutes=minutes)}
    source: dict[str, Value] = {"source_instance_id": came_from} if came_from else {}
    named: dict[str, Value] = {"delegation_id": f"{task}-{minutes}", "type": "manual", "status": "completed"}
    return Edge(EdgeType.DELEGATED_TO, task, to, named | at | source | fields)


def test_a_chain_goes_on_in_the_order_of_time() -> None:
    """Who had the task when could not be told."""
    graph = Graph.of(
        [a_task_node("t"), an_instance_node("a"), an_instance_node("b")],
        [handed("t", "a", 10, "b", status="accepted"), handed("t", "b", 0, completed_at=NOW)],
    )
    chain = answers.delegation_chain(graph, "t", ALL)
    assert [(hop.source_name, hop.target_name, hop.status) for hop in chain.hops] == [
        (None, "B", "completed"),
        ("B", "A", "accepted"),
    ]
    assert (chain.total, chain.truncated) == (2, False)
    assert {node.id for node in chain.nodes} == {"t", "a", "b"}
    first = answers.delegation_chain(graph, "t", 1)
    assert (len(first.hops), len(first.edges), first.total, first.truncated) == (1, 1, 2, True)
    assert {node.id for node in first.nodes} == {"t", "b"}


def test_what_is_blocked_has_its_shortest_distance() -> None:
    """A near consequence would look far off, or be told twice."""
    found = answers.blocked(waits("b>a c>b d>c d>a", b="done"), "a", ALL)
    assert [(task.id, task.depth) for task in found.tasks] == [("b", 1), ("d", 1), ("c", 2)]
    assert found.total == 3
    assert len(found.edges) == 4


def test_a_limit_shows_the_nearest_and_how_each_is_reached() -> None:
    """A page would draw tasks that hang in the air, or a thousand of them."""
    found = answers.blocked(waits("b>a c>b d>c d>b d>a e>d"), "a", 2)
    assert [task.id for task in found.tasks] == ["b", "d"]
    assert (found.total, found.truncated) == (4, True)
    assert {(edge.source, edge.target) for edge in found.edges} == {("b", "a"), ("d", "a")}
    assert [node.id for node in found.nodes] == ["a", "b", "d"]


def test_only_open_tasks_pass_a_delay_on() -> None:
    """A finished task would seem to hold up others, or to be held up."""
    graph = waits("b>a c>b d>a e>d", b="done", d="in_progress")
    found = answers.impact(graph, "a", ALL)
    assert [(task.id, task.depth) for task in found.tasks] == [("d", 1), ("e", 2)]
    assert (found.total, found.depth) == (2, 2)
    done = answers.impact(waits("b>a", a="done"), "a", ALL)
    assert (done.total, done.depth, done.tasks, done.edges, done.by_project) == (0, 0, (), (), ())
    assert [node.id for node in done.nodes] == ["a"]


def test_an_impact_is_counted_by_project_also_beyond_the_limit() -> None:
    """Those whom a delay hits hardest would not be told."""
    edges = [Edge(EdgeType.DEPENDS_ON, id, "a") for id in "bcde"]
    nodes = [
        a_task_node("a"),
        a_task_node("b"),
        *(a_task_node(id, project="web") for id in "cd"),
        a_task_node("e", project="app"),
    ]
    found = answers.impact(Graph.of(nodes, edges), "a", 1)
    assert [(one.project, one.tasks) for one in found.by_project] == [("web", 2), ("app", 1), (None, 1)]


def test_the_critical_path_is_the_longest_chain_of_open_work() -> None:
    """A plan would rest on a chain that isn't the one that takes longest."""
    graph = waits("z>a z>c c>b b>a z>d d>e e>f f>g", e="done")
    path = answers.critical_path(graph, "z", ALL)
    assert [task.id for task in path.tasks] == ["a", "b", "c", "z"]
    assert (path.total, path.needed) == (4, 4)
    assert [(edge.source, edge.target) for edge in path.edges] == [("b", "a"), ("c", "b"), ("z", "c")]


def test_of_equal_chains_the_one_with_smaller_ids_is_told() -> None:
    """Two servers would give two answers."""
    path = answers.critical_path(waits("z>n z>m n>a m>b m>c"), "z", ALL)
    assert [task.id for task in path.tasks] == ["b", "m", "z"]


def test_a_limited_path_shows_its_end() -> None:
    """What is next to the task is what its owner knows."""
    path = answers.critical_path(waits("z>c c>b b>a"), "z", 2)
    assert ([task.id for task in path.tasks], path.total, path.truncated) == (["c", "z"], 4, True)
    assert [(edge.source, edge.target) for edge in path.edges] == [("z", "c")]


def test_nothing_is_left_to_do_for_a_task_that_is_done() -> None:
    """A finished task would be given a plan."""
    path = answers.critical_path(waits("z>a", z="done"), "z", ALL)
    assert (path.tasks, path.total, path.needed, path.edges) == ((), 0, 0, ())
    assert [node.id for node in path.nodes] == ["z"]


def test_a_lineage_has_both_directions_with_delegations() -> None:
    """A part would be shown without what it is a part of, or who was given it."""
    edges = [Edge(EdgeType.SUBTASK_OF, child, parent) for child, parent in ("ba", "cb", "db")]
    graph = Graph.of(
        [*map(a_task_node, "abcd"), an_instance_node("i")], [*edges, handed("c", "i", 5), handed("c", "i", 1)]
    )
    found = answers.lineage(graph, "b", ALL)
    assert [(one.id, one.depth) for one in found.ancestors] == [("a", 1)]
    assert [(one.id, one.depth) for one in found.descendants] == [("c", 1), ("d", 1)]
    assert [hop.delegation_id for hop in found.descendants[0].delegations] == ["c-1", "c-5"]
    assert (found.total_ancestors, found.total_descendants, len(found.edges)) == (1, 2, 5)
    assert answers.lineage(graph, "b", 1).truncated


def test_a_hierarchy_goes_from_the_instance_to_its_root() -> None:
    """Nobody would know who stands above."""
    graph = Graph.of(
        [an_instance_node(id) for id in ("leaf", "mid", "root")],
        [Edge(EdgeType.CHILD_OF, "leaf", "mid"), Edge(EdgeType.CHILD_OF, "mid", "root")],
    )
    found = answers.hierarchy(graph, "leaf", ALL)
    assert [one.id for one in found.instances] == ["leaf", "mid", "root"]
    alone = answers.hierarchy(Graph.of([an_instance_node("root")], []), "root", ALL)
    assert [one.id for one in alone.instances] == ["root"]
    assert answers.hierarchy(graph, "leaf", 2).truncated


def test_a_task_and_an_instance_may_share_an_id() -> None:
    """The wrong one would be drawn."""
    graph = Graph.of([a_task_node("same"), an_instance_node("same")], [handed("same", "same", 0)])
    assert len(answers.delegation_chain(graph, "same", ALL).nodes) == 2
    assert answers.blocked(Graph.of([a_task_node("same"), an_instance_node("same")], []), "same", ALL).nodes == (
        a_task_node("same"),
    )


def test_patterns_come_the_surest_first() -> None:
    """The rule that counts would stand below those that don't."""
    rules = {"p": 0.5, "q": 0.9, "r": 0.5}
    nodes = [Node(Label.PATTERN, id, {"name": id, "confidence": sure}) for id, sure in rules.items()]
    graph = Graph.of([an_instance_node("i"), *nodes], [Edge(EdgeType.ROUTES_TO, id, "i") for id in rules])
    found = answers.routing_patterns(graph, "i", 2)
    assert [one.id for one in found.patterns] == ["q", "p"]
    assert (found.total, found.truncated, len(found.edges), len(found.nodes)) == (3, True, 2, 3)


def test_pairs_of_tags_come_the_most_frequent_first() -> None:
    """The strongest tie would be lost among weak ones."""
    counts = {("a", "b"): 2, ("a", "c"): 7, ("b", "c"): 2}
    graph = Graph.of(
        [Node(Label.TAG, id, {"tasks": 9}) for id in "abc"],
        [Edge(EdgeType.CO_OCCURS_WITH, *pair, {"count": count, "weight": 0.5}) for pair, count in counts.items()],
    )
    found = answers.co_occurrence(graph, 2)
    assert [(pair.tags, pair.count) for pair in found.pairs] == [(("a", "c"), 7), (("a", "b"), 2)]
    assert found.truncated
    assert not answers.co_occurrence(graph, 3).truncated


def test_what_comes_back_most_often_is_told_first() -> None:
    """The worst case would be overlooked."""
    graph = Graph.of(
        [a_task_node("t"), a_task_node("u"), an_instance_node("a"), an_instance_node("b")],
        [
            *(handed("t", to, at) for at, to in enumerate("aba")),
            *(handed("u", to, at) for at, to in enumerate("abab")),
        ],
    )
    found = answers.ping_pong(graph, ALL)
    assert [(task.id, task.returns, len(task.hops)) for task in found.tasks] == [("u", 2, 4), ("t", 1, 3)]
    assert answers.ping_pong(graph, 1).truncated


def test_a_bottleneck_has_who_waits_and_who_holds_it() -> None:
    """Nobody would know whom to ask."""
    graph = waits("b>a c>a d>b")
    graph = Graph.of([*graph.nodes, an_instance_node("i")], [*graph.edges, Edge(EdgeType.MANAGES, "i", "a")])
    found = answers.bottlenecks(graph, ALL)
    assert [(task.id, task.waiting, task.holder and task.holder.name) for task in found.tasks] == [
        ("a", 2, "I"),
        ("b", 1, None),
    ]
    first = answers.bottlenecks(graph, 1)
    assert ([task.id for task in first.tasks], first.truncated) == (["a"], True)


numbers = st.integers(0, 11)
graphs = st.tuples(
    st.sets(st.tuples(numbers, numbers).filter(lambda pair: pair[0] > pair[1]), max_size=30),
    st.dictionaries(numbers, st.sampled_from(["done", "in_progress", "cancelled"])),
    st.integers(1, 20),
)


def brute_force(needs: Mapping[str, set[str]], end: str) -> int:
    return 1 + max((brute_force(needs, one) for one in needs[end]), default=0)


@given(graphs)
def test_answers_hold_for_any_dependencies(drawn: tuple[set[tuple[int, int]], dict[int, str], int]) -> None:
    """A total would be wrong, an edge lead to nothing, or a chain not be the longest."""
    pairs, statuses, limit = drawn
    names = [f"{number:02}" for number in range(12)]
    graph = Graph.of(
        [a_task_node(name, status=statuses.get(number, "pending")) for number, name in enumerate(names)],
        [Edge(EdgeType.DEPENDS_ON, names[source], names[target]) for source, target in pairs],
    )
    is_open = {node.id for node in graph.nodes if node.properties["status"] in ("pending", "in_progress")}
    needs = {
        name: {names[target] for source, target in pairs if names[source] == name and names[target] in is_open}
        for name in names
    }
    for name in names:
        for answer in (answers.blocked(graph, name, limit), answers.impact(graph, name, limit)):
            shown = {node.id for node in answer.nodes}
            assert shown == {name} | {task.id for task in answer.tasks}
            assert len(answer.tasks) == min(limit, answer.total)
            assert len(answer.edges) <= limit
            assert {end for edge in answer.edges for end in (edge.source, edge.target)} <= shown
            assert shown == {name} | {edge.source for edge in answer.edges}
        path = answers.critical_path(graph, name, 100)
        assert path.total == (brute_force(needs, name) if name in is_open else 0)
        assert all(before.id in needs[after.id] for before, after in pairwise(path.tasks))


def test_a_chain_of_five_thousand_is_no_trouble() -> None:
    """A long history would end in an error, or take minutes."""
    ids = [f"{number:04}" for number in range(5_001)]
    graph = Graph.of(
        map(a_task_node, ids),
        [Edge(EdgeType.DEPENDS_ON, later, before) for before, later in pairwise(ids)],
    )
    assert answers.critical_path(graph, ids[-1], 10).total == 5_001
    assert answers.impact(graph, ids[0], 10).depth == 5_000


@pytest.mark.parametrize("limit", [1, 3])
def test_work_that_waits_for_itself_ends_no_answer(limit: int) -> None:
    """Hopper refuses cycles; a database that was written to otherwise must not make it hang."""
    graph = waits("b>a a>b c>b")
    assert answers.blocked(graph, "a", limit).total == 2
    assert answers.critical_path(graph, "c", limit).total == 0
