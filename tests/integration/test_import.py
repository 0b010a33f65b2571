"""Taking in many tasks: in batches or all at once, with lines that can't be used and lines that come again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest
from tests.builders import a_task
from tests.steps import drained, joined, task_now

from hopper.app import imports
from hopper.app.imports import BATCH, TOLD, ImportReport, Rejected, Row, import_tasks
from hopper.app.instances import delete_instance
from hopper.domain.errors import Invalid
from hopper.domain.ids import TaskId
from hopper.domain.query import parse
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.ports.repositories import TaskFilter
from hopper.ports.unit_of_work import UnitOfWork

NOT_JSON = "This is not JSON"


def tasks(number: int, first: int = 0, **fields: Any) -> list[Task]:
    return [a_task(f"Task {at}", id=f"task-{at}", **fields) for at in range(first, first + number)]


async def lines(given: Iterable[Task | None]) -> AsyncIterator[Row | Rejected]:
    """The lines of a file, from 1; None stands for one that can't be read."""
    for number, task in enumerate(given, 1):
        yield Rejected(number, None, NOT_JSON) if task is None else Row(number, task)


async def taken_in(ports: Ports, given: Iterable[Task | None], *, atomic: bool = False) -> ImportReport:
    return await import_tasks(lines(given), atomic=atomic, ports=ports)


def over(ports: Ports, unit_of_work: Callable[[], AbstractAsyncContextManager[Any]]) -> Ports:
    """The same Hopper with another unit of work."""
    return replace(ports, unit_of_work=cast(Callable[[], UnitOfWork], unit_of_work))


def told(report: ImportReport) -> list[tuple[int, str | None]]:
    """Which lines were refused, and for which field."""
    return [(error.line, error.field) for error in report.errors]


async def there(ports: Ports) -> set[TaskId]:
    found: set[TaskId] = set()
    cursor = None
    while True:
        async with ports.unit_of_work() as uow:
            page = await uow.tasks.list(TaskFilter(), 500, cursor)
        found |= {task.id for task in page.items}
        cursor = page.next_cursor
        if cursor is None:
            return found


async def test_all_that_can_be_used_is_taken_in_and_embedded(ports: Ports) -> None:
    """One bad line would cost a person the whole file, or a large file all after its first part."""
    given: list[Task | None] = [*tasks(2 * BATCH + 1)]
    given[3:3] = [None]
    given.append(None)
    report = await taken_in(ports, given)
    assert (report.created, report.unchanged) == (2 * BATCH + 1, 0)
    assert told(report) == [(4, None), (len(given), None)]
    assert {error.detail for error in report.errors} == {NOT_JSON}
    assert len(await there(ports)) == 2 * BATCH + 1
    await drained(ports)
    async with ports.unit_of_work() as uow:
        assert await uow.search.matching(parse("task 1000"), TaskFilter(), 5) == ("task-1000",)


@pytest.mark.parametrize("bad", [0, 1, 2 * BATCH - 1])
async def test_all_or_nothing_is_just_that(ports: Ports, bad: int) -> None:
    """Whoever asked for all or nothing would be left with a part, wherever in the file the bad line is."""
    given: list[Task | None] = [*tasks(2 * BATCH)]
    given[bad] = None
    report = await taken_in(ports, given, atomic=True)
    assert (report.created, report.unchanged, told(report)) == (0, 0, [(bad + 1, None)])
    assert await there(ports) == set()
    good = await taken_in(ports, tasks(2 * BATCH), atomic=True)
    assert (good.created, told(good)) == (2 * BATCH, [])
    assert len(await there(ports)) == 2 * BATCH


@pytest.mark.parametrize("atomic", [False, True])
async def test_a_file_can_be_taken_in_again(ports: Ports, atomic: bool) -> None:
    """A broken-off import couldn't be repeated without doubles, or would undo what people did meanwhile."""
    await taken_in(ports, tasks(3), atomic=atomic)
    changed = [a_task("Said anew", id="task-1"), *tasks(3, first=2)]
    report = await taken_in(ports, changed, atomic=atomic)
    assert (report.created, report.unchanged, told(report)) == (2, 2, [])
    assert (await task_now(ports, "task-1")).title == "Task 1"
    assert await there(ports) == {f"task-{at}" for at in range(5)}


