"""/healthz and /readyz."""

from fastapi import APIRouter, Response

from hopper.entrypoints.http.answers import Health
from hopper.entrypoints.http.conventions import ApiRequest, ApiRoute, problems, reply

router = APIRouter(tags=["health"], route_class=ApiRoute)


@router.get("/healthz", response_model=Health)
async def alive() -> Response:
    """The process answers."""
    return reply(Health("ok"))


@router.get("/readyz", response_model=Health, responses=problems())
async def ready(request: ApiRequest) -> Response:
    """The database answers, too."""
    async with request.ports.reading() as uow:
        await uow.instances.missing([])
    return reply(Health("ok"))
