"""Tasks of this instance that a person hands to one on a server, and what becomes of them there.

A task that is pushed is linked to its copy first: an origin whose source is the server's id and whose external id is
the copy's id, made up here. So a push can be repeated, whatever was lost of it, and each side then follows the other
as an import follows its source (app.moving): field by field, and what was changed on both sides stays as it is. What is
sent has a time, and what is heard the state of the link before; so neither side takes for news what comes late.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hopper.app.instances import all_instances
from hopper.app.moving import take_over
from hopper.domain.errors import Invalid
from hopper.domain.ids import InstanceId, TaskId, new_id
from hopper.domain.moving import Origin, Outcome, Record, digest, flat, in_order
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.ports.unit_of_work import UnitOfWork

SOURCE = "local"
"""What a copy names as its source; its source_instance_id is the instance that it came from."""

_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Link:
    """A task here, and the id of its copy on a server; `state` is another one once more was sent or heard of it."""

    task_id: TaskId
    server_task_id: TaskId
    state: str


@dataclass(frozen=True, slots=True)
class Handed:
    """A task here, and what is to be sent of it."""

    task_id: TaskId
    record: Record


async def recognise(server: str, address: str, *, ports: Ports) -> None:
    """What was pushed to the address was pushed to this server, which may have others: that was how it was known."""
    async with ports.unit_of_work() as uow:
        if await uow.origins.of_source(address):
            await uow.origins.rename(address, server)
            await uow.commit()


async def link(task_ids: Sequence[TaskId], server: str, *, ports: Ports) -> tuple[Handed, ...]:
    """Link the tasks to the server, once each; returns all that is to be sent of them, prerequisites first.

    They refer to one another, and to what was pushed there before; other references stay here. Raises NotFound.
    """
    async with ports.unit_of_work() as uow:
        tasks = [await uow.tasks.get_for_update(id) for id in dict.fromkeys(task_ids)]
        known = {origin.task_id: origin for origin in await uow.origins.of_source(server)}
        sent = {task.id: _sent(task, known.get(task.id)) for task in tasks}
        news = [origin for id, origin in sent.items() if origin != known.get(id)]
        if news:
            await uow.origins.put(server, news)
        own = await _own_instance(uow)
        await uow.commit()
    copies = {id: origin.external_id for id, origin in {**known, **sent}.items()}
    tasks_of = {copy: id for id, copy in copies.items()}
    records = in_order([_record(task, copies, own, sent[task.id].as_of) for task in tasks])
    return tuple(Handed(tasks_of[record.external_id], record) for record in records)


async def links(server: str, *, ports: Ports) -> tuple[Link, ...]:
    """Which tasks here were pushed to the server."""
    async with ports.reading() as uow:
        origins = await uow.origins.of_source(server)
        there = {task.id for task in await uow.tasks.get_many([origin.task_id for origin in origins])}
    return tuple(Link(one.task_id, one.external_id, one.state) for one in origins if one.task_id in there)


async def follow(copies: Sequence[Record], server: str, states: Mapping[TaskId, str], *, ports: Ports) -> list[Outcome]:
    """Take over what has changed in the copies. What they refer to, and who holds them, is the server's own affair.

    `states` are those of the links, asked for before the copies were read: what was sent or heard since is newer.
    """
    known = {link.server_task_id for link in await links(server, ports=ports)}
    if stranger := next((one.external_id for one in copies if one.external_id not in known), None):
        raise Invalid("external_id", f"No task here was pushed as {stranger!r}.")
    alone = [replace(one, parent=None, duplicate_of=None, depends_on=(), instance_id=None) for one in copies]
    return await take_over(alone, server, ports=ports, states=states)


def _sent(task: Task, before: Origin | None) -> Origin:
    """The origin of a task that is sent now. News is later than all that was sent, whatever clocks and editors do."""
    said = _said(task)
    if before is None:
        return Origin(new_id(), task.id, said, task.updated_at)
    if before.as_of is None:
        return replace(before, as_of=task.updated_at)
    return replace(before, as_of=max(task.updated_at, before.as_of + _MOMENT if said != before.said else before.as_of))


def _said(task: Task) -> Mapping[str, str]:
    """As if the copy had said what is sent."""
    alone = replace(task, parent_task_id=None, duplicate_of=None, depends_on=())
    return {name: digest(value) for name, value in flat(alone, with_holder=False).items()}


def _record(task: Task, copies: Mapping[TaskId, TaskId], own: InstanceId | None, as_of: datetime | None) -> Record:
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
        updated_at=as_of,
    )


async def _own_instance(uow: UnitOfWork) -> InstanceId | None:
    return next((one.id for one in await all_instances(uow) if one.parent_id is None), None)
