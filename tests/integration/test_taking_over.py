"""Taking over tasks from elsewhere: what becomes of each record, in every order and state."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.builders import NOW, a_task, an_instance, later
from tests.integration.test_at_once import until_waiting

from hopper.app.lifecycle import create_task, delegate_task
from hopper.app.moving import take_over
from hopper.app.tasks import delete_task, edit_task
from hopper.domain.moving import OWN, Fate, Outcome, Record
from hopper.domain.task import Task, TaskStatus
from hopper.ports import Ports

FIRST = Record(external_id="1", title="First", description="Text", tags={"a": True, "b": "1"}, updated_at=NOW)
SECOND = Record(external_id="2", title="Second", depends_on=("1",), parent="1")


async def taken(ports: Ports, *records: Record, source: str = "github") -> list[Outcome]:
    return await take_over(records, source, ports=ports)


async def task_of(ports: Ports, outcome: Outcome) -> Task:
    assert outcome.task_id
    async with ports.reading() as uow:
        return await uow.tasks.get(outcome.task_id)


def fates(outcomes: Sequence[Outcome]) -> list[Fate]:
    return [outcome.outcome for outcome in outcomes]


async def test_a_dry_run_says_what_is_done_in_earnest(ports: Ports) -> None:
    """Whoever looks first would be told something else than what happens, or it would happen at once."""
    planned = await take_over([FIRST, SECOND], "github", ports=ports, dry_run=True)
    assert fates(planned) == [Fate.NEW, Fate.NEW]
    assert fates(await take_over([SECOND], "github", ports=ports, announced=["1"], dry_run=True)) == [Fate.NEW]
    assert await taken(ports, FIRST, SECOND) == planned
    changed = [replace(FIRST, title="Other"), SECOND]
    planned = await take_over(changed, "github", ports=ports, dry_run=True)
    assert (await task_of(ports, planned[0])).title == "First"
    assert await taken(ports, *changed) == planned
    assert (await task_of(ports, planned[0])).title == "Other"


async def test_references_are_kept_also_to_what_comes_later(ports: Ports) -> None:
    """Dependencies would be lost for good when their task comes with a later file."""
    early = (await taken(ports, SECOND))[0]
    assert len(early.notes) == 2
    assert (await task_of(ports, early)).tags == {"depends_on:1": True, "parent_task_id:1": True}
    first, second = await taken(ports, FIRST, SECOND)
    task = await task_of(ports, second)
    assert (task.depends_on, task.parent_task_id, task.tags) == ((first.task_id,), first.task_id, {})
    assert fates(await taken(ports, FIRST, SECOND)) == [Fate.UNCHANGED, Fate.UNCHANGED]


async def test_a_ring_is_taken_as_far_as_it_can_be(ports: Ports) -> None:
    """Two issues that block each other would end the import, or one of the two would be lost."""
    ring = [replace(FIRST, depends_on=("2", "1")), replace(SECOND, parent=None)]
    outcomes = await taken(ports, *ring)
    assert fates(outcomes) == [Fate.NEW, Fate.NEW]
    tasks = [await task_of(ports, outcome) for outcome in outcomes]
    assert tasks[1].depends_on == (tasks[0].id,)
    assert {"depends_on:1", "depends_on:2"} <= tasks[0].tags.keys()
    assert fates(await taken(ports, *ring)) == [Fate.UNCHANGED, Fate.UNCHANGED]
    both = [replace(FIRST, external_id="3"), replace(FIRST, external_id="4")]
    await taken(ports, *both)
    closed = [replace(both[0], depends_on=("4",)), replace(both[1], depends_on=("3",))]
    assert fates(await taken(ports, *closed)) == [Fate.CHANGED, Fate.CHANGED]
    assert fates(await taken(ports, *closed)) == [Fate.UNCHANGED, Fate.UNCHANGED]


async def test_what_was_changed_here_stays_and_is_told(ports: Ports) -> None:
    """Work on a task would be undone by the next import."""
    (outcome,) = await taken(ports, FIRST)
    assert outcome.task_id
    await edit_task(outcome.task_id, {"title": "Mine", "tags": {"a": True, "mine": True}}, ports=ports)
    (told,) = await taken(ports, replace(FIRST, title="Theirs", tags={"a": "x", "b": "1"}, description="New"))
    assert (told.outcome, told.changed, told.newer_here) == (Fate.CHANGED, ("description", "tags.a"), ("title",))
    task = await task_of(ports, told)
    assert (task.title, task.description, task.tags) == ("Mine", "New", {"a": "x", "mine": True})
    (again,) = await taken(ports, replace(FIRST, title="Theirs", tags={"a": "x", "b": "1"}, description="New"))
    assert (again.outcome, again.newer_here) == (Fate.NEWER_HERE, ("title",))
    assert (await task_of(ports, told)).version == task.version


async def test_what_was_removed_here_stays_away(ports: Ports) -> None:
    """Whoever tidies up would have everything back the next day."""
    (outcome,) = await taken(ports, FIRST)
    assert outcome.task_id
    await delete_task(outcome.task_id, ports=ports)
    assert fates(await taken(ports, FIRST)) == [Fate.REMOVED_HERE]
    assert fates(await taken(ports, FIRST, source="elsewhere")) == [Fate.NEW]
    assert fates(await take_over([FIRST], "github", ports=ports, restore=True)) == [Fate.NEW]
    assert fates(await taken(ports, FIRST)) == [Fate.UNCHANGED]


async def test_what_is_done_there_is_done_here(ports: Ports) -> None:
    """A task that was closed at its source would stay open because of what it depends on here."""
    instance = an_instance("cards")
    async with ports.unit_of_work() as uow:
        await uow.instances.add(instance)
        await uow.commit()
    _, second = await taken(ports, FIRST, SECOND)
    assert second.task_id
    await delegate_task(second.task_id, "cards", ports=ports)
    assert fates(await taken(ports, FIRST, replace(SECOND, status=TaskStatus.DONE))) == [Fate.UNCHANGED, Fate.CHANGED]
    async with ports.reading() as uow:
        assert (await uow.tasks.get(second.task_id)).status is TaskStatus.DONE
        assert await uow.delegations.live(second.task_id) is None


async def test_a_task_of_ones_own_is_overwritten_only_by_a_newer_record(ports: Ports) -> None:
    """An old backup would undo what was done since, or a newer one be ignored."""
    for id in ("old", "less", "newer"):
        await create_task(a_task("Here", id=id, description="Kept", updated_at=later(5)), ports=ports)
    old, less, newer = await taken(
        ports,
        Record(external_id="old", title="Old", description="Kept", updated_at=later(1)),
        Record(external_id="less", title="Here", updated_at=later(9)),
        Record(external_id="newer", title="New", description="Kept", updated_at=later(9)),
        source=OWN,
    )
    assert (old.outcome, old.newer_here) == (Fate.NEWER_HERE, ("title",))
    assert (less.outcome, less.newer_here) == (Fate.NEWER_HERE, ("description",))
    assert (newer.outcome, newer.changed) == (Fate.CHANGED, ("title",))
    assert (await task_of(ports, newer)).title == "New"


async def test_what_comes_late_changes_nothing(ports: Ports) -> None:
    """A push that was slow would put back old words, and an older export undo what a newer one has brought."""
    first, newer = (
        Record(external_id="t", title="A", updated_at=NOW),
        replace(FIRST, external_id="t", updated_at=later(2)),
    )
    await taken(ports, first, source=OWN)
    await taken(ports, newer, source=OWN)
    (late,) = await taken(ports, replace(first, title="B", updated_at=later(1)), source=OWN)
    assert (late.outcome, late.newer_here) == (Fate.NEWER_HERE, ("description", "tags.a", "tags.b", "title"))
    assert (await task_of(ports, late)).title == "First"
    assert fates(await taken(ports, newer, source=OWN)) == [Fate.UNCHANGED]
    (next_one,) = await taken(ports, replace(newer, title="C", updated_at=later(3)), source=OWN)
    assert next_one.changed == ("title",)


async def test_records_at_once_are_taken_one_after_the_other(ports: Ports, database_url: str) -> None:
    """The second of two pushes would be compared with what was said before the first, and called a conflict."""
    said = [Record(external_id="t", title=title, updated_at=later(at)) for at, title in enumerate("ABC")]
    await taken(ports, said[0], source=OWN)
    pushes = []
    async with ports.unit_of_work() as uow:
        await uow.tasks.get_for_update("t")
        for many, record in enumerate(said[1:], 1):
            pushes.append(asyncio.create_task(taken(ports, record, source=OWN)))
            await until_waiting(database_url, many)
    assert [fates(await push) for push in pushes] == [[Fate.CHANGED], [Fate.CHANGED]]


async def test_a_holder_that_isnt_here_is_kept_as_a_tag(ports: Ports) -> None:
    """A task from another server would be refused, or forget whose it was."""
    async with ports.unit_of_work() as uow:
        await uow.instances.add(an_instance("cards"))
        await uow.commit()
    outcomes = await taken(
        ports, replace(FIRST, instance_id="cards"), replace(SECOND, instance_id="nobody"), source=OWN
    )
    held, unknown = [await task_of(ports, outcome) for outcome in outcomes]
    assert (held.instance_id, unknown.instance_id) == ("cards", None)
    assert unknown.tags == {"instance_id:nobody": True}


async def test_one_that_cant_be_stored_fails_alone(ports: Ports) -> None:
    """One odd record would take hundreds of good ones with it."""
    twice = replace(FIRST, title="Again")
    odd = Record(external_id="x" * 40, title="Too long an id")
    outcomes = await taken(ports, FIRST, odd, twice, replace(SECOND, parent=None, depends_on=()), source=OWN)
    assert fates(outcomes) == [Fate.NEW, Fate.FAILED, Fate.CHANGED, Fate.NEW]
    outcomes = await taken(ports, FIRST, twice)
    assert fates(outcomes) == [Fate.NEW, Fate.FAILED]
    assert outcomes[1].detail


@pytest.mark.parametrize("_time", range(3))
async def test_imports_at_once_make_no_doubles(ports: Ports, _time: int) -> None:
    """Two people who import the same at the same moment would have everything twice, or an error."""
    records = [replace(FIRST, external_id=str(number)) for number in range(40)]
    everything = await asyncio.gather(*(taken(ports, *records) for _ in range(4)))
    assert all(outcome.outcome in (Fate.NEW, Fate.UNCHANGED) for outcomes in everything for outcome in outcomes)
    assert len({outcome.task_id for outcomes in everything for outcome in outcomes}) == 40
    async with ports.reading() as uow:
        assert len(await uow.tasks.get_many([outcome.task_id or "" for outcome in everything[0]])) == 40
