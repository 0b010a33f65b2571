"""/tasks/bulk: many tasks as NDJSON, read as they come in."""

from collections.abc import AsyncIterator
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from hopper.app import imports
from hopper.entrypoints.http.answers import Imported, LineError
from hopper.entrypoints.http.conventions import ApiRequest, ApiRoute, problems, reply
from hopper.entrypoints.http.requests import TaskRow, first_problem
from hopper.ports.clock import Clock

router = APIRouter(prefix="/tasks", tags=["tasks"], route_class=ApiRoute)


@router.post(
    "/bulk",
    response_model=Imported,
    responses=problems(),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/x-ndjson": {"schema": {"type": "string"}, "example": '{"title": "A task"}\n'}},
        }
    },
)
async def import_tasks(
    request: ApiRequest,
    atomic: Annotated[bool, Query(description="All lines or none.")] = False,
) -> Response:
    """File many tasks, one JSON object a line. A line with an `id` that is there already is left as it is."""
    report = await imports.import_tasks(_rows(request, request.ports.clock), atomic=atomic, ports=request.ports)
    errors = tuple(LineError(e.line, e.field, e.detail) for e in sorted(report.errors, key=lambda e: e.line))
    return reply(Imported(report.created, report.unchanged, len(errors), errors))


async def _rows(request: Request, clock: Clock) -> AsyncIterator[imports.Row | imports.Rejected]:
    """The lines of the body as they come in."""
    number = 0
    async for line in _lines(request):
        number += 1
        if not line.strip():
            continue
        try:
            yield imports.Row(number, TaskRow.model_validate(orjson.loads(line)).to_task(clock.now()))
        except orjson.JSONDecodeError as error:
            yield imports.Rejected(number, None, f"This is not JSON: {error.msg}")
        except ValidationError as error:
            yield imports.Rejected(number, *first_problem(error))


async def _lines(request: Request) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in request.stream():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
    if rest:
        yield rest
