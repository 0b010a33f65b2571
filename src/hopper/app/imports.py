"""Taking in many tasks at once, from rows that were read one by one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from hopper.domain.errors import Conflict, Invalid
from hopper.domain.ids import TaskId
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.ports.unit_of_work import UnitOfWork

BATCH = 500
"""How many rows of an import go into one transaction."""

TOLD = 1_000
"""How many bad rows a report names; the others are only counted."""

ALL_OR_NONE = 200_000
"""How many rows an atomic import may have: they are all in memory before the first is stored."""

_TRIES = 3
_PATIENCE_SECONDS = 60.0


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
    """What became of an import: rows that were created, that were there already, and that were refused.

    `failed` counts all that were refused; `errors` names TOLD of them at most.
    """

    created: int = 0
    unchanged: int = 0
    failed: int = 0
    errors: list[Rejected] = field(default_factory=list)

    def reject(self, row: Rejected) -> None:
        self.failed += 1
        if len(self.errors) < TOLD:
            self.errors.append(row)

    def add(self, part: "ImportReport") -> None:
        self.created += part.created
        self.unchanged += part.unchanged
        self.failed += part.failed
        self.errors += part.errors[: TOLD - len(self.errors)]


async def import_tasks(
    rows: AsyncIterator[Row | Rejected], *, atomic: bool, ports: Ports, dry_run: bool = False
) -> ImportReport:
    """Take in many tasks, in batches; a row whose id is known already is left as it is.

    Atomic: one transaction, and any bad row undoes it all (the report then says created 0). A dry run undoes it always,
    and says what would have been. In no case is a transaction open while rows come in: a slow sender would hold its
    connection.
    """
    if atomic or dry_run:
        return await _all_or_none(rows, ports, atomic, dry_run)
    report = ImportReport()
    batch: list[Row] = []
    async for row in rows:
        if isinstance(row, Rejected):
            report.reject(row)
            continue
        batch.append(row)
        if len(batch) == BATCH:
            report.add(await _take_in(batch, ports))
            batch = []
    if batch:
        report.add(await _take_in(batch, ports))
    return report


async def _all_or_none(rows: AsyncIterator[Row | Rejected], ports: Ports, atomic: bool, dry_run: bool) -> ImportReport:
    """Read all rows, then store them in one go: if all can be used, or to see what can."""
    report = ImportReport()
    good: list[Row] = []
    async for row in rows:
        if isinstance(row, Rejected):
            report.reject(row)
            if atomic:
                good.clear()
        elif not (atomic and report.failed):
            good.append(row)
            if len(good) > ALL_OR_NONE:
                raise Invalid(
                    "atomic",
                    f"All or none, and a dry run, work for {ALL_OR_NONE:,} lines at most. Send fewer at a time.",
                )
    if good:
        # Each batch is in order, but not all of them: two that come in another order would wait for each other. They
        # take turns; whoever has waited for very long tries it without one.
        async with nullcontext() if len(good) <= BATCH else ports.turns.take("import", _PATIENCE_SECONDS):
            report.add(await _stored(good, ports, but_bad_ones=not atomic, dry_run=dry_run))
    return ImportReport(failed=report.failed, errors=report.errors) if atomic and report.failed else report


async def _take_in(batch: Sequence[Row], ports: Ports) -> ImportReport:
    """Store the rows of a batch that can be stored: one by one if there is no other way to tell the bad one."""
    try:
        return await _stored(batch, ports, but_bad_ones=True)
    except (Conflict, Invalid) as error:
        report = ImportReport()
        if len(batch) == 1:
            field_name = error.field if isinstance(error, Invalid) else None
            report.reject(Rejected(batch[0].line, field_name, error.message))
            return report
    for row in batch:
        report.add(await _take_in([row], ports))
    return report


async def _stored(
    rows: Sequence[Row], ports: Ports, *, but_bad_ones: bool = False, dry_run: bool = False
) -> ImportReport:
    """Store rows in one transaction, all or none of them unless bad ones may be left out.

    Another request may come in between, with a deadlock or by removing an instance or a task that has been looked
    for already. So it is tried again; what is gone is missed then, and reported by its line.
    """
    for attempt in range(1, _TRIES + 1):
        report = ImportReport()
        try:
            async with ports.unit_of_work() as uow:
                for start in range(0, len(rows), BATCH):
                    await _add(rows[start : start + BATCH], report, uow)
                if not dry_run and (but_bad_ones or not report.failed):
                    await uow.commit()
            break
        except (Conflict, Invalid):
            if attempt == _TRIES:
                raise
    return report


async def _add(batch: Sequence[Row], report: ImportReport, uow: UnitOfWork) -> None:
    """Add the rows that can be added. They may name tasks that are there or stand earlier in the file."""
    no_instance = await _missing_instances(batch, uow)
    tasks = [row.task for row in batch]
    wanted = {id for task in tasks for id in (*task.depends_on, task.parent_task_id, task.duplicate_of) if id}
    no_task = await uow.tasks.missing(sorted(wanted)) if wanted else set()
    accepted: dict[TaskId, Task] = {}
    for row in batch:
        task = row.task
        if task.instance_id in no_instance:
            report.reject(Rejected(row.line, "instance_id", f"There is no instance {task.instance_id!r}."))
        elif task.parent_task_id in no_task:
            report.reject(Rejected(row.line, "parent_task_id", f"There is no task {task.parent_task_id!r}."))
        elif task.duplicate_of in no_task:
            report.reject(Rejected(row.line, "duplicate_of", f"There is no task {task.duplicate_of!r}."))
        elif absent := no_task.intersection(task.depends_on):
            report.reject(Rejected(row.line, "depends_on", f"There is no task {min(absent)!r}."))
        elif task.id in accepted:
            report.unchanged += 1
        else:
            accepted[task.id] = task
            no_task.discard(task.id)
    # In the order of their ids, so that two imports of the same rows can't wait for each other.
    added = await uow.tasks.add_many([accepted[id] for id in sorted(accepted)]) if accepted else set()
    report.created += len(added)
    report.unchanged += len(accepted) - len(added)


async def _missing_instances(rows: Sequence[Row], uow: UnitOfWork) -> set[str]:
    wanted = {row.task.instance_id for row in rows if row.task.instance_id}
    return await uow.instances.missing(sorted(wanted)) if wanted else set()