@pytest.mark.parametrize("between", [0, BATCH], ids=["in one part", "in two parts"])
async def test_an_id_that_comes_twice_is_taken_once(ports: Ports, between: int) -> None:
    """A file with a double would fail as a whole, or the later line would silently win."""
    twice = a_task("First", id="double"), a_task("Second", id="double")
    report = await taken_in(ports, [twice[0], *tasks(between), twice[1]])
    assert (report.created, report.unchanged, told(report)) == (1 + between, 1, [])
    assert (await task_now(ports, "double")).title == "First"


@pytest.mark.parametrize("between", [0, BATCH], ids=["in one part", "in two parts"])
@pytest.mark.parametrize("atomic", [False, True])
async def test_a_line_may_name_earlier_ones(ports: Ports, between: int, atomic: bool) -> None:
    """A project with subtasks and dependencies couldn't be moved to another server in one file."""
    first = a_task("First", id="first")
    second = a_task("Second", id="second", depends_on=("first",), parent_task_id="first")
    report = await taken_in(ports, [first, *tasks(between), second], atomic=atomic)
    assert (report.created, told(report)) == (2 + between, [])
    after = await task_now(ports, "second")
    assert (after.depends_on, after.parent_task_id) == (("first",), "first")


@pytest.mark.parametrize("field", ["depends_on", "parent_task_id"])
async def test_a_line_that_names_a_later_one_is_told(ports: Ports, field: str) -> None:
    """The dependency would be lost without a word, or the whole file refused without naming the line."""
    value: Any = ("later",) if field == "depends_on" else "later"
    report = await taken_in(ports, [*tasks(1), a_task("Too early", **{field: value}), a_task("Later", id="later")])
    assert (report.created, told(report)) == (2, [(2, field)])
    assert "later" in report.errors[0].detail
    assert await there(ports) == {"task-0", "later"}


async def test_what_a_refused_line_would_have_been_cant_be_named(ports: Ports) -> None:
    """A task would depend on one that was never taken in."""
    refused = a_task("Refused", id="refused", instance_id="nobody")
    report = await taken_in(ports, [refused, a_task("Next", depends_on=("refused",)), *tasks(1)])
    assert (report.created, told(report)) == (1, [(1, "instance_id"), (2, "depends_on")])


async def test_lines_with_nothing_in_common_are_judged_one_by_one(ports: Ports) -> None:
    """A single unknown name would take its neighbours with it."""
    await joined(ports, "cards")
    known = a_task("Known", id="known")
    await taken_in(ports, [known])
    report = await taken_in(
        ports,
        [
            a_task("a", instance_id="cards"),
            a_task("b", instance_id="nobody"),
            a_task("c", depends_on=("known", "unknown")),
            a_task("d", depends_on=("known",)),
            a_task("e", parent_task_id="unknown"),
            a_task("f", id="itself", depends_on=("itself",)),
        ],
    )
    assert (report.created, report.unchanged) == (2, 0)
    assert told(report) == [(2, "instance_id"), (3, "depends_on"), (5, "parent_task_id"), (6, "depends_on")]


async def test_the_same_file_twice_at_once_makes_no_doubles(ports: Ports) -> None:
    """An import that was started again too soon would fail, or fight with the first for ever."""
    reports = await asyncio.gather(
        taken_in(ports, tasks(BATCH + 100)), taken_in(ports, tasks(BATCH + 100), atomic=True)
    )
    assert sum(report.created for report in reports) == BATCH + 100
    assert sum(report.unchanged for report in reports) == BATCH + 100
    assert len(await there(ports)) == BATCH + 100


@pytest.mark.parametrize("atomic", [False, True])
async def test_two_imports_in_opposite_order_dont_stop_each_other(ports: Ports, atomic: bool) -> None:
    """Two people who import the same tasks, differently sorted, would each be left with a part."""
    given = tasks(2 * BATCH)
    reports = await asyncio.gather(*(taken_in(ports, order, atomic=atomic) for order in (given, given[::-1]) * 2))
    assert [report.failed for report in reports] == [0] * 4
    assert sum(report.created for report in reports) == 2 * BATCH
    assert len(await there(ports)) == 2 * BATCH


