"""/graph: how tasks, instances, patterns and tags hang together."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from hopper.app import graph
from hopper.domain.graph_answer_models import (
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
from hopper.domain.tag_hygiene import TagHygiene
from hopper.entrypoints.http.conventions import ApiRequest, ApiRoute, PathId, reply
from hopper.entrypoints.http.problems import problems

router = APIRouter(prefix="/graph", tags=["graph"], route_class=ApiRoute)

Limit = Annotated[int, Query(ge=1, le=5_000, description="How many entries at most, and as many edges.")]
Confidence = Annotated[float, Query(ge=0, le=1, allow_inf_nan=False, description="Only those that are surer.")]
MoreThan = Annotated[int, Query(alias="min", ge=0, le=1_000_000_000, description="Pairs on more tasks than so many.")]
AtLeast = Annotated[int, Query(alias="min", ge=1, le=1_000_000_000, description="Tasks that came back so often.")]


@router.get("/tasks/{task_id}/delegation-chain", response_model=DelegationChain, responses=problems(404))
async def delegation_chain(task_id: PathId, request: ApiRequest, limit: Limit = 500) -> Response:
    """How a task was handed on, in the order of time."""
    return reply(await graph.delegation_chain(task_id, limit, ports=request.ports))


@router.get("/tasks/{task_id}/blocked", response_model=Blocked, responses=problems(404))
async def blocked(task_id: PathId, request: ApiRequest, limit: Limit = 500) -> Response:
    """The tasks that depend on the task, however indirectly; the nearest first."""
    return reply(await graph.blocked(task_id, limit, ports=request.ports))


@router.get("/tasks/{task_id}/impact", response_model=Impact, responses=problems(404))
async def impact(task_id: PathId, request: ApiRequest, limit: Limit = 500) -> Response:
    """The open tasks that the task holds up, over all projects; the nearest first."""
    return reply(await graph.impact(task_id, limit, ports=request.ports))


@router.get("/tasks/{task_id}/critical-path", response_model=CriticalPath, responses=problems(404))
async def critical_path(task_id: PathId, request: ApiRequest, limit: Limit = 500) -> Response:
    """The longest chain of open tasks that ends with the task, in the order of work."""
    return reply(await graph.critical_path(task_id, limit, ports=request.ports))


@router.get("/tasks/{task_id}/lineage", response_model=Lineage, responses=problems(404))
async def lineage(task_id: PathId, request: ApiRequest, limit: Limit = 500) -> Response:
    """What a task is a part of and its parts, each with its delegations."""
    return reply(await graph.lineage(task_id, limit, ports=request.ports))


@router.get(
    "/instances/{instance_id}/hierarchy", response_model=Hierarchy, responses=problems(404), name="graph_hierarchy"
)
async def hierarchy(instance_id: PathId, request: ApiRequest, limit: Limit = 500) -> Response:
    """From the instance up to its root, both included."""
    return reply(await graph.hierarchy(instance_id, limit, ports=request.ports))


@router.get("/instances/{instance_id}/patterns", response_model=RoutingPatterns, responses=problems(404))
async def routing_patterns(
    instance_id: PathId, request: ApiRequest, min_confidence: Confidence = 0, limit: Limit = 500
) -> Response:
    """The active patterns that route to the instance, the surest first."""
    return reply(await graph.routing_patterns(instance_id, min_confidence, limit, ports=request.ports))


@router.get("/tags/co-occurrence", response_model=CoOccurrence, responses=problems())
async def co_occurrence(request: ApiRequest, more_than: MoreThan = 5, limit: Limit = 500) -> Response:
    """The tags that more than `min` tasks have both of, the most frequent pairs first."""
    return reply(await graph.co_occurrence(more_than, limit, ports=request.ports))


@router.get("/tags/hygiene", response_model=TagHygiene, responses=problems())
async def tag_hygiene(request: ApiRequest, limit: Limit = 500) -> Response:
    """Tags that probably mean the same, and tags that nobody needs."""
    return reply(await graph.hygiene(limit, ports=request.ports))


@router.get("/ping-pong", response_model=PingPong, responses=problems())
async def ping_pong(request: ApiRequest, at_least: AtLeast = 1, limit: Limit = 500) -> Response:
    """The tasks that came back at least `min` times to an instance that had them before, the worst first."""
    return reply(await graph.ping_pong(at_least, limit, ports=request.ports))


@router.get("/bottlenecks", response_model=Bottlenecks, responses=problems())
async def bottlenecks(request: ApiRequest, limit: Limit = 500) -> Response:
    """The open tasks for which most open tasks wait directly, and who holds them."""
    return reply(await graph.bottlenecks(limit, ports=request.ports))
