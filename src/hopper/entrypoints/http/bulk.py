"""/tasks/bulk: many tasks as NDJSON, read as they come in."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated
from uuid import UUID, uuid5

from fastapi import APIRouter, Query, Response
from starlette.exceptions import HTTPException

from hopper.app import imports
from hopper.entrypoints.http.answers import Imported
from hopper.entrypoints.http.conventions import RETRYABLE, ApiRequest, ApiRoute, reply
from hopper.entrypoints.http.inside import placed
from hopper.entrypoints.http.moving_requests import read_row
from hopper.entrypoints.http.problems import problems

_KINDS = {"application/x-ndjson", "application/jsonl"}
"""A web page can't send these to another site's server without asking it first."""

_SPACE = UUID("0198c0de-52b1-7e6a-8f04-9a3d7c15e2b8")

router = APIRouter(prefix="/tasks", tags=["tasks"], route_class=ApiRoute)


@router.post(
    "/bulk",
    response_model=Imported,
    responses=problems(415),
    openapi_extra={
        **RETRYABLE,
        "requestBody": {
            "required": True,
            "content": {"application/x-ndjson": {"schema": {"type": "string"}, "example": '{"title": "A task"}\n'}},
        },
    },
)
async def import_tasks(
    request: ApiRequest,
    atomic: Annotated[bool, Query(description="All lines or none.")] = False,
    dry_run: Annotated[bool, Query(description="Say what would be filed, and file nothing.")] = False,
) -> Response:
    """File many tasks, one JSON object a line. A line with an `id` that is there already is left as it is."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in _KINDS:
        raise HTTPException(415, "The lines need the Content-Type application/x-ndjson.")
    report = await imports.import_tasks(_rows(request), atomic=atomic, ports=request.ports, dry_run=dry_run)
    return reply(Imported.of(report))


async def _rows(request: ApiRequest) -> AsyncIterator[imports.Row | imports.Rejected]:
    """The lines of the body as they come in; the Idempotency-Key gives ids to those without one."""
    key, longest = request.idempotency_key, request.app.state.longest_line
    key = f"{request.asker.key_id}@{key}" if key else None
    number = 0
    async for line in _lines(request, longest):
        number += 1
        if number % imports.BATCH == 0:
            await asyncio.sleep(0)  # other requests get their turn, whatever the lines are
        if len(line) > longest:
            yield imports.Rejected(number, None, f"A line has at most {longest:,} bytes.")
            continue
        if not line.strip():
            continue
        id = str(uuid5(_SPACE, f"{key}:{number}")) if key else None
        row = read_row(number, line, request.ports.clock.now(), id)
        yield replace(row, task=placed(row.task, request.asker)) if isinstance(row, imports.Row) else row


async def _lines(request: ApiRequest, longest: int) -> AsyncIterator[bytearray]:
    """The lines of the body as they come in; of one that is longer than `longest` bytes just enough to tell."""
    line = bytearray()
    async for chunk in request.stream():
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            line += end
            yield line
            line = bytearray()
        if len(line) <= longest:
            line += rest
    if line:
        yield line
