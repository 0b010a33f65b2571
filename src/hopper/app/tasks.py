"""Changing and removing tasks, with the rules that hold between them."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from hopper.app.lifecycle import finish
from hopper.domain.delegation import DelegationStatus
from hopper.domain.errors import Cycle, Invalid
from hopper.domain.ids import TaskId
from hopper.domain.task import Task, TaskStatus
from hopper.ports import Ports
from hopper.ports.unit_of_work import UnitOfWork


async def edit_task(
    task_id: TaskId, changes: dict[str, Any], *, ports: Ports, expected_version: int | None = None
) -> Task:
    """Change some of a task's fields.

    Setting the status to done completes the task; cancelling it, or giving it to another holder, recalls its
    delegation.
    """
    async with ports.unit_of_work() as uow:
        now = ports.clock.now()
        before = await uow.tasks.get_for_update(task_id)
        after = replace(before, **changes, updated_at=now)
        await _check_structure(before, after, uow)
        if after.status is TaskStatus.DONE and before.status is not TaskStatus.DONE:
            after = await finish(after, now, uow, expected_version=expected_version)
        else:
            if after.status is TaskStatus.CANCELLED or after.instance_id != before.instance_id:
                await _recall(task_id, now, uow)
            after = await uow.tasks.update(after, expected_version)
        await uow.commit()
    return after


async def delete_task(task_id: TaskId, *, ports: Ports, expected_version: int | None = None) -> None:
    """Remove a task, its delegations, episodes, feedback and vectors."""
    async with ports.unit_of_work() as uow:
        await uow.tasks.delete(task_id, expected_version)
        await uow.commit()


async def _check_structure(before: Task, after: Task, uow: UnitOfWork) -> None:
    """New parents and dependencies must exist and must not lead back to the task."""
    new_parent = after.parent_task_id if after.parent_task_id != before.parent_task_id else None
    new_dependencies = sorted(set(after.depends_on) - set(before.depends_on))
    if not new_parent and not new_dependencies:
        return
    await uow.tasks.lock_structure()
    for field_name, ids in (
        ("parent_task_id", [new_parent] if new_parent else []),
        ("depends_on", new_dependencies),
    ):
        absent = await uow.tasks.missing(ids) if ids else set()
        if absent:
            raise Invalid(field_name, f"There is no task with the id {min(absent)!r}.")
    if new_parent and (new_parent == after.id or after.id in await uow.tasks.ancestors(new_parent)):
        raise Cycle(f"The task {new_parent!r} is below {after.id!r} and can't be its parent.")
    if new_dependencies and after.id in {*new_dependencies, *await uow.tasks.prerequisites(new_dependencies)}:
        raise Cycle(f"With these dependencies the task {after.id!r} would wait for itself.")


async def _recall(task_id: TaskId, now: datetime, uow: UnitOfWork) -> None:
    live = await uow.delegations.live(task_id)
    if live:
        await uow.delegations.update(replace(live, status=DelegationStatus.RECALLED, completed_at=now))
