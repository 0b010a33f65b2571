"""/tasks/claim and what a worker says of the task that it has claimed."""

from dataclasses import replace

from fastapi import APIRouter, Response

from hopper.app import leases
from hopper.domain.errors import NotFound
from hopper.domain.lease import Claim, Lease
from hopper.domain.task import Task
from hopper.entrypoints.http.conventions import RETRYABLE, ApiRequest, ApiRoute, PathId, reply
from hopper.entrypoints.http.inside import shown_task
from hopper.entrypoints.http.lease_requests import Heartbeat, NewClaim, Release
from hopper.entrypoints.http.problems import problems

router = APIRouter(prefix="/tasks", tags=["leases"], route_class=ApiRoute)

_NOTHING: dict[int | str, dict[str, str]] = {204: {"description": "Nothing is ready just now"}}


@router.post("/claim", response_model=Claim, responses={**problems(409), **_NOTHING}, openapi_extra=RETRYABLE)
async def claim_task(body: NewClaim, request: ApiRequest) -> Response:
    """Take the next ready task of an instance, for a while; no other worker gets it meanwhile."""
    claim = await leases.claim_task(
        body.instance_id, body.worker, body.duration, ports=request.ports, retry=await request.retry()
    )
    if claim is None:
        return Response(status_code=204)
    return reply(replace(claim, task=await shown_task(claim.task, request.ports)), version=claim.task.version)


@router.get("/{task_id}/lease", response_model=Lease, responses=problems(404))
async def get_lease(task_id: PathId, request: ApiRequest) -> Response:
    """Who works on the task, and until when; or who gave it back, until somebody else claims it."""
    async with request.ports.reading() as uow:
        lease = await uow.leases.find(task_id)
    if lease is None:
        raise NotFound("lease on a task", task_id)
    return reply(lease.shown())


@router.post("/{task_id}/heartbeat", response_model=Lease, responses=problems(404, 409))
async def heartbeat(task_id: PathId, body: Heartbeat, request: ApiRequest) -> Response:
    """Say that the work goes on: the lease lasts so long from now on."""
    return reply(await leases.heartbeat(task_id, body.proof, body.duration, ports=request.ports))


@router.post("/{task_id}/release", response_model=Task, responses=problems(404, 409))
async def release_task(task_id: PathId, body: Release, request: ApiRequest) -> Response:
    """Give the task back for another worker to claim."""
    task = await leases.release_task(task_id, body.proof, ports=request.ports, reason=body.reason)
    return reply(await shown_task(task, request.ports), version=task.version)
