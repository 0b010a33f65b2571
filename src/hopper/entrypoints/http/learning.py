"""/learning: what Hopper knows as a whole."""

from fastapi import APIRouter, Response

from hopper.entrypoints.http.conventions import ApiRequest, ApiRoute, problems, reply
from hopper.ports.repositories import Statistics

router = APIRouter(route_class=ApiRoute)


@router.get("/learning/statistics", response_model=Statistics, responses=problems(), tags=["learning"])
async def statistics(request: ApiRequest) -> Response:
    """How many tasks, decisions and outcomes there are, and how often the choice was right."""
    async with request.ports.reading() as uow:
        return reply(await uow.episodes.statistics())
