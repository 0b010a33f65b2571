"""/instances: who can take tasks, and their trees."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from hopper.app import instances
from hopper.domain.delegation import Delegation, DelegationStatus
from hopper.domain.instance import Instance, InstanceStatus, Scope
from hopper.domain.task import Task, TaskStatus
from hopper.entrypoints.http.conventions import (
    Cursor,
    ExpectedVersion,
    Limit,
    PathId,
    PortsOf,
    RetryKey,
    StrictRoute,
    fields_of,
    problems,
    reply,
)
from hopper.entrypoints.http.requests import EditInstance, NewInstance
from hopper.ports.repositories import Page, TaskFilter

router = APIRouter(prefix="/instances", tags=["instances"], route_class=StrictRoute)


@router.post("", status_code=201, response_model=Instance, responses=problems(409))
async def create_instance(body: NewInstance, ports: PortsOf, retry: RetryKey) -> Response:
    """Add an instance. A running one is routed to from now on."""
    instance = await instances.create_instance(body.to_instance(ports.clock.now()), ports=ports, retry=retry)
    return reply(instance, 201, version=instance.version, location=f"/api/v1/instances/{instance.id}")


@router.get("", response_model=Page[Instance], responses=problems())
async def list_instances(
    ports: PortsOf,
    scope: Scope | None = None,
    status: InstanceStatus | None = None,
    name: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Instances, oldest first."""
    async with ports.unit_of_work() as uow:
        return reply(await uow.instances.list(limit, cursor, scope=scope, status=status, name=name))


@router.get("/{instance_id}", response_model=Instance, responses=problems(404))
async def get_instance(instance_id: PathId, ports: PortsOf) -> Response:
    """One instance; its version is in the ETag."""
    async with ports.unit_of_work() as uow:
        instance = await uow.instances.get(instance_id)
    return reply(instance, version=instance.version)


@router.patch("/{instance_id}", response_model=Instance, responses=problems(404, 409, 412))
async def edit_instance(instance_id: PathId, body: EditInstance, ports: PortsOf, expected: ExpectedVersion) -> Response:
    """Change the given fields."""
    instance = await instances.edit_instance(instance_id, body.changes(), ports=ports, expected_version=expected)
    return reply(instance, version=instance.version)


@router.put("/{instance_id}", response_model=Instance, responses=problems(404, 409, 412))
async def replace_instance(
    instance_id: PathId, body: NewInstance, ports: PortsOf, expected: ExpectedVersion
) -> Response:
    """Replace all that a person can say of an instance."""
    given = fields_of(body.to_instance(ports.clock.now()))
    changes = {name: given[name] for name in EditInstance.model_fields}
    instance = await instances.edit_instance(instance_id, changes, ports=ports, expected_version=expected)
    return reply(instance, version=instance.version)


@router.delete("/{instance_id}", status_code=204, responses=problems(404, 409, 412))
async def delete_instance(instance_id: PathId, ports: PortsOf, expected: ExpectedVersion) -> None:
    """Remove an instance; refused while it holds tasks or has children."""
    await instances.delete_instance(instance_id, ports=ports, expected_version=expected)


@router.get("/{instance_id}/children", response_model=tuple[Instance, ...], responses=problems(404))
async def children(instance_id: PathId, ports: PortsOf) -> Response:
    """The instances directly below."""
    async with ports.unit_of_work() as uow:
        await uow.instances.get(instance_id)
        return reply(await uow.instances.children(instance_id))


@router.get("/{instance_id}/hierarchy", response_model=tuple[Instance, ...], responses=problems(404))
async def hierarchy(instance_id: PathId, ports: PortsOf) -> Response:
    """From the instance up to its root, both included."""
    async with ports.unit_of_work() as uow:
        return reply(await uow.instances.hierarchy(instance_id))


@router.get("/{instance_id}/tasks", response_model=Page[Task], responses=problems(404))
async def held_tasks(
    instance_id: PathId, ports: PortsOf, status: TaskStatus | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The tasks that the instance holds, newest first."""
    async with ports.unit_of_work() as uow:
        await uow.instances.get(instance_id)
        return reply(await uow.tasks.list(TaskFilter(instance_id=instance_id, status=status), limit, cursor))


@router.get("/{instance_id}/delegations", response_model=Page[Delegation], responses=problems(404))
async def delegations(
    instance_id: PathId,
    ports: PortsOf,
    status: DelegationStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """What was delegated to the instance, newest first."""
    async with ports.unit_of_work() as uow:
        await uow.instances.get(instance_id)
        return reply(await uow.delegations.to_instance(instance_id, limit, cursor, status))


def _add_switch(action: str, status: InstanceStatus, says: str) -> None:
    """POST /instances/{id}/<action>: all four only set a status, and setting it twice is no error."""

    async def switch(instance_id: PathId, ports: PortsOf) -> Response:
        instance = await instances.edit_instance(instance_id, {"status": status}, ports=ports)
        return reply(instance, version=instance.version)

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
