"""What people ask of the graph: each question is one traversal, and what is worked out from it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from hopper.domain import graph_answers as answers
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

Found = TypeVar("Found")
Told = TypeVar("Told", bound=Answer | TagHygiene)


async def delegation_chain(task_id: TaskId, limit: int, *, ports: Ports) -> DelegationChain:
    """How the task was handed on, in the order of time."""
    return await _told(
        ports,
        lambda graph: graph.delegation_chain(task_id),
        lambda part: answers.delegation_chain(part, task_id, limit),
    )


async def blocked(task_id: TaskId, limit: int, *, ports: Ports) -> Blocked:
    """What depends on the task, however indirectly."""
    return await _told(ports, lambda graph: graph.blocked(task_id), lambda part: answers.blocked(part, task_id, limit))


async def impact(task_id: TaskId, limit: int, *, ports: Ports) -> Impact:
    """The open tasks that the task holds up, over all projects."""
    return await _told(ports, lambda graph: graph.blocked(task_id), lambda part: answers.impact(part, task_id, limit))


async def critical_path(task_id: TaskId, limit: int, *, ports: Ports) -> CriticalPath:
    """The longest chain of open tasks that must be done for the task to be done."""
    return await _told(
        ports, lambda graph: graph.needed(task_id), lambda part: answers.critical_path(part, task_id, limit)
    )


async def lineage(task_id: TaskId, limit: int, *, ports: Ports) -> Lineage:
    """What the task is a part of and its parts, with the delegations of each."""
    return await _told(ports, lambda graph: graph.lineage(task_id), lambda part: answers.lineage(part, task_id, limit))


async def hierarchy(instance_id: InstanceId, limit: int, *, ports: Ports) -> Hierarchy:
    """From the instance up to its root."""
    return await _told(
        ports, lambda graph: graph.hierarchy(instance_id), lambda part: answers.hierarchy(part, instance_id, limit)
    )


async def routing_patterns(
    instance_id: InstanceId, min_confidence: float, limit: int, *, ports: Ports
) -> RoutingPatterns:
    """The active patterns that route to the instance with a confidence above the bound."""
    return await _told(
        ports,
        lambda graph: graph.routing_patterns(instance_id, min_confidence),
        lambda part: answers.routing_patterns(part, instance_id, limit),
    )


async def co_occurrence(more_than: int, limit: int, *, ports: Ports) -> CoOccurrence:
    """The tags that more than so many tasks have both of."""
    return await _told(
        ports,
        lambda graph: graph.co_occurrence(more_than, limit + 1),
        lambda part: answers.co_occurrence(part, limit),
    )


async def ping_pong(at_least: int, limit: int, *, ports: Ports) -> PingPong:
    """The tasks that came back at least so many times to who had them before."""
    return await _told(
        ports, lambda graph: graph.ping_pong(at_least, limit + 1), lambda part: answers.ping_pong(part, limit)
    )


async def bottlenecks(limit: int, *, ports: Ports) -> Bottlenecks:
    """The open tasks for which most others wait."""
    return await _told(ports, lambda graph: graph.bottlenecks(limit + 1), lambda part: answers.bottlenecks(part, limit))


async def hygiene(limit: int, *, ports: Ports) -> TagHygiene:
    """Which tags probably mean the same, and which nobody needs."""
    return await _told(ports, lambda graph: graph.tags(), lambda tags: tag_hygiene(tags, limit))


async def _told(
    ports: Ports, question: Callable[[GraphQueries], Awaitable[Found]], answer: Callable[[Found], Told]
) -> Told:
    """The answer to a question; of a large part of the graph it is worked out beside what else the server does."""
    found, answered_by = await _ask(ports, question)
    return replace(await asyncio.to_thread(answer, found), answered_by=answered_by)


async def _ask(ports: Ports, question: Callable[[GraphQueries], Awaitable[Found]]) -> tuple[Found, AnsweredBy]:
    """What a traversal finds, and in which store."""
    async with ports.reading() as uow:
        return await question(uow.graph), AnsweredBy.POSTGRESQL
