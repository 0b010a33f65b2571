"""/instances: who can take tasks, and their trees."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from hopper.app import instances
from hopper.domain.delegation import Delegation, DelegationStatus
from hopper.domain.instance import Instance, InstanceStatus, Scope
from hopper.domain.task import Task, TaskStatus
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
from hopper.entrypoints.http.inside import kept_instance, placed_below, shown_instance
from hopper.entrypoints.http.problems import problems
from hopper.entrypoints.http.requests import EditInstance, NewInstance
from hopper.ports.repositories import Page, TaskFilter

router = APIRouter(prefix="/instances", tags=["instances"], route_class=ApiRoute)


@router.post("", status_code=201, response_model=Instance, responses=problems(409), openapi_extra=RETRYABLE)
async def create_instance(body: NewInstance, request: ApiRequest) -> Response:
    """Add an instance. A running one is routed to from now on."""
    instance = placed_below(body.to_instance(request.ports.clock.now()), request.asker)
    instance = await instances.create_instance(instance, ports=request.ports, retry=await request.retry())
    return reply(instance, 201, version=instance.version, location=f"/api/v1/instances/{instance.id}")


@router.get("", response_model=Page[Instance], responses=problems())
async def list_instances(
    request: ApiRequest,
    scope: Scope | None = None,
    status: InstanceStatus | None = None,
    name: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
    id: IdPart = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Instances, oldest first."""
    async with request.ports.reading() as uow:
        return reply(await uow.instances.list(limit, cursor, scope=scope, status=status, name=name, id_part=id))


@router.get("/{instance_id}", response_model=Instance, responses=problems(404))
async def get_instance(instance_id: PathId, request: ApiRequest) -> Response:
    """One instance; its version is in the ETag."""
    async with request.ports.reading() as uow:
        instance = await uow.instances.get(instance_id)
    return reply(instance, version=instance.version)


@router.patch("/{instance_id}", response_model=Instance, responses=problems(404, 409, 412), openapi_extra=VERSIONED)
async def edit_instance(instance_id: PathId, body: EditInstance, request: ApiRequest) -> Response:
    """Change the given fields."""
    changes = kept_instance(instance_id, body.changes(), request.asker)
    instance = await instances.edit_instance(
        instance_id, changes, ports=request.ports, expected_version=request.expected_version
    )
    return reply(shown_instance(instance, request.asker), version=instance.version)


@router.put("/{instance_id}", response_model=Instance, responses=problems(404, 409, 412), openapi_extra=VERSIONED)
async def replace_instance(instance_id: PathId, body: NewInstance, request: ApiRequest) -> Response:
    """Replace all that a person can say of an instance."""
    given = fields_of(body.to_instance(request.ports.clock.now()))
    changes = kept_instance(instance_id, {name: given[name] for name in EditInstance.model_fields}, request.asker)
    instance = await instances.edit_instance(
        instance_id, changes, ports=request.ports, expected_version=request.expected_version
    )
    return reply(shown_instance(instance, request.asker), version=instance.version)


@router.delete("/{instance_id}", status_code=204, responses=problems(404, 409, 412), openapi_extra=VERSIONED)
async def delete_instance(instance_id: PathId, request: ApiRequest) -> None:
    """Remove an instance; refused while it holds tasks or has children."""
    await instances.delete_instance(instance_id, ports=request.ports, expected_version=request.expected_version)


@router.get("/{instance_id}/children", response_model=tuple[Instance, ...], responses=problems(404))
async def children(instance_id: PathId, request: ApiRequest) -> Response:
    """The instances directly below."""
    async with request.ports.reading() as uow:
        await uow.instances.get(instance_id)
        return reply(await uow.instances.children(instance_id))


@router.get("/{instance_id}/hierarchy", response_model=tuple[Instance, ...], responses=problems(404))
async def hierarchy(instance_id: PathId, request: ApiRequest) -> Response:
    """From the instance up to its root, both included."""
    async with request.ports.reading() as uow:
        return reply(await uow.instances.hierarchy(instance_id))


@router.get("/{instance_id}/tasks", response_model=Page[Task], responses=problems(404))
async def held_tasks(
    instance_id: PathId, request: ApiRequest, status: TaskStatus | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The tasks that the instance holds, newest first."""
    async with request.ports.reading() as uow:
        await uow.instances.get(instance_id)
        return reply(await uow.tasks.list(TaskFilter(instance_id=instance_id, status=status), limit, cursor))


@router.get("/{instance_id}/delegations", response_model=Page[Delegation], responses=problems(404))
async def delegations(
    instance_id: PathId,
    request: ApiRequest,
    status: DelegationStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """What was delegated to the instance, newest first."""
    async with request.ports.reading() as uow:
        await uow.instances.get(instance_id)
        return reply(await uow.delegations.to_instance(instance_id, limit, cursor, status))


def _add_switch(action: str, status: InstanceStatus, says: str) -> None:
    """POST /instances/{id}/<action>: all four only set a status, and setting it twice is no error."""

    async def switch(instance_id: PathId, request: ApiRequest) -> Response:
        instance = await instances.edit_instance(instance_id, {"status": status}, ports=request.ports)
        return reply(shown_instance(instance, request.asker), version=instance.version)

    router.add_api_route(
        f"/{{instance_id}}/{action}",
        switch,
        methods=["POST"],
        name=f"{action}_instance",
        summary=says,
        response_model=Instance,
        responses=problems(404),
    )


_add_switch("start", InstanceStatus.RUNNING, "Route to the instance from now on")
_add_switch("stop", InstanceStatus.STOPPED, "Route nothing to the instance any more")
_add_switch("pause", InstanceStatus.PAUSED, "Route nothing to the instance for a while")
_add_switch("resume", InstanceStatus.RUNNING, "Route to the instance again")
