"""Instances in a store: kept whole, listed, and a tree that tells who may delegate to whom."""

from dataclasses import replace
from typing import Any

import pytest
from tests.builders import a_delegation, a_task, an_instance, later
from tests.contracts.working import UnitOfWorkFactory, add, keep, waiting, walk

from hopper.domain.delegation import DelegationStatus
from hopper.domain.errors import Conflict, Invalid, NotFound, StaleVersion
from hopper.domain.instance import Instance, InstanceStatus, InstanceType, Scope
from hopper.domain.task import Task
from hopper.ports.unit_of_work import UnitOfWork

FULL = an_instance(
    "Zahlungen & Karten",
    id="full",
    scope=Scope.ORCHESTRATION,
    instance_type=InstanceType.EMBEDDED,
    status=InstanceStatus.PAUSED,
    parent_id="root",
    config={"path": "/srv/ü", "limits": {"tasks": [1, 2.5, None, True]}, "empty": {}},
    version=4,
    created_at=later(0.123456),
)

TREE = (
    an_instance("root", scope=Scope.GLOBAL),
    an_instance("left", parent_id="root", created_at=later(2)),
    an_instance("right", parent_id="root", created_at=later(1)),
    an_instance("leaf", parent_id="left"),
    an_instance("alone"),
)


def names(instances: tuple[Instance, ...]) -> list[str]:
    return [instance.name for instance in instances]


async def test_an_instance_comes_back_as_it_was_made(uow: UnitOfWork) -> None:
    """Part of an instance's configuration would be lost."""
    await add(uow, an_instance("root"), FULL)
    assert await uow.instances.get("full") == FULL
    assert await uow.instances.get("root") == an_instance("root")


async def test_an_update_stores_everything_but_the_making_time(uow: UnitOfWork) -> None:
    """Stopping an instance, or moving it in the tree, would have no effect."""
    await add(uow, an_instance("root"), an_instance("plain", id="full"))
    wanted = replace(FULL, created_at=an_instance().created_at)
    after = await uow.instances.update(wanted, 1)
    assert after == replace(wanted, version=2)
    assert await uow.instances.get("full") == after
    freed = await uow.instances.update(replace(after, parent_id=None, config={}))
    assert await uow.instances.get("full") == freed
    assert (freed.parent_id, freed.config, freed.version) == (None, {}, 3)


async def test_a_change_to_a_version_that_has_gone_is_refused(uow: UnitOfWork) -> None:
    """Two people who configure an instance would overwrite each other unknowingly."""
    await add(uow, an_instance("a"))
    await uow.instances.update(an_instance("a", status=InstanceStatus.PAUSED))
    with pytest.raises(StaleVersion, match="version 2"):
        await uow.instances.update(an_instance("a"), 1)
    with pytest.raises(StaleVersion, match="version 2"):
        await uow.instances.delete("a", 1)
    assert (await uow.instances.get("a")).status is InstanceStatus.PAUSED
    await uow.instances.delete("a", 2)
    assert await uow.instances.missing(["a"]) == {"a"}


async def test_an_unknown_instance_is_not_found(uow: UnitOfWork) -> None:
    """A mistyped name would look like an instance without children, or be changed in silence."""
    for attempt in (
        uow.instances.get("unknown"),
        uow.instances.get_for_update("unknown"),
        uow.instances.hierarchy("unknown"),
        uow.instances.update(an_instance("unknown")),
        uow.instances.update(an_instance("unknown"), 1),
        uow.instances.delete("unknown"),
        uow.instances.delete("unknown", 1),
    ):
        with pytest.raises(NotFound) as refused:
            await attempt
        assert (refused.value.kind, refused.value.id) == ("instance", "unknown")


async def test_a_second_instance_with_the_same_id_is_a_conflict(uow_factory: UnitOfWorkFactory) -> None:
    """One team's instance would replace another's, and take its tasks."""
    await keep(uow_factory, an_instance("a"))
    with pytest.raises(Conflict):
        await keep(uow_factory, an_instance("b", id="a"))


async def test_a_parent_that_is_not_there_is_refused(uow_factory: UnitOfWorkFactory) -> None:
    """An instance would hang in no tree, and get no tasks from above."""
    with pytest.raises(Invalid, match="nobody") as refused:
        await keep(uow_factory, an_instance("a", parent_id="nobody"))
    assert refused.value.field == "parent_id"


@pytest.mark.parametrize("still_needs_it", [an_instance("child", parent_id="a"), a_task(instance_id="a")])
async def test_an_instance_that_is_still_needed_cannot_be_removed(
    still_needs_it: Instance | Task, uow_factory: UnitOfWorkFactory
) -> None:
    """Children would hang in no tree, and tasks be held by nobody and stand in no list."""
    await keep(uow_factory, an_instance("a"), still_needs_it)
    with pytest.raises(Conflict):
        async with uow_factory() as uow:
            await uow.instances.delete("a")
            await uow.commit()
    async with uow_factory() as uow:
        assert await uow.instances.get("a")


async def test_the_history_of_a_removed_instance_stays(uow: UnitOfWork) -> None:
    """An instance that ever had a task could never be removed, or its tasks would lose their history."""
    given = a_delegation("t", "a", status=DelegationStatus.COMPLETED)
    passed_on = a_delegation("t", "b", source_instance_id="a", delegated_at=later(1))
    await add(uow, an_instance("a"), an_instance("b"), a_task(id="t"), given, passed_on)
    await uow.instances.delete("a")
    assert await uow.delegations.of_task("t") == (
        replace(given, target_instance_id=None),
        replace(passed_on, source_instance_id=None),
    )


