"""What people ask of the graph: each question is one traversal, and what is worked out from it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence, Sized
from dataclasses import replace
from typing import TypeVar, cast

from hopper.domain import graph_answers as answers
from hopper.domain.errors import HopperError
from hopper.domain.graph import Graph, Standing
from hopper.domain.graph_answer_models import (
    Answer,
    AnsweredBy,
    Blocked,
    Bottlenecks,
    CoOccurrence,
    CriticalPath,
    DelegationChain,
    Hierarchy,
    Impact,
    Lineage,
    PingPong,
    RoutingPatterns,
)
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.tag_hygiene import TagHygiene, tag_hygiene
from hopper.ports import Ports
from hopper.ports.graph import GraphQueries
from hopper.ports.projections import GraphStamp

_LARGE = 500
"""Nodes, or tags, of which an answer is worked out in a thread: for fewer that costs more than it spares."""

_TRIES = 2
"""Of Neo4j, before PostgreSQL is asked: once more if somebody has written the graph since it was last asked."""

QUESTIONS = "graph questions"
"""The circuit of those who ask: one slow question says nothing of the writing."""

Found = TypeVar("Found")
Told = TypeVar("Told", bound=Answer | TagHygiene)


async def delegation_chain(task_id: TaskId, limit: int, *, ports: Ports) -> DelegationChain:
    """How the task was handed on, in the order of time."""
    return await _told(
        ("delegation_chain", task_id, limit),
        lambda graph: graph.delegation_chain(task_id),
        lambda part: answers.delegation_chain(part, task_id, limit),
        ports,
    )


async def blocked(task_id: TaskId, limit: int, *, ports: Ports) -> Blocked:
    """What depends on the task, however indirectly."""
    return await _told(
        ("blocked", task_id, limit),
        lambda graph: graph.blocked(task_id),
        lambda part: answers.blocked(part, task_id, limit),
        ports,
    )


async def impact(task_id: TaskId, limit: int, *, ports: Ports) -> Impact:
    """The open tasks that the task holds up, over all projects."""
    return await _told(
        ("impact", task_id, limit),
        lambda graph: graph.blocked(task_id),
        lambda part: answers.impact(part, task_id, limit),
        ports,
    )


async def critical_path(task_id: TaskId, limit: int, *, ports: Ports) -> CriticalPath:
    """The longest chain of open tasks that must be done for the task to be done."""
    return await _told(
        ("critical_path", task_id, limit),
        lambda graph: graph.needed(task_id),
        lambda part: answers.critical_path(part, task_id, limit),
        ports,
    )


async def lineage(task_id: TaskId, limit: int, *, ports: Ports) -> Lineage:
    """What the task is a part of and its parts, with the delegations of each."""
    return await _told(
        ("lineage", task_id, limit),
        lambda graph: graph.lineage(task_id),
        lambda part: answers.lineage(part, task_id, limit),
        ports,
    )


async def hierarchy(instance_id: InstanceId, limit: int, *, ports: Ports) -> Hierarchy:
    """From the instance up to its root."""
    return await _told(
        ("hierarchy", instance_id, limit),
        lambda graph: graph.hierarchy(instance_id),
        lambda part: answers.hierarchy(part, instance_id, limit),
        ports,
    )


async def routing_patterns(
    instance_id: InstanceId, min_confidence: float, limit: int, *, ports: Ports
) -> RoutingPatterns:
    """The active patterns that route to the instance with a confidence above the bound."""
    return await _told(
        ("routing_patterns", instance_id, min_confidence, limit),
        lambda graph: graph.routing_patterns(instance_id, min_confidence),
        lambda part: answers.routing_patterns(part, instance_id, limit),
        ports,
    )


async def co_occurrence(more_than: int, limit: int, *, ports: Ports) -> CoOccurrence:
    """The tags that more than so many tasks have both of."""
    return await _told(
        ("co_occurrence", more_than, limit),
        lambda graph: graph.co_occurrence(more_than, limit + 1),
        lambda part: answers.co_occurrence(part, limit),
        ports,
    )


async def ping_pong(at_least: int, limit: int, *, ports: Ports) -> PingPong:
    """The tasks that came back at least so many times to who had them before."""
    return await _told(
        ("ping_pong", at_least, limit),
        lambda graph: graph.ping_pong(at_least, limit + 1),
        lambda part: answers.ping_pong(part, limit),
        ports,
    )


async def bottlenecks(limit: int, *, ports: Ports) -> Bottlenecks:
    """The open tasks for which most others wait."""
    return await _told(
        ("bottlenecks", limit),
        lambda graph: graph.bottlenecks(limit + 1),
        lambda part: answers.bottlenecks(part, limit),
        ports,
    )


async def hygiene(limit: int, *, ports: Ports) -> TagHygiene:
    """Which tags probably mean the same, and which nobody needs."""
    return await _told(("hygiene", limit), lambda graph: graph.tags(), lambda tags: tag_hygiene(tags, limit), ports)


async def _told(
    key: tuple[object, ...],
    question: Callable[[GraphQueries], Awaitable[Found]],
    answer: Callable[[Found], Told],
    ports: Ports,
) -> Told:
    """The answer to a question, kept under its key until the graph changes."""
    if ports.asker.within:  # of what is inside, which others' answers tell more of
        async with ports.reading() as uow:
            found = await question(uow.graph)
            return replace(await _worked_out(answer, found), answered_by=AnsweredBy.POSTGRESQL)
    kept = ports.memory.graph_answers
    if key in kept and (told := kept.find(key, (await _stamp(ports)).changes)):
        return cast(Told, told)
    by = AnsweredBy.NEO4J
    if (in_neo4j := await _found_in_neo4j(question, ports)) is not None:
        found, stamp = in_neo4j
    else:
        async with ports.reading() as uow:
            stamp = await uow.projections.graph_stamp()
            by = stamp.truth
            found = await question(uow.graph)
    told = replace(await _worked_out(answer, found), answered_by=by)
    kept.keep(key, stamp.changes, told, size=told.size)
    return told


async def _worked_out(answer: Callable[[Found], Told], found: Found) -> Told:
    """Of a large part of the graph beside what else the server does."""
    size = len(found.nodes) if isinstance(found, Graph) else len(found) if isinstance(found, Sized) else 0
    return await asyncio.to_thread(answer, found) if size > _LARGE else answer(found)


async def _found_in_neo4j(
    question: Callable[[GraphQueries], Awaitable[Found]], ports: Ports
) -> tuple[Found, GraphStamp] | None:
    """What a traversal finds in the graph database, if that has everything now.

    Its number was known in PostgreSQL before the question was asked, it has that number, and afterwards that is still
    the last one and nothing waits. So what was found is the truth of the stamp: whoever wrote in between, be it half of
    it, leaves in the queue what he took from there until his own number is known. What Neo4j doesn't know PostgreSQL
    may, and one that was emptied has no number.
    """
    circuit = ports.circuits[QUESTIONS]
    if not (ports.graph and circuit.admits()):
        return None
    for _ in range(_TRIES):
        applied = ports.memory.graph_applied
        if applied is None:
            applied = _remembered(await _stamp(ports), ports)
            if applied is None:
                return None
        graph = ports.graph()
        try:
            with circuit.watching():
                found = await question(graph)
        except HopperError:
            return None
        stamp = await _stamp(ports)
        if _remembered(stamp, ports) == applied:
            return (found, stamp) if graph.position == applied else None
    return None


def _remembered(stamp: GraphStamp, ports: Ports) -> int | None:
    ports.memory.graph_applied = stamp.applied if stamp.is_current else None
    return ports.memory.graph_applied


async def standings(instance_ids: Sequence[InstanceId], *, ports: Ports) -> Mapping[InstanceId, Standing]:
    """How these instances do."""
    in_neo4j = await _found_in_neo4j(lambda graph: graph.standings(instance_ids), ports)
    if in_neo4j is not None:
        return in_neo4j[0]
    async with ports.reading() as uow:
        return await uow.graph.standings(instance_ids)


async def _stamp(ports: Ports) -> GraphStamp:
    async with ports.reading() as uow:
        return await uow.projections.graph_stamp()
