"""Changing and removing tasks, with the rules that hold between them."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from hopper.app.evidence import task_vector
from hopper.app.lifecycle import finish, hand_to, learn_outcomes, recall, require_instance
from hopper.domain.errors import Cycle, Invalid
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.task import Task, TaskStatus
from hopper.ports import Ports
from hopper.ports.unit_of_work import UnitOfWork
from hopper.ports.vectors import StoredVector


async def edit_task(
    task_id: TaskId, changes: dict[str, Any], *, ports: Ports, expected_version: int | None = None
) -> Task:
    """Change some of a task's fields.

    Another holder is a person's choice, as when the task is delegated; without one it is taken back. Setting the
    status to done completes the task, cancelling it takes it back too.
    """
    vector = (await task_vector(task_id, ports))[0] if changes.get("instance_id") else None
    async with ports.unit_of_work() as uow:
        before = await uow.tasks.get_for_update(task_id)
        task = await change_task(
            before, changes, vector, ports.clock.now(), uow, ports, expected_version=expected_version
        )
        await uow.commit()
    return task


async def change_task(
    before: Task,
    changes: dict[str, Any],
    vector: StoredVector | None,
    now: datetime,
    uow: UnitOfWork,
    ports: Ports,
    *,
    expected_version: int | None = None,
    force: bool = False,
) -> Task:
    """Change a locked task; `force` completes it although it depends on open ones."""
    after = replace(before, **changes, updated_at=now)
    await _check_structure(before, after, uow)
    task = await uow.tasks.update(
        replace(after, status=before.status, instance_id=before.instance_id), expected_version
    )
    reopened = after.status.is_open and not before.status.is_open
    if reopened:
        task = await _restate(task, after.status, now, uow)
    if after.instance_id != before.instance_id:
        task = await _rehold(task, after.instance_id, vector, now, uow, ports)
    if after.status is not before.status and not reopened:
        task = await _restate(task, after.status, now, uow, force=force)
    return task


async def _rehold(
    task: Task, holder: InstanceId | None, vector: StoredVector | None, now: datetime, uow: UnitOfWork, ports: Ports
) -> Task:
    """Give an open task to a holder, or take it back; a closed one only says who had it."""
    if holder:
        await require_instance(holder, "instance_id", uow)
    if holder and task.status.is_open:
        await hand_to(task, holder, vector, now, uow, ports)
        return await uow.tasks.get(task.id)
    status = TaskStatus.PENDING if task.status.is_open else task.status  # nobody is at it any more
    task = await uow.tasks.update(replace(await recall(task, now, uow), instance_id=holder, status=status))
    await learn_outcomes(task, now, uow)
    return task


async def _restate(task: Task, status: TaskStatus, now: datetime, uow: UnitOfWork, *, force: bool = False) -> Task:
    """Give a task another status, with what that means for its delegation and the decisions about it."""
    if status is TaskStatus.DONE:
        return await finish(task, now, uow, force=force)
    if status is TaskStatus.CANCELLED:
        task = await recall(task, now, uow)
    task = await uow.tasks.update(replace(task, status=status))
    await learn_outcomes(task, now, uow)
    return task


async def delete_task(task_id: TaskId, *, ports: Ports, expected_version: int | None = None) -> None:
    """Remove a task, its delegations, episodes, feedback and vectors."""
    async with ports.unit_of_work() as uow:
        await uow.tasks.delete(task_id, expected_version)
        await uow.commit()


async def _check_structure(before: Task, after: Task, uow: UnitOfWork) -> None:
    """New parents, dependencies and originals must exist and must not lead back to the task."""
    if after.duplicate_of == after.id:
        raise Invalid("duplicate_of", "A task can't be its own duplicate.")
    new_parent = after.parent_task_id if after.parent_task_id != before.parent_task_id else None
    new_original = after.duplicate_of if after.duplicate_of != before.duplicate_of else None
    new_dependencies = sorted(set(after.depends_on) - set(before.depends_on))
    if not new_parent and not new_original and not new_dependencies:
        return
    await uow.tasks.lock_structure()
    for field_name, ids in (
        ("parent_task_id", [new_parent] if new_parent else []),
        ("duplicate_of", [new_original] if new_original else []),
        ("depends_on", new_dependencies),
    ):
        absent = await uow.tasks.missing(ids) if ids else set()
        if absent:
            raise Invalid(field_name, f"There is no task with the id {min(absent)!r}.")
    if new_parent and (new_parent == after.id or after.id in await uow.tasks.ancestors(new_parent)):
        raise Cycle(f"The task {new_parent!r} is below {after.id!r} and can't be its parent.")
    if new_original and after.id in await uow.tasks.originals(new_original):
        raise Cycle(f"The task {new_original!r} is a duplicate of {after.id!r}, which can't be one of it as well.")
    if new_dependencies and after.id in {*new_dependencies, *await uow.tasks.prerequisites(new_dependencies)}:
        raise Cycle(f"With these dependencies the task {after.id!r} would wait for itself.")
