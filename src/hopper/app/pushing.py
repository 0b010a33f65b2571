"""Tasks of this instance that a person hands to one on a server, and what becomes of them there.

A task that is pushed is linked to its copy first: an origin whose source is the server's address and whose external id
is the copy's id, made up here. So a push can be repeated, whatever was lost of it, and each side then follows the other
as an import follows its source (app.moving): field by field, and what was changed on both sides stays as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hopper.app.moving import take_over
from hopper.domain.errors import Invalid
from hopper.domain.ids import InstanceId, TaskId, new_id
from hopper.domain.moving import Origin, Outcome, Record, digest, flat, in_order
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.ports.unit_of_work import UnitOfWork

SOURCE = "local"
"""What a copy names as its source; its source_instance_id is the instance that it came from."""

_MOST_INSTANCES = 1_000


@dataclass(frozen=True, slots=True)
class Link:
    """A task here, and the id of its copy on a server."""

    task_id: TaskId
    server_task_id: TaskId


async def link(task_ids: Sequence[TaskId], server: str, *, ports: Ports) -> tuple[Record, ...]:
    """Link the tasks to the server, once each; returns all that is to be sent of them, prerequisites first.

    They refer to one another, and to what was pushed there before; other references stay here. Raises NotFound.
    """
    async with ports.unit_of_work() as uow:
        tasks = [await uow.tasks.get_for_update(id) for id in dict.fromkeys(task_ids)]
        copies = {origin.task_id: origin.external_id for origin in await uow.origins.of_source(server)}
        new = [task for task in tasks if task.id not in copies]
        copies |= {task.id: new_id() for task in new}
        if new:
            await uow.origins.put(server, [Origin(copies[task.id], task.id, _said(task)) for task in new])
        own = await _own_instance(uow)
        await uow.commit()
    return tuple(in_order([_record(task, copies, own) for task in tasks]))


async def links(server: str, *, ports: Ports) -> tuple[Link, ...]:
    """Which tasks here were pushed to the server."""
    async with ports.reading() as uow:
        origins = await uow.origins.of_source(server)
        there = {task.id for task in await uow.tasks.get_many([origin.task_id for origin in origins])}
    return tuple(Link(origin.task_id, origin.external_id) for origin in origins if origin.task_id in there)


async def follow(copies: Sequence[Record], server: str, *, ports: Ports) -> list[Outcome]:
    """Take over what has changed in the copies. What they refer to, and who holds them, is the server's own affair."""
    known = {link.server_task_id for link in await links(server, ports=ports)}
    if stranger := next((one.external_id for one in copies if one.external_id not in known), None):
        raise Invalid("external_id", f"No task here was pushed as {stranger!r}.")
    alone = [replace(one, parent=None, duplicate_of=None, depends_on=(), instance_id=None) for one in copies]
    return await take_over(alone, server, ports=ports)


def _said(task: Task) -> Mapping[str, str]:
    """As if the copy had said what is sent."""
    alone = replace(task, parent_task_id=None, duplicate_of=None, depends_on=())
    return {name: digest(value) for name, value in flat(alone, with_holder=False).items()}


def _record(task: Task, copies: Mapping[TaskId, TaskId], own: InstanceId | None) -> Record:
    return Record(
        external_id=copies[task.id],
        title=task.title,
        description=task.description,
        status=task.status,
        priority=task.priority,
        project=task.project,
        tags=task.tags,
        source=SOURCE,
        source_instance_id=own,
        parent=copies.get(task.parent_task_id or ""),
        duplicate_of=copies.get(task.duplicate_of or ""),
        depends_on=tuple(sorted(copies[id] for id in task.depends_on if id in copies)),
        created_at=task.created_at,
        updated_at=task.updated_at,
    )


async def _own_instance(uow: UnitOfWork) -> InstanceId | None:
    known = (await uow.instances.list(_MOST_INSTANCES, None)).items
    return next((one.id for one in known if one.parent_id is None), None)
