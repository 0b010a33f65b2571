"""Taking over tasks from elsewhere, again and again: each record becomes one task and follows its source.

What was changed here stays as it is here, and a record that comes late changes nothing. Records refer to one another by
external ids; a reference to what isn't here is kept as a tag.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from hopper.app.tasks import change_task
from hopper.domain.errors import Conflict, Invalid, NotFound
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.moving import (
    OWN,
    Fate,
    Merged,
    Origin,
    Outcome,
    Record,
    changes_of,
    flat,
    merge,
    space_of,
    task_id_of,
)
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.ports.unit_of_work import UnitOfWork

BATCH = 500
"""The most records of one transaction."""


async def take_over(
    records: Sequence[Record],
    source: str,
    *,
    ports: Ports,
    announced: Collection[str] = (),
    restore: bool = False,
    dry_run: bool = False,
    states: Mapping[str, str] | None = None,
) -> list[Outcome]:
    """Make the tasks follow the records, all of them in one transaction; one that can't be stored fails alone.

    `restore` brings back what was removed here. A dry run stores nothing; `announced` are external ids that will be
    there by the time it is done in earnest. `states` are those of the origins before the records were read, where
    what was taken or sent since is newer.
    """
    try:
        return await _in_one(records, source, announced, restore, dry_run, states or {}, ports)
    except (Conflict, Invalid, NotFound) as error:
        if len(records) == 1:
            return [_failed(records[0], error.field if isinstance(error, Invalid) else None, error.message)]
    return [
        outcome
        for record in records
        for outcome in await take_over(
            [record], source, ports=ports, announced=announced, restore=restore, dry_run=dry_run, states=states
        )
    ]


async def _in_one(
    records: Sequence[Record],
    source: str,
    announced: Collection[str],
    restore: bool,
    dry_run: bool,
    states: Mapping[str, str],
    ports: Ports,
) -> list[Outcome]:
    async with ports.unit_of_work() as uow:
        batch = await _look_up(records, source, announced, restore, states, uow, ports)
        plans = [await _planned(record, batch, uow) for record in records]
        if dry_run:
            return [plan.outcome for plan in plans]
        news = [plan.origin for plan in plans if plan.origin and plan.origin.task_id in batch.tasks]
        if news:  # once more, of what nobody else changes any more
            locked = {id: await uow.tasks.get_for_update(id) for id in sorted({origin.task_id for origin in news})}
            batch.begin(locked, await _origins([origin.external_id for origin in news], batch.spaces, uow))
            plans = [await _planned(record, batch, uow) for record in records]
        await _store(plans, batch, uow, ports)
        await uow.commit()
    return [plan.outcome for plan in plans]


@dataclass(slots=True)
class _Batch:
    """What is known here of the tasks that a batch of records is or names; `spaces` says where each is remembered."""

    source: str
    spaces: Mapping[str, str]
    restore: bool
    states: Mapping[str, str]
    now: datetime
    ids: dict[str, TaskId]
    origins: dict[str, Origin]
    tasks: dict[TaskId, Task]
    announced: set[TaskId]
    no_instance: set[InstanceId]
    seen: set[str] = field(default_factory=set)
    to_come: set[TaskId] = field(default_factory=set)

    def begin(self, locked: Mapping[TaskId, Task], origins: Mapping[str, Origin]) -> None:
        self.tasks |= locked
        self.origins |= origins
        self.seen.clear()
        self.to_come.clear()

    def has(self, id: TaskId) -> bool:
        return id in self.tasks or id in self.to_come or id in self.announced

    def came_late(self, record: Record, origin: Origin) -> bool:
        """Whether something newer was taken or sent while the record was on its way."""
        if record.external_id in self.states:
            return self.states[record.external_id] != origin.state
        return bool(self.source == OWN and record.updated_at and origin.as_of and record.updated_at < origin.as_of)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done for a record: `task` is a new one, or with `merged` the one that is here."""

    outcome: Outcome
    task: Task | None = None
    merged: Merged | None = None
    origin: Origin | None = None