@pytest.mark.parametrize(("atomic", "created"), [(False, 2), (True, 0)])
async def test_a_holder_that_goes_away_meanwhile_is_told_by_its_line(ports: Ports, atomic: bool, created: int) -> None:
    """An import would stop half-way without a report, since somebody tidied up at the same time."""
    await joined(ports, "leaving")

    @asynccontextmanager
    async def just_before_it_leaves() -> AsyncIterator[Any]:
        async with ports.unit_of_work() as uow:
            look = uow.instances.missing

            async def missing(ids: Sequence[str]) -> set[str]:
                found = await look(ids)
                if not found:
                    await delete_instance("leaving", ports=ports)
                return found

            setattr(uow.instances, "missing", missing)  # noqa: B010
            yield uow

    given = [*tasks(1), a_task("Held", instance_id="leaving"), *tasks(1, first=1)]
    meanwhile = over(ports, just_before_it_leaves)
    report = await import_tasks(lines(given), atomic=atomic, ports=meanwhile)
    assert (report.created, told(report)) == (created, [(2, "instance_id")])
    assert len(await there(ports)) == created


async def test_a_row_that_only_the_database_refuses_keeps_the_others_in(ports: Ports) -> None:
    """One row that no check foresaw would take up to 499 good ones with it, and nobody would know which it was."""
    bad = tasks(1)[0]

    @asynccontextmanager
    async def particular() -> AsyncIterator[Any]:
        async with ports.unit_of_work() as uow:
            add = uow.tasks.add_many

            async def add_many(rows: Sequence[Task]) -> set[TaskId]:
                if bad in rows:
                    raise Invalid("title", "It is too odd.")
                return await add(rows)

            setattr(uow.tasks, "add_many", add_many)  # noqa: B010
            yield uow

    given = [*tasks(3, first=1), bad, *tasks(3, first=4)]
    report = await import_tasks(lines(given), atomic=False, ports=over(ports, particular))
    assert (report.created, told(report)) == (6, [(4, "title")])


@pytest.mark.parametrize("atomic", [False, True])
async def test_more_bad_lines_than_anyone_reads_are_only_counted(ports: Ports, atomic: bool) -> None:
    """A file of the wrong kind would fill the server's memory with what is wrong with it."""
    report = await taken_in(ports, [None] * (TOLD + 5), atomic=atomic)
    assert report.failed == TOLD + 5
    assert [error.line for error in report.errors] == list(range(1, TOLD + 1))


async def test_an_import_holds_no_connection_while_lines_come_in(ports: Ports) -> None:
    """Twenty slow senders would stop the server for everybody."""
    open_now = 0

    @asynccontextmanager
    async def counted() -> AsyncIterator[Any]:
        nonlocal open_now
        async with ports.unit_of_work() as uow:
            open_now += 1
            yield uow
            open_now -= 1

    async def slow() -> AsyncIterator[Row | Rejected]:
        async for line in lines(tasks(BATCH + 2)):
            assert open_now == 0
            yield line

    for atomic in (True, False):
        await import_tasks(slow(), atomic=atomic, ports=over(ports, counted))
    assert len(await there(ports)) == BATCH + 2


async def test_all_or_nothing_has_an_end(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    """Millions of tiny lines would all be in the server's memory at once."""
    monkeypatch.setattr(imports, "ALL_OR_NONE", 5)
    assert (await taken_in(ports, tasks(5), atomic=True)).created == 5
    with pytest.raises(Invalid, match="5 lines at most"):
        await taken_in(ports, tasks(6), atomic=True)


async def test_an_empty_file_is_no_failure(ports: Ports) -> None:
    """A script that finds nothing to do one day would stop."""
    for atomic in (False, True):
        assert await taken_in(ports, [], atomic=atomic) == ImportReport()


async def test_an_import_that_breaks_off_keeps_what_was_stored(ports: Ports) -> None:
    """After a lost connection nobody could tell how far the import had come, or it would have to start over."""

    async def cut() -> AsyncIterator[Row | Rejected]:
        async for line in lines(tasks(BATCH + 10)):
            yield line
        raise EOFError

    for atomic, kept in ((True, 0), (False, BATCH)):
        with pytest.raises(EOFError):
            await import_tasks(cut(), atomic=atomic, ports=ports)
        assert len(await there(ports)) == kept
