"""Keys that are bound to a part of the instance tree: what their requests may name, and what answers tell them.

What they read is theirs by the database's views (ADR 0039). What they change is checked here beforehand: whatever a
request names, in its path, its query or its body, has to be inside, or it isn't there. What a change answers with is
shown as they would read it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from fastapi import Request

from hopper.domain.access import Asker
from hopper.domain.decision import Decision
from hopper.domain.delegation import Delegation
from hopper.domain.errors import Invalid, NotFound
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.instance import Instance
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.ports.unit_of_work import UnitOfWork

REFERENCES = {
    "instance_id": "instance",
    "target_instance_id": "instance",
    "target_instance": "instance",
    "parent_id": "instance",
    "should_have_routed_to": "instance",
    "by": "instance",
    "task_id": "task",
    "parent_task_id": "task",
    "duplicate_of": "task",
    "depends_on": "task",
    "delegation_id": "delegation",
    "pattern_id": "pattern",
}
"""What the names of parameters and fields refer to."""

_DELEGATING = "/delegations"
_IN_BATCHES = ("/tasks/bulk", "/tasks/import")
"""Of what these name, the use cases miss what isn't inside, a line at a time."""


async def require_inside(request: Request, ports: Ports) -> None:
    """Raises NotFound for a path, and Invalid for a field or a parameter, that names what isn't inside."""
    named = list(_named(request.query_params.multi_items()))
    path = request.url.path
    if request.method in {"POST", "PUT", "PATCH"} and not path.endswith(_IN_BATCHES):
        body = _json(await request.body())
        named += _named(_fields(body))
        if path.endswith(_DELEGATING) and isinstance(body, dict) and isinstance(body.get("source_instance_id"), str):
            named.append(("source_instance_id", "instance", body["source_instance_id"]))
    paths = [(REFERENCES[name], id) for name, id in request.path_params.items() if name in REFERENCES]
    if not named and not paths:
        return
    async with ports.reading() as uow:
        for kind, id in paths:
            if await _missing(kind, [id], uow):
                raise NotFound(kind, id)
        for field, kind, id in named:
            if await _missing(kind, [id], uow):
                raise Invalid(field, f"There is no {kind} with the id {id!r}.")


def placed(task: Task, asker: Asker) -> Task:
    """A new task of a bound key that names no holder is held where the key is bound, which passes it on."""
    return replace(task, instance_id=asker.within) if asker.within and not task.instance_id else task


def placed_below(instance: Instance, asker: Asker) -> Instance:
    """A new instance of a bound key stands below where the key is bound."""
    return replace(instance, parent_id=asker.within) if asker.within and not instance.parent_id else instance


async def kept_task(task_id: TaskId, changes: dict[str, Any], ports: Ports) -> dict[str, Any]:
    """The changes of a bound key to a task: what it refers to outside, which the key doesn't see, stays as it is."""
    within = ports.asker.within
    if not within:
        return changes
    async with ports.reading() as uow:
        seen = await uow.tasks.get(task_id)
    async with ports.unit_of_work() as uow:
        stored = await uow.tasks.get(task_id)
    kept = dict(changes)
    if "instance_id" in kept:
        kept["instance_id"] = kept["instance_id"] or within
    for name in ("parent_task_id", "duplicate_of"):
        if name in kept and kept[name] is None and getattr(seen, name) is None:
            del kept[name]
    if "depends_on" in kept:
        unseen = set(stored.depends_on) - set(seen.depends_on)
        kept["depends_on"] = tuple(sorted({*kept["depends_on"], *unseen}))
    return kept


def kept_instance(instance_id: InstanceId, changes: dict[str, Any], asker: Asker) -> dict[str, Any]:
    """The changes of a bound key to an instance, which stays below where the key is bound."""
    if not asker.within or "parent_id" not in changes:
        return changes
    if instance_id == asker.within:
        return {name: value for name, value in changes.items() if name != "parent_id"}
    return {**changes, "parent_id": changes["parent_id"] or asker.within}


async def shown_task(task: Task, ports: Ports) -> Task:
    """The task as the asker would read it; one that has just left tells of nothing outside."""
    if not ports.asker.within:
        return task
    async with ports.reading() as uow:
        try:
            return await uow.tasks.get(task.id)
        except NotFound:
            return replace(task, instance_id=None, parent_task_id=None, duplicate_of=None, depends_on=())


async def shown_delegation(delegation: Delegation, ports: Ports) -> Delegation:
    if not ports.asker.within:
        return delegation
    ends = [id for id in (delegation.source_instance_id, delegation.target_instance_id) if id]
    async with ports.reading() as uow:
        unseen = await uow.instances.missing(ends)
    return replace(
        delegation,
        source_instance_id=None if delegation.source_instance_id in unseen else delegation.source_instance_id,
        target_instance_id=None if delegation.target_instance_id in unseen else delegation.target_instance_id,
    )


async def shown_decision(decision: Decision, ports: Ports) -> Decision:
    """Without whom, and which past tasks, the asker doesn't see."""
    if not ports.asker.within:
        return decision
    factors = decision.decision_factors
    instances = {f.instance_id for f in factors} | {a.instance_id for a in decision.alternatives}
    chosen = decision.chosen_instance
    past = sorted({id for factor in factors for id in factor.task_ids})
    async with ports.reading() as uow:
        outside = await uow.instances.missing(sorted({*instances, *([chosen] if chosen else [])}))
        unseen = await uow.tasks.missing(past)
    return replace(
        decision,
        chosen_instance=None if chosen in outside else chosen,
        decision_factors=tuple(
            replace(
                factor,
                task_ids=tuple(id for id in factor.task_ids if id not in unseen),
                past_tasks=tuple(one for one in factor.past_tasks if one.task_id not in unseen),
            )
            for factor in factors
            if factor.instance_id not in outside
        ),
        alternatives=tuple(one for one in decision.alternatives if one.instance_id not in outside),
    )


async def _missing(kind: str, ids: Sequence[str], uow: UnitOfWork) -> bool:
    if kind == "instance":
        return bool(await uow.instances.missing(ids))
    if kind == "task":
        return bool(await uow.tasks.missing(ids))
    if kind == "delegation":
        return bool(await uow.delegations.missing(ids))
    return not await uow.patterns.get_many(ids)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None  # whoever reads it in earnest says what is wrong


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """All fields of a body, however deep."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield name, inner
            yield from _fields(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _fields(inner)


def _named(given: Iterator[tuple[str, Any]] | Sequence[tuple[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """The ids among them, each with its field and what it is the id of."""
    for name, value in given:
        for id in value if isinstance(value, list) else [value]:
            if name in REFERENCES and isinstance(id, str):
                yield name, REFERENCES[name], id