async def test_an_instance_taken_for_an_update_is_not_changed_by_others(uow_factory: UnitOfWorkFactory) -> None:
    """Of two people who edit different fields of an instance, one would undo what the other did."""
    await keep(uow_factory, an_instance("a"))

    async def name_for_update() -> str:
        async with uow_factory() as uow:
            return (await uow.instances.get_for_update("a")).name

    async with uow_factory() as uow:
        assert await uow.instances.get_for_update("a") == an_instance("a")
        async with waiting(name_for_update()) as other:
            await uow.instances.update(an_instance("renamed", id="a"))
            await uow.commit()
    assert other.result() == "renamed"


async def test_the_oldest_instance_is_listed_first_and_pages_lose_none(uow: UnitOfWork) -> None:
    """A new instance would push the others about, and a person who turns pages would miss some."""
    await add(uow, an_instance("new", created_at=later(1)), *(an_instance(f"i{n}") for n in range(5)))
    found = await walk(lambda cursor: uow.instances.list(2, cursor), 2)
    assert [instance.id for instance in found] == ["i0", "i1", "i2", "i3", "i4", "new"]


async def test_instances_are_filtered_by_scope_status_and_name(uow: UnitOfWork) -> None:
    """A person would have to look through all instances for those that are stopped."""
    await add(
        uow,
        an_instance("a", scope=Scope.GLOBAL),
        an_instance("b", status=InstanceStatus.STOPPED),
        an_instance("twin", id="c"),
        an_instance("twin", id="d", scope=Scope.GLOBAL),
    )

    async def ids(**where: Any) -> list[str]:
        found = await walk(lambda cursor: uow.instances.list(1, cursor, **where), 1)
        return [instance.id for instance in found]

    assert await ids(scope=Scope.GLOBAL) == ["a", "d"]
    assert await ids(status=InstanceStatus.STOPPED) == ["b"]
    assert await ids(name="twin") == ["c", "d"]
    assert await ids(name="twi") == []
    assert await ids(id_part="b") == ["b"]
    assert await ids(id_part="_") == []
    assert await ids(name="twin", scope=Scope.GLOBAL, status=InstanceStatus.RUNNING) == ["d"]


async def test_a_hierarchy_runs_from_the_leaf_to_its_root(uow: UnitOfWork) -> None:
    """A person couldn't see whom an instance belongs to; a root would seem to belong nowhere."""
    await add(uow, *TREE)
    assert names(await uow.instances.hierarchy("leaf")) == ["leaf", "left", "root"]
    assert names(await uow.instances.hierarchy("root")) == ["root"]


async def test_children_are_direct_and_the_oldest_comes_first(uow: UnitOfWork) -> None:
    """A tree would be shown with grandchildren beside children, or in another order each time."""
    await add(uow, *TREE)
    assert names(await uow.instances.children("root")) == ["right", "left"]
    assert names(await uow.instances.children("leaf")) == []
    assert names(await uow.instances.children("unknown")) == []


async def test_names_are_those_of_all_instances(uow: UnitOfWork) -> None:
    """Teams whose names say that they belong together would learn apart."""
    await add(uow, an_instance("web/bugs", id="1"), an_instance("app/bugs", id="2"))
    assert await uow.instances.names() == {"1": "web/bugs", "2": "app/bugs"}


async def test_an_instance_delegates_to_all_below_it_and_the_server_to_everyone(uow: UnitOfWork) -> None:
    """A team's task would be sent to another team, or never further down than one step."""
    await add(uow, *TREE)
    assert sorted(await uow.instances.routable_from("root")) == ["leaf", "left", "right"]
    assert list(await uow.instances.routable_from("left")) == ["leaf"]
    assert list(await uow.instances.routable_from("leaf")) == []
    assert sorted(await uow.instances.routable_from(None)) == ["alone", "leaf", "left", "right", "root"]


@pytest.mark.parametrize("status", InstanceStatus)
async def test_only_running_instances_are_routed_to(status: InstanceStatus, uow: UnitOfWork) -> None:
    """Tasks would be sent to an instance that is stopped, or that is paused for a reason."""
    await add(uow, an_instance("root"), an_instance("a", parent_id="root", status=status))
    running = status is InstanceStatus.RUNNING
    assert list(await uow.instances.routable_from("root")) == (["a"] if running else [])
    assert ("a" in list(await uow.instances.routable_from(None))) is running


async def test_instances_below_a_paused_one_are_still_reached(uow: UnitOfWork) -> None:
    """Pausing a coordinator would cut off everyone who works below it."""
    await add(
        uow,
        an_instance("root"),
        an_instance("middle", parent_id="root", status=InstanceStatus.PAUSED),
        an_instance("leaf", parent_id="middle"),
    )
    assert list(await uow.instances.routable_from("root")) == ["leaf"]


async def test_missing_tells_which_ids_are_not_there(uow: UnitOfWork) -> None:
    """A task could be delegated to nobody, or be refused though its target is there."""
    await add(uow, an_instance("a"))
    assert await uow.instances.missing(["a", "x", "y"]) == {"x", "y"}
    assert await uow.instances.missing([]) == set()


async def test_the_tree_is_changed_by_one_at_a_time(uow_factory: UnitOfWorkFactory) -> None:
    """Two moves at the same moment, each harmless, would together make a ring."""

    async def change() -> None:
        async with uow_factory() as uow:
            await uow.instances.lock_structure()

    async with uow_factory() as first:
        await first.instances.lock_structure()
        async with waiting(change()):
            await first.commit()
