"""/patterns: the rules that route tasks."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from hopper.app import patterns
from hopper.domain.pattern import Pattern, PatternSource
from hopper.entrypoints.entities import fields_of
from hopper.entrypoints.http.conventions import (
    RETRYABLE,
    VERSIONED,
    ApiRequest,
    ApiRoute,
    Cursor,
    IdPart,
    Limit,
    PathId,
    reply,
)
from hopper.entrypoints.http.problems import problems
from hopper.entrypoints.http.requests import EditPattern, Id, NewPattern, TaskToMatch
from hopper.ports.repositories import Page

router = APIRouter(prefix="/patterns", tags=["patterns"], route_class=ApiRoute)


@router.post("", status_code=201, response_model=Pattern, responses=problems(409), openapi_extra=RETRYABLE)
async def create_pattern(body: NewPattern, request: ApiRequest) -> Response:
    """Add a manual pattern. It decides before anything learned."""
    pattern = await patterns.create_pattern(
        body.to_pattern(request.ports.clock.now()), ports=request.ports, retry=await request.retry()
    )
    return reply(pattern, 201, version=pattern.version, location=f"/api/v1/patterns/{pattern.id}")


@router.get("", response_model=Page[Pattern], responses=problems())
async def list_patterns(
    request: ApiRequest,
    target_instance: Annotated[Id | None, Query()] = None,
    is_active: bool | None = None,
    source: PatternSource | None = None,
    id: IdPart = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Patterns, oldest first."""
    async with request.ports.reading() as uow:
        found = await uow.patterns.list(
            limit, cursor, target_instance=target_instance, is_active=is_active, source=source, id_part=id
        )
    return reply(found)


@router.post("/match", response_model=patterns.Matched, responses=problems(404))
async def match_patterns(body: TaskToMatch, request: ApiRequest) -> Response:
    """Which patterns speak for a task, and which are nearest to it in meaning. Changes nothing."""
    task = body.to_task(request.ports.clock.now())
    if body.task_id:
        async with request.ports.reading() as uow:
            task = await uow.tasks.get(body.task_id)
    return reply(await patterns.match_patterns(task, ports=request.ports))


@router.get("/{pattern_id}", response_model=Pattern, responses=problems(404))
async def get_pattern(pattern_id: PathId, request: ApiRequest) -> Response:
    """One pattern with its record; its version is in the ETag."""
    async with request.ports.reading() as uow:
        pattern = await uow.patterns.get(pattern_id)
    return reply(pattern, version=pattern.version)


@router.patch("/{pattern_id}", response_model=Pattern, responses=problems(404, 409, 412), openapi_extra=VERSIONED)
async def edit_pattern(pattern_id: PathId, body: EditPattern, request: ApiRequest) -> Response:
    """Change the given fields; the record stays."""
    pattern = await patterns.edit_pattern(
        pattern_id, body.changes(), ports=request.ports, expected_version=request.expected_version
    )
    return reply(pattern, version=pattern.version)


@router.put("/{pattern_id}", response_model=Pattern, responses=problems(404, 409, 412), openapi_extra=VERSIONED)
async def replace_pattern(pattern_id: PathId, body: NewPattern, request: ApiRequest) -> Response:
    """Replace all that a person can say of a pattern; the record stays."""
    given = fields_of(body.to_pattern(request.ports.clock.now()))
    changes = {name: given[name] for name in EditPattern.model_fields}
    pattern = await patterns.edit_pattern(
        pattern_id, changes, ports=request.ports, expected_version=request.expected_version
    )
    return reply(pattern, version=pattern.version)


@router.delete("/{pattern_id}", status_code=204, responses=problems(404, 412), openapi_extra=VERSIONED)
async def delete_pattern(pattern_id: PathId, request: ApiRequest) -> None:
    """Remove a pattern; the decisions that it carried keep their factors."""
    await patterns.delete_pattern(pattern_id, ports=request.ports, expected_version=request.expected_version)
