"""Taking in many tasks at once, from rows that were read one by one."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from hopper.domain.ids import TaskId
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.ports.unit_of_work import UnitOfWork

BATCH = 500
"""How many rows of an import go into one transaction."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row of an import that can't be used; `line` counts from 1."""

    line: int
    field: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class Row:
    line: int
    task: Task


@dataclass(slots=True)
class ImportReport:
    """What became of an import: rows that were created, that were there already, and that were refused."""

    created: int = 0
    unchanged: int = 0
    errors: list[Rejected] = field(default_factory=list)


async def import_tasks(rows: AsyncIterator[Row | Rejected], *, atomic: bool, ports: Ports) -> ImportReport:
    """Take in many tasks, in batches; a row whose id is known already is left as it is.

    Atomic: one transaction, and any bad row undoes it all (the report then says created 0).
    """
    report = ImportReport()
    if not atomic:
        async for batch in _batches(rows):
            async with ports.unit_of_work() as uow:
                await _add(batch, report, uow)
                await uow.commit()
        return report
    async with ports.unit_of_work() as uow:
        async for batch in _batches(rows):
            await _add(batch, report, uow)
        if report.errors:
            return ImportReport(errors=report.errors)
        await uow.commit()
    return report


async def _batches(rows: AsyncIterator[Row | Rejected]) -> AsyncIterator[list[Row | Rejected]]:
    batch: list[Row | Rejected] = []
    async for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def _add(batch: Sequence[Row | Rejected], report: ImportReport, uow: UnitOfWork) -> None:
    """Add the rows that can be added. They may name tasks that are there or stand earlier in the file."""
    good = [row for row in batch if isinstance(row, Row)]
    report.errors += [row for row in batch if isinstance(row, Rejected)]
    no_instance = await _missing_instances(good, uow)
    wanted = {id for row in good for id in (*row.task.depends_on, row.task.parent_task_id) if id}
    no_task = await uow.tasks.missing(sorted(wanted)) if wanted else set()
    accepted: dict[TaskId, Task] = {}
    for row in good:
        task = row.task
        if task.instance_id in no_instance:
            report.errors.append(Rejected(row.line, "instance_id", f"There is no instance {task.instance_id!r}."))
        elif task.parent_task_id in no_task - accepted.keys():
            report.errors.append(Rejected(row.line, "parent_task_id", f"There is no task {task.parent_task_id!r}."))
        elif absent := set(task.depends_on) & (no_task - accepted.keys()):
            report.errors.append(Rejected(row.line, "depends_on", f"There is no task {min(absent)!r}."))
        elif task.id in accepted:
            report.unchanged += 1
        else:
            accepted[task.id] = task
    added = await uow.tasks.add_many(list(accepted.values())) if accepted else set()
    report.created += len(added)
    report.unchanged += len(accepted) - len(added)


async def _missing_instances(rows: Sequence[Row], uow: UnitOfWork) -> set[str]:
    wanted = {row.task.instance_id for row in rows if row.task.instance_id}
    return await uow.instances.missing(sorted(wanted)) if wanted else set()
