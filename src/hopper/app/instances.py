"""Making and changing the instances that tasks are routed to."""

from dataclasses import replace
from typing import Any

from hopper.app.retry import Retry
from hopper.domain.errors import Conflict, Cycle, Invalid
from hopper.domain.ids import InstanceId
from hopper.domain.instance import Instance
from hopper.ports import Ports
from hopper.ports.unit_of_work import UnitOfWork

_PAGE = 500


async def all_instances(uow: UnitOfWork) -> tuple[Instance, ...]:
    """Every one, however many, the oldest first."""
    found: list[Instance] = []
    cursor = None
    while True:
        page = await uow.instances.list(_PAGE, cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return tuple(found)


async def create_instance(instance: Instance, *, ports: Ports, retry: Retry | None = None) -> Instance:
    """Add an instance; with a retry key, the one that the first try made."""
    async with ports.unit_of_work() as uow:
        if retry:
            earlier = await uow.idempotency.begin(retry.key, retry.fingerprint, instance.id, ports.clock.now())
            if earlier:
                return await uow.instances.get(earlier)
        await uow.instances.add(instance)
        await uow.commit()
    return instance


async def edit_instance(
    instance_id: InstanceId, changes: dict[str, Any], *, ports: Ports, expected_version: int | None = None
) -> Instance:
    """Change some of an instance's fields; its tree stays a tree."""
    async with ports.unit_of_work() as uow:
        parent = changes.get("parent_id")
        if parent:
            await uow.instances.lock_structure()
            if await uow.instances.missing([parent]):
                raise Invalid("parent_id", f"There is no instance with the id {parent!r}.")
            if instance_id in {above.id for above in await uow.instances.hierarchy(parent)}:
                raise Cycle(f"The instance {parent!r} is below {instance_id!r} and can't be its parent.")
        before = await uow.instances.get_for_update(instance_id)
        after = await uow.instances.update(replace(before, **changes), expected_version)
        await uow.commit()
    return after


async def delete_instance(instance_id: InstanceId, *, ports: Ports, expected_version: int | None = None) -> None:
    """Remove an instance that holds no tasks and has no children; its patterns are switched off."""
    async with ports.unit_of_work() as uow:
        await uow.instances.get_for_update(instance_id)
        held = await uow.instances.held_tasks(instance_id)
        if held:
            raise Conflict(
                f"The instance {instance_id!r} still has {held} tasks. Delegate the open ones to another instance and "
                "delete the finished ones first; or stop the instance: it is then never chosen again."
            )
        if await uow.instances.children(instance_id):
            raise Conflict(f"The instance {instance_id!r} has children. Move or delete them first.")
        await uow.instances.delete(instance_id, expected_version)
        await uow.patterns.deactivate_for(instance_id)
        await uow.commit()
