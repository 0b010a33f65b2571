"""/learning and /search: what Hopper knows as a whole."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from hopper.domain.task import TaskStatus
from hopper.entrypoints.http.conventions import ApiRequest, ApiRoute, Cursor, Limit, problems, reply
from hopper.entrypoints.http.requests import Id
from hopper.ports.repositories import Page, Statistics, TaskFilter, TaskHit

router = APIRouter(route_class=ApiRoute)


@router.get("/learning/statistics", response_model=Statistics, responses=problems(), tags=["learning"])
async def statistics(request: ApiRequest) -> Response:
    """How many tasks, decisions and outcomes there are, and how often the choice was right."""
    async with request.ports.reading() as uow:
        return reply(await uow.episodes.statistics())


@router.get("/search", response_model=Page[TaskHit], responses=problems(), tags=["search"])
async def search(
    request: ApiRequest,
    q: Annotated[
        str, Query(min_length=1, max_length=1000, pattern=r"^[^\x00]*$", description='words, "phrases", -without, or')
    ],
    mode: Literal["keyword"] = "keyword",
    status: TaskStatus | None = None,
    instance_id: Annotated[Id | None, Query()] = None,
    tag: Annotated[str | None, Query(max_length=401, pattern=r"^[^\x00]*$", description="name or name=value")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """Find tasks by their words, the best first."""
    where = TaskFilter(status=status, instance_id=instance_id, tag=tag)
    async with request.ports.reading() as uow:
        return reply(await uow.tasks.search(q, where, limit, cursor))