async def _look_up(
    records: Sequence[Record],
    source: str,
    announced: Collection[str],
    restore: bool,
    states: Mapping[str, str],
    uow: UnitOfWork,
    ports: Ports,
) -> _Batch:
    names = {name for record in records for _, name in record.references()} | {r.external_id for r in records}
    names |= {*announced}
    own = space_of(source, ports.asker.within)
    spaces = dict.fromkeys(names, own)
    if own != source:  # what others took, and handed on to where the key is bound, is followed
        taken = await uow.origins.find(source, sorted(names))
        absent = await uow.tasks.missing([origin.task_id for origin in taken.values()])
        spaces |= {name: source for name, origin in taken.items() if origin.task_id not in absent}
    origins = await _origins(names, spaces, uow)
    ids = {name: origins[name].task_id if name in origins else task_id_of(own, name) for name in names}
    tasks = await uow.tasks.get_many(sorted(ids.values()))
    if tasks and (unreachable := await uow.tasks.missing([task.id for task in tasks])):
        name = next(name for name, id in ids.items() if id in unreachable)
        raise Invalid("external_id", f"{name!r} is a task here that this key can't reach.")
    there = {task.id for task in tasks}
    # Again, of what another import may have stored between the two looks.
    origins |= await _origins([name for name in names - origins.keys() if ids[name] in there], spaces, uow)
    instances = sorted({record.instance_id for record in records if record.instance_id})
    return _Batch(
        source=source,
        spaces=spaces,
        restore=restore,
        states=states,
        now=ports.clock.now(),
        ids=ids,
        origins=origins,
        tasks={task.id: task for task in tasks},
        announced={ids[name] for name in announced},
        no_instance=await uow.instances.missing(instances) if instances else set(),
    )


async def _origins(names: Collection[str], spaces: Mapping[str, str], uow: UnitOfWork) -> dict[str, Origin]:
    found: dict[str, Origin] = {}
    for space in sorted(set(spaces.values())):
        found |= await uow.origins.find(space, sorted(name for name in names if spaces[name] == space))
    return found


async def _planned(record: Record, batch: _Batch, uow: UnitOfWork) -> _Plan:
    if record.external_id in batch.seen:
        return _Plan(_failed(record, "external_id", f"{record.external_id!r} came before in the same batch."))
    batch.seen.add(record.external_id)
    id = batch.ids[record.external_id]
    here, origin = batch.tasks.get(id), batch.origins.get(record.external_id)
    told = Outcome(external_id=record.external_id, task_id=id, outcome=Fate.NEW)
    if here is None and origin and not batch.restore:
        return _Plan(replace(told, outcome=Fate.REMOVED_HERE))
    own = batch.source == OWN
    if here and not origin and not own:  # whoever knows the source can work out the id
        return _Plan(_failed(record, "external_id", f"The task {id!r} has this record's id and wasn't imported."))
    task, notes = await _as_task(record, id, batch, uow)
    theirs = flat(task, with_holder=own)
    as_of = (record.updated_at if own else None) or (origin.as_of if origin else None)
    if here is None:
        batch.to_come.add(id)
        merged = merge(None, theirs, {}, theirs_is_newer=True)
        return _Plan(replace(told, notes=notes), task, None, Origin(record.external_id, id, merged.said, as_of))
    ours = flat(here, with_holder=own)
    is_newer = record.updated_at is not None and record.updated_at > here.updated_at
    merged = merge(origin.said if origin else None, theirs, ours, theirs_is_newer=is_newer)
    if origin and batch.came_late(record, origin):
        stays = tuple(sorted((*merged.changed, *merged.newer_here)))
        merged, as_of = Merged(ours, (), stays, origin.said), origin.as_of
    fate = Fate.CHANGED if merged.changed else Fate.NEWER_HERE if merged.newer_here else Fate.UNCHANGED
    told = replace(told, outcome=fate, changed=merged.changed, newer_here=merged.newer_here, notes=notes)
    now = Origin(record.external_id, id, merged.said, as_of)
    return _Plan(told, here, merged if merged.changed else None, now if now != origin else None)


