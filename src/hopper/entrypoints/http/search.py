"""/search, and what is like a task."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from hopper.app.search import Found, SimilarTask, search, similar_tasks
from hopper.domain.query import QUERY_LENGTH, Mode
from hopper.domain.task import Priority, TaskStatus
from hopper.entrypoints.http.conventions import SEARCHING, ApiRequest, ApiRoute, Cursor, Limit, OnlyTag, PathId, reply
from hopper.entrypoints.http.problems import problems
from hopper.entrypoints.http.requests import Id
from hopper.ports.repositories import TaskFilter

router = APIRouter(route_class=ApiRoute, tags=["search"])


def _filter(
    status: TaskStatus | None = None,
    priority: Priority | None = None,
    project: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
    instance_id: Annotated[Id | None, Query()] = None,
    tag: OnlyTag = None,
    source: Annotated[str | None, Query(max_length=50, pattern=r"^[^\x00]*$")] = None,
) -> TaskFilter:
    return TaskFilter(
        status=status, priority=priority, project=project, instance_id=instance_id, tag=tag, source=source
    )


Filter = Annotated[TaskFilter, Depends(_filter)]


@router.get("/search", response_model=Found, responses=problems(409), openapi_extra=SEARCHING)
async def search_tasks(
    request: ApiRequest,
    q: Annotated[
        str,
        Query(
            min_length=1,
            max_length=QUERY_LENGTH,
            pattern=r"^[^\x00]*$",
            description='words, "phrases", beginnings*, -without, or',
        ),
    ],
    where: Filter,
    mode: Mode = Mode.HYBRID,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """Find tasks, the best first: by their words (`keyword`), their meaning (`semantic`), or both (`hybrid`)."""
    return reply(await search(q, mode, where, limit, cursor, ports=request.ports))


@router.get(
    "/tasks/{task_id}/similar",
    response_model=tuple[SimilarTask, ...],
    responses=problems(404, 409),
    openapi_extra=SEARCHING,
)
async def similar(task_id: PathId, request: ApiRequest, where: Filter, limit: Limit = 10) -> Response:
    """The tasks that mean nearly the same, the most alike first."""
    return reply(await similar_tasks(task_id, where, limit, ports=request.ports))
