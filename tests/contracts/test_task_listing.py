"""Listings of tasks: filters, order, and pages that neither lose nor double a task."""

from dataclasses import replace

import pytest
from tests.builders import a_delegation, a_task, an_instance, later
from tests.contracts.working import UnitOfWorkFactory, add, keep, walk

from hopper.domain.errors import Invalid
from hopper.domain.task import Priority, Task, TaskStatus
from hopper.ports.repositories import Page, TaskFilter
from hopper.ports.unit_of_work import UnitOfWork

ALL = TaskFilter()


async def listed(uow: UnitOfWork, where: TaskFilter = ALL, limit: int = 50) -> list[str]:
    return [task.id for task in await walk(lambda cursor: uow.tasks.list(where, limit, cursor), limit)]


async def test_the_newest_task_comes_first(uow: UnitOfWork) -> None:
    """A person would have to go through all old tasks to find the one that just came in."""
    await add(uow, *(a_task(id=f"t{minute}", created_at=later(minute)) for minute in (3, 1, 2)))
    assert await listed(uow) == ["t3", "t2", "t1"]


async def test_listed_tasks_are_whole(uow: UnitOfWork) -> None:
    """A client would have to read every listed task again to see its tags and dependencies."""
    first = a_task(id="first")
    task = a_task(description="more", tags={"area": "ui"}, depends_on=("first",), created_at=later(1))
    await add(uow, first, task)
    assert (await uow.tasks.list(ALL, 50)).items == (task, first)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (TaskFilter(), ["a", "b", "c"]),
        (TaskFilter(status=TaskStatus.DONE), ["b"]),
        (TaskFilter(status=TaskStatus.CANCELLED), []),
        (TaskFilter(priority=Priority.HIGH), ["a", "b"]),
        (TaskFilter(project="site"), ["a"]),
        (TaskFilter(instance_id="one"), ["a"]),
        (TaskFilter(source="mail"), ["b"]),
        (TaskFilter(parent_task_id="a"), ["c"]),
        (TaskFilter(tag="area"), ["a", "b"]),
        (TaskFilter(tag="area=ui"), ["a"]),
        (TaskFilter(tag="area=u"), []),
        (TaskFilter(tag="cards"), ["a", "c"]),
        (TaskFilter(tag="card"), []),
        (TaskFilter(tag="query=a=b"), ["c"]),
        (TaskFilter(priority=Priority.HIGH, tag="area=api", status=TaskStatus.DONE, source="mail"), ["b"]),
        (TaskFilter(priority=Priority.HIGH, tag="area=api", status=TaskStatus.PENDING), []),
        (TaskFilter(project="x' OR '1'='1"), []),
    ],
)
async def test_a_filter_keeps_what_matches_all_of_it(where: TaskFilter, expected: list[str], uow: UnitOfWork) -> None:
    """A list would show tasks that weren't asked for, or hide some that were."""
    await add(
        uow,
        an_instance("one"),
        a_task(
            id="a",
            project="site",
            instance_id="one",
            priority=Priority.HIGH,
            tags={"area": "ui", "cards": True},
            created_at=later(3),
        ),
        a_task(
            id="b",
            status=TaskStatus.DONE,
            priority=Priority.HIGH,
            source="mail",
            tags={"area": "api"},
            created_at=later(2),
        ),
        a_task(id="c", parent_task_id="a", tags={"cards": "gold", "query": "a=b"}, created_at=later(1)),
    )
    assert await listed(uow, where) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
async def test_pages_lose_and_double_nothing_when_all_times_are_equal(limit: int, uow: UnitOfWork) -> None:
    """After an import, whose tasks have one time, a person who turns pages would miss some of them."""
    await uow.tasks.add_many([a_task(id=f"t{n}") for n in range(7)])
    found = await listed(uow, limit=limit)
    assert sorted(found) == [f"t{n}" for n in range(7)]
    assert found == await listed(uow)


async def test_times_that_differ_by_a_microsecond_are_told_apart(uow: UnitOfWork) -> None:
    """Tasks that were filed in quick succession would vanish between two pages."""
    moments = [later(n / 60_000_000) for n in range(6)]
    await uow.tasks.add_many([a_task(id=f"t{n}", created_at=moment) for n, moment in enumerate(moments)])
    assert await listed(uow, limit=2) == [f"t{n}" for n in reversed(range(6))]


async def test_an_empty_listing_is_one_empty_page(uow: UnitOfWork) -> None:
    """A client would ask for a next page that doesn't exist, or fail on the first."""
    assert await uow.tasks.list(ALL, 10) == Page((), None)


