"""/delegations: what the target says to a task that was handed to it."""

from fastapi import APIRouter, Response

from hopper.app import lifecycle
from hopper.domain.delegation import Delegation
from hopper.entrypoints.http.conventions import ApiRequest, ApiRoute, PathId, reply
from hopper.entrypoints.http.inside import shown_delegation
from hopper.entrypoints.http.problems import problems
from hopper.entrypoints.http.tasks import Force

router = APIRouter(prefix="/delegations", tags=["delegations"], route_class=ApiRoute)


@router.post("/{delegation_id}/accept", response_model=Delegation, responses=problems(404, 409))
async def accept(delegation_id: PathId, request: ApiRequest) -> Response:
    """Take the task on."""
    delegation = await lifecycle.accept_delegation(delegation_id, ports=request.ports)
    return reply(await shown_delegation(delegation, request.ports))


@router.post("/{delegation_id}/reject", response_model=Delegation, responses=problems(404, 409))
async def reject(delegation_id: PathId, request: ApiRequest) -> Response:
    """Refuse the task: it goes back to who sent it, and the choice counts as wrong."""
    delegation = await lifecycle.reject_delegation(delegation_id, ports=request.ports)
    return reply(await shown_delegation(delegation, request.ports))


@router.post("/{delegation_id}/complete", response_model=Delegation, responses=problems(404, 409))
async def complete(delegation_id: PathId, request: ApiRequest, force: Force = False) -> Response:
    """The task is done."""
    delegation = await lifecycle.complete_delegation(delegation_id, ports=request.ports, force=force)
    return reply(await shown_delegation(delegation, request.ports))
