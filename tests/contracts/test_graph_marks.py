"""Whatever changes what the graph should hold of an entity says so, by every way in which one can write."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from tests.builders import NOW, a_delegation, a_pattern, a_task, an_instance
from tests.contracts.working import UnitOfWorkFactory, add

from hopper.app.projections import GRAPH
from hopper.domain.delegation import DelegationStatus
from hopper.domain.graph import Label
from hopper.domain.pattern import Criteria, PatternType
from hopper.domain.task import Priority, TaskStatus
from hopper.ports.graph import Unit
from hopper.ports.northbound import SyncRepository
from hopper.ports.repositories import (
    DelegationRepository,
    InstanceRepository,
    LeaseRepository,
    PatternRepository,
    TaskRepository,
)
from hopper.ports.unit_of_work import UnitOfWork
from hopper.sync.merge import Contributed, contributed
from hopper.sync.payload import PatternSync
from hopper.sync.sources import SyncSource

pytestmark = pytest.mark.server_only

MINUTE = timedelta(minutes=1)
MARKED = {"instance": Label.INSTANCE, "task": Label.TASK, "pattern": Label.PATTERN}


def said_of(tag: str) -> tuple[Contributed, ...]:
    """What a source says of one pattern."""
    said = {"confidence": 0.9, "usage_count": 3, "success_count": 2, "failure_count": 1}
    shared = PatternSync(name=tag, pattern_type=PatternType.TAG, tag_criteria=Criteria(any=(tag,)), **said)  # type: ignore[arg-type]
    return tuple(contributed([shared]).values())


Write = Callable[[UnitOfWork], Awaitable[object]]

A_DELEGATION = a_delegation("held", "a", id="d", source_instance_id="b")

WRITES: dict[str, Write] = {
    "tasks.add": lambda uow: uow.tasks.add(a_task(id="new", tags={"x": True}, depends_on=("alone",))),
    "tasks.add_many": lambda uow: uow.tasks.add_many([a_task(id="new"), a_task(id="alone")]),
    "tasks.update tags": lambda uow: uow.tasks.update(a_task(id="alone", tags={"x": "y"})),
    "tasks.update parent": lambda uow: uow.tasks.update(a_task(id="alone", parent_task_id="needed")),
    "tasks.update dependencies": lambda uow: uow.tasks.update(a_task(id="waits", depends_on=("alone",))),
    "tasks.update holder": lambda uow: uow.tasks.update(a_task(id="alone", instance_id="a")),
    "tasks.update status": lambda uow: uow.tasks.update(a_task(id="needed", status=TaskStatus.DONE)),
    "tasks.update fields": lambda uow: uow.tasks.update(a_task(id="alone", priority=Priority.LOW, project="p")),
    "tasks.delete what others need": lambda uow: uow.tasks.delete("needed"),
    "tasks.delete what was delegated": lambda uow: uow.tasks.delete("held"),
    "instances.add": lambda uow: uow.instances.add(an_instance("new", parent_id="root")),
    "instances.add what a pattern names": lambda uow: uow.instances.add(an_instance("gone")),
    "instances.update": lambda uow: uow.instances.update(an_instance("b", parent_id=None)),
    "instances.delete who had tasks": lambda uow: uow.instances.delete("a"),
    "instances.delete who gave tasks": lambda uow: uow.instances.delete("b"),
    "delegations.add": lambda uow: uow.delegations.add(a_delegation("alone", "a")),
    "delegations.update": lambda uow: uow.delegations.update(
        a_delegation("held", "a", id="d", status=DelegationStatus.REJECTED, completed_at=NOW)
    ),
    "leases.claim": lambda uow: uow.leases.claim("ready", "token", None, MINUTE),
    "leases.release": lambda uow: uow.leases.release("claimed", None),
    "leases.expire_next": lambda uow: uow.leases.expire_next(),
    "leases.extend": lambda uow: uow.leases.extend("claimed", MINUTE),
    "patterns.add": lambda uow: uow.patterns.add(a_pattern("a", id="new")),
    "patterns.update": lambda uow: uow.patterns.update(a_pattern("b", id="origin", tag_criteria=Criteria(all=("x",)))),
    "patterns.delete": lambda uow: uow.patterns.delete("origin"),
    "patterns.derive": lambda uow: uow.patterns.derive("refined", ["origin", "orphan"]),
    "patterns.derive from none": lambda uow: uow.patterns.derive("refined", []),
    "patterns.deactivate_for": lambda uow: uow.patterns.deactivate_for("a"),
    "patterns.reject": lambda uow: uow.patterns.reject("a rule"),
    "sync.contribute": lambda uow: uow.sync.contribute("source", said_of("new")),
    "sync.total": lambda uow: uow.sync.total([said_of("known")[0].pattern.key]),
    "sync.total of nothing": lambda uow: uow.sync.total([said_of("unsaid")[0].pattern.key]),
}

NOT_SHOWN = {"leases.extend", "patterns.reject"}
"""What the graph holds nothing of."""

LOOKS = {
    "tasks": "get get_many get_for_update list triage ready missing lock_structure ancestors originals prerequisites "
    "open_among",
    "instances": "get get_for_update list lock_structure missing names children hierarchy routable_from "
    "open_tasks held_tasks",
    "delegations": "get_for_update missing live of_task to_instance",
    "leases": "claimed_with find",
    "sync": "take_turn add find update forget sources put_key revoke_keys key contributions keys_of summarise feedback "
    "put_feedback total_feedback log identity labels shared global_feedback",
    "patterns": "get get_for_update get_many get_many_for_update list active for_learning derivations rejected",
}

REPOSITORIES = {
    "tasks": TaskRepository,
    "instances": InstanceRepository,
    "delegations": DelegationRepository,
    "leases": LeaseRepository,
    "patterns": PatternRepository,
    "sync": SyncRepository,
}


@pytest.fixture
async def world(uow_factory: UnitOfWorkFactory) -> UnitOfWorkFactory:
    """A store with something of every kind, its graph followed since just now."""
    async with uow_factory() as uow:
        await add(
            uow,
            *(an_instance(name) for name in ("root", "ready", "busy", "late")),
            *(an_instance(name, parent_id="root") for name in "ab"),
            a_task(id="alone"),
            a_task(id="needed", tags={"x": True, "y": True}),
            a_task(id="waits", depends_on=("needed",)),
            a_task(id="below", parent_task_id="needed"),
            a_task(id="repeats", duplicate_of="needed"),
            a_task(id="held", tags={"x": "z"}),
            A_DELEGATION,
        )
        for id, holder, lease in (("claimed", "busy", MINUTE), ("expired", "late", timedelta(0))):
            await add(uow, a_task(id=id, instance_id=holder), a_delegation(id, holder))
            assert await uow.leases.claim(holder, f"token of {id}", None, lease)
        await add(uow, a_task(id="claimable", instance_id="ready"), a_delegation("claimable", "ready"))
        await add(uow, a_pattern("a", id="origin"), a_pattern("a", id="refined"), a_pattern("gone", id="orphan"))
        await add(uow, a_pattern("b", id="off", is_active=False))
        await uow.patterns.derive("refined", ["origin"])
        for source, tag in (("source", "known"), ("gone", "unsaid")):
            await uow.sync.add(SyncSource(source_instance_id=source, name=source, contribution_cap=9, created_at=NOW))
            await uow.sync.contribute(source, said_of(tag))
        await uow.sync.forget("gone")
        await uow.commit()
    async with uow_factory() as uow:  # so that what was made until now isn't on the queue
        await uow.projections.follow(GRAPH, NOW)
        await uow.commit()
    return uow_factory


async def all_units(uow_factory: UnitOfWorkFactory) -> dict[tuple[Label, str], Unit]:
    async with uow_factory() as uow:
        return {
            (label, unit.node.id): unit
            for label in MARKED.values()
            for unit in await uow.graph_source.page(label, "", 1000)
        }


@pytest.mark.parametrize("write", WRITES)
async def test_what_changes_an_entity_in_the_graph_marks_it(write: str, world: UnitOfWorkFactory) -> None:
    """The graph would show for ever what was there before, and nobody would notice until a check."""
    before = await all_units(world)
    async with world() as uow:
        await WRITES[write](uow)
        await uow.commit()
    after = await all_units(world)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    async with world() as uow:
        marked = {(MARKED[item.entity_type], item.entity_id) for item in await uow.queue.claim(GRAPH, 1000, MINUTE)}
    assert bool(changed) is (write not in NOT_SHOWN)
    assert changed <= marked


def test_every_way_to_write_is_looked_at() -> None:
    """A new kind of write would change the truth behind the graph's back."""
    known = {write.split()[0] for write in WRITES} | {f"{of}.{name}" for of in LOOKS for name in LOOKS[of].split()}
    there = {f"{of}.{name}" for of, port in REPOSITORIES.items() for name in vars(port) if not name.startswith("_")}
    assert there == known