async def test_the_last_page_says_that_it_is_the_last(uow: UnitOfWork) -> None:
    """A client would fetch an empty page after every listing whose length is a multiple of the page's."""
    await uow.tasks.add_many([a_task(id=f"t{n}") for n in range(4)])
    first = await uow.tasks.list(ALL, 2)
    assert first.next_cursor
    second = await uow.tasks.list(ALL, 2, first.next_cursor)
    assert (len(second.items), second.next_cursor) == (2, None)


async def test_a_cursor_keeps_its_place_while_tasks_come_and_go(uow_factory: UnitOfWorkFactory) -> None:
    """On a busy server a person who turns pages would see tasks twice, or never."""
    old = [a_task(id=f"t{n}", created_at=later(n)) for n in range(6)]
    await keep(uow_factory, *old)
    async with uow_factory() as uow:
        first = await uow.tasks.list(ALL, 2)
    assert [task.id for task in first.items] == ["t5", "t4"]
    async with uow_factory() as uow:
        await add(uow, a_task(id="newer", created_at=later(9)), a_task(id="t3b", created_at=later(3)))
        await uow.tasks.delete("t4")  # where the cursor stands
        await uow.tasks.update(replace(old[2], title="edited", updated_at=later(10)))
        await uow.commit()
    seen: list[Task] = []
    cursor = first.next_cursor
    while cursor:
        async with uow_factory() as uow:
            page = await uow.tasks.list(ALL, 2, cursor)
        seen += page.items
        cursor = page.next_cursor
    assert [task.id for task in seen if task.id != "t3b"] == ["t3", "t2", "t1", "t0"]
    assert len(seen) <= 5


async def test_a_filter_holds_on_every_page(uow: UnitOfWork) -> None:
    """From the second page on, tasks of other projects would be mixed in."""
    await uow.tasks.add_many(
        [a_task(id=f"t{n}", project="site" if n % 2 else "app", created_at=later(n)) for n in range(10)]
    )
    assert await listed(uow, TaskFilter(project="site"), limit=2) == ["t9", "t7", "t5", "t3", "t1"]


@pytest.mark.parametrize(
    "cursor",
    [
        "garbage",
        "%%%",
        "é",
        "W10",  # []
        "WyJhIl0",  # ["a"]
        "WyJhIiwiYiJd",  # ["a","b"]
        "WyIyMDI2LTAxLTA1VDA5OjAwOjAwKzAwOjAwIl0",  # a time without an id
        "WyIyMDI2LTAxLTA1VDA5OjAwOjAwKzAwOjAwIiwiXHUwMDAwIl0",  # an id of the character NUL
        "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjU5IiwiYSJd",  # a time before all times
        "WyI5OTk5LTEyLTMxVDIzOjU5OjU5LTIzOjU5IiwiYSJd",  # a time after all times
    ],
)
async def test_a_cursor_that_no_listing_gave_out_is_refused(cursor: str, uow: UnitOfWork) -> None:
    """A client with a damaged cursor would be told that the server is broken."""
    await add(uow, a_task())
    with pytest.raises(Invalid) as refused:
        await uow.tasks.list(ALL, 10, cursor)
    assert refused.value.field == "cursor"


async def test_missing_tells_which_ids_are_not_there(uow: UnitOfWork) -> None:
    """An import would refuse rows that name a task which is there."""
    await add(uow, a_task(id="a"), a_task(id="b"))
    assert await uow.tasks.missing(["a", "x", "b", "y", "x"]) == {"x", "y"}
    assert await uow.tasks.missing(["a"]) == set()
    assert await uow.tasks.missing([]) == set()


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("019a", ["019a-x_1", "019a-y.2"]),
        ("x_1", ["019a-x_1"]),
        ("_1", ["019a-x_1"]),
        ("019a-y.2", ["019a-y.2"]),
        ("a-y", []),
        ("x%1", []),
        ("%", []),
        ("019A", []),
    ],
)
async def test_a_task_is_found_by_either_end_of_its_id(part: str, expected: list[str], uow: UnitOfWork) -> None:
    """A person would have to type all of an id, or be shown tasks whose id is another."""
    await add(uow, *(a_task(id=id) for id in ("019a-x_1", "019a-y.2", "020b-xz1")))
    assert sorted(await listed(uow, TaskFilter(id_part=part), limit=1)) == expected


async def test_held_tasks_are_counted_whatever_their_status(uow: UnitOfWork) -> None:
    """An instance could be removed under the tasks that it still holds."""
    await add(
        uow,
        an_instance("one"),
        an_instance("two"),
        a_task(id="a", instance_id="one"),
        a_task(id="b", instance_id="one", status=TaskStatus.DONE),
        a_task(id="c"),
        a_delegation("c", "two"),
    )
    assert await uow.instances.held_tasks("one") == 2
    assert await uow.instances.held_tasks("two") == 0
