"""/tasks/import: tasks from elsewhere that follow their source."""

from fastapi import APIRouter, Response

from hopper.entrypoints.http.answers import TakenOver
from hopper.entrypoints.http.conventions import ApiRequest, ApiRoute, reply
from hopper.entrypoints.http.moving_requests import Import
from hopper.entrypoints.http.problems import problems

router = APIRouter(prefix="/tasks", tags=["tasks"], route_class=ApiRoute)


@router.post("/import", response_model=TakenOver, responses=problems())
async def import_records(body: Import, request: ApiRequest) -> Response:
    """Have tasks follow records of another program. What was changed here stays; sent again, it changes nothing."""
    return reply(TakenOver(await body.taken_over(request.ports)))