async def _as_task(record: Record, id: TaskId, batch: _Batch, uow: UnitOfWork) -> tuple[Task, tuple[str, ...]]:
    """The record as a task, and what of it isn't here and became a tag."""
    tags: dict[str, bool | str] = dict(record.tags)
    notes = []
    found: dict[str, list[TaskId]] = {"parent_task_id": [], "duplicate_of": [], "depends_on": []}
    for name, external_id in record.references():
        other = batch.ids[external_id]
        problem = await _problem(name, id, other, batch, uow)
        if problem:
            tags[f"{name}:{external_id}"] = True
            notes.append(f"{name} {external_id!r} {problem}: it is kept as the tag {name}:{external_id}")
        else:
            found[name].append(other)
    holder = record.instance_id
    if holder in batch.no_instance:
        tags[f"instance_id:{holder}"] = True
        notes.append(f"instance_id {holder!r} isn't here: it is kept as the tag instance_id:{holder}")
        holder = None
    created = record.created_at or record.updated_at or batch.now
    task = Task(
        id=id,
        title=record.title,
        description=record.description,
        status=record.status,
        priority=record.priority,
        project=record.project,
        instance_id=holder,
        tags=tags,
        source=record.source or batch.source,
        source_instance_id=record.source_instance_id,
        parent_task_id=next(iter(found["parent_task_id"]), None),
        duplicate_of=next(iter(found["duplicate_of"]), None),
        depends_on=tuple(sorted(set(found["depends_on"]))),
        created_at=created,
        updated_at=record.updated_at or created,
    )
    return task, tuple(notes)


async def _problem(name: str, id: TaskId, other: TaskId, batch: _Batch, uow: UnitOfWork) -> str | None:
    """Why a task can't refer to another, if it can't."""
    if other == id:
        return "is the task itself"
    if not batch.has(other):
        return "isn't here"
    here = batch.tasks.get(id)
    if here is None or other not in batch.tasks or other in (here.parent_task_id, here.duplicate_of, *here.depends_on):
        return None
    if name == "depends_on":
        above = await uow.tasks.prerequisites([other])
    elif name == "duplicate_of":
        above = await uow.tasks.originals(other)
    else:
        above = await uow.tasks.ancestors(other)
    return "leads back to the task" if id in above else None


async def _store(plans: Sequence[_Plan], batch: _Batch, uow: UnitOfWork, ports: Ports) -> None:
    """New tasks first: what is changed may refer to them. What is done there is done, whatever it depends on here."""
    new = [plan.task for plan in plans if plan.task and plan.outcome.outcome is Fate.NEW]
    if new:
        added = await uow.tasks.add_many(sorted(new, key=lambda task: task.id))
        if len(added) < len(new):
            raise Conflict("Another request has just filed the same tasks. Try again.")
    changed = [(plan.task, plan.merged) for plan in plans if plan.task and plan.merged]
    for here, merged in sorted(changed, key=lambda pair: pair[0].id):
        changes = changes_of(merged.fields, merged.changed)
        await change_task(here, changes, None, batch.now, uow, ports, force=True)
    origins = sorted((plan.origin for plan in plans if plan.origin), key=lambda origin: origin.external_id)
    for space in sorted({batch.spaces[origin.external_id] for origin in origins}):
        await uow.origins.put(space, [one for one in origins if batch.spaces[one.external_id] == space])


def _failed(record: Record, field_name: str | None, detail: str) -> Outcome:
    return Outcome(external_id=record.external_id, task_id=None, outcome=Fate.FAILED, field=field_name, detail=detail)
