"""/healthz and /readyz."""

from typing import cast

from fastapi import APIRouter, Response

from hopper.app.readiness import ReadinessWatch
from hopper.entrypoints.http.answers import Health, Ready
from hopper.entrypoints.http.conventions import ApiRequest, ApiRoute, reply
from hopper.entrypoints.http.problems import problem, problems

router = APIRouter(tags=["health"], route_class=ApiRoute)


@router.get("/healthz", response_model=Health)
async def alive() -> Response:
    """The process answers."""
    return reply(Health("ok"))


@router.get("/readyz", response_model=Ready, responses=problems())
async def ready(request: ApiRequest) -> Response:
    """The database answers, too. Which of the parts is up, degraded or down, since when, and what to do."""
    found = await cast(ReadinessWatch, request.app.state.readiness).look()
    if not found.is_ready:
        return problem(503, "unavailable", found.advice, parts=found.parts)
    return reply(Ready(found.status, found.parts))
