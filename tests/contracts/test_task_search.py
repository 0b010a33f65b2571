"""Full text search over tasks."""

import pytest
from tests.builders import a_task, later
from tests.contracts.working import add, walk

from hopper.domain.task import TaskStatus
from hopper.ports.repositories import TaskFilter, TaskHit
from hopper.ports.unit_of_work import UnitOfWork

ALL = TaskFilter()


async def hits(uow: UnitOfWork, query: str, where: TaskFilter = ALL, limit: int = 50) -> list[TaskHit]:
    return await walk(lambda cursor: uow.tasks.search(query, where, limit, cursor), limit)


async def found(uow: UnitOfWork, query: str, where: TaskFilter = ALL, limit: int = 50) -> list[str]:
    return [hit.task.id for hit in await hits(uow, query, where, limit)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("card", {"lost", "declined"}),
        ("CARDS", {"lost", "declined"}),
        ("lost card", {"lost"}),
        ("abroad", {"declined"}),
        ('"lost card"', {"lost"}),
        ('"card lost"', set()),
        ("card -lost", {"declined"}),
        ("-card", {"transfer"}),
        ("lost or transfer", {"lost", "transfer"}),
        ("nothing of the kind", set()),
        ("", set()),
        ("the", set()),
        ("'; -- & | ! ( ) : * <->", set()),
        ("card'; DROP TABLE tasks", set()),
        ('"card', {"lost", "declined"}),
    ],
)
async def test_a_query_has_words_phrases_exceptions_and_alternatives(
    query: str, expected: set[str], uow: UnitOfWork
) -> None:
    """A person would find what they excluded, miss what they named, or be told of a syntax error."""
    await add(
        uow,
        a_task("I have a lost card", id="lost"),
        a_task("Payment declined", id="declined", description="My cards don't work abroad."),
        a_task("Transfer to the wrong account", id="transfer"),
    )
    assert set(await found(uow, query)) == expected


async def test_a_word_in_the_title_counts_more(uow: UnitOfWork) -> None:
    """The task that is about the word would stand below one that mentions it."""
    await add(
        uow,
        a_task("Something else", id="mentions", description="There was also a refund."),
        a_task("Refund", id="about"),
    )
    assert await found(uow, "refund") == ["about", "mentions"]


async def test_a_hit_carries_the_whole_task_and_marks_the_words(uow: UnitOfWork) -> None:
    """A person would see that something was found, but not what."""
    needed = a_task("Other", id="needed")
    task = a_task("A lost card", description="Please block it.", tags={"area": "ui"}, depends_on=("needed",))
    await add(uow, needed, task)
    [hit] = await hits(uow, "blocked card")
    assert hit.task == task
    assert hit.score > 0
    assert "«card»" in hit.highlight
    assert "«block»" in hit.highlight


async def test_a_search_can_be_filtered(uow: UnitOfWork) -> None:
    """Finished tasks, or those of other projects, would hide the one that is looked for."""
    await add(
        uow,
        a_task("Refund", id="open", project="shop", tags={"area": "ui"}),
        a_task("Refund", id="done", project="shop", status=TaskStatus.DONE),
        a_task("Refund", id="other"),
    )
    assert set(await found(uow, "refund", TaskFilter(project="shop"))) == {"open", "done"}
    assert await found(uow, "refund", TaskFilter(project="shop", status=TaskStatus.DONE)) == ["done"]
    assert await found(uow, "refund", TaskFilter(tag="area=ui"), limit=1) == ["open"]


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_of_hits_lose_and_double_nothing(limit: int, uow: UnitOfWork) -> None:
    """Among hits that are equally good, a person who turns pages would miss some."""
    same = [a_task("Refund please", id=f"same{n}", created_at=later(n)) for n in range(5)]
    various = [a_task("Please", id=f"t{n}", description="refund " * (n + 1)) for n in range(4)]
    await add(uow, *same, *various)
    in_pages = await hits(uow, "refund", limit=limit)
    assert sorted(hit.task.id for hit in in_pages) == sorted(task.id for task in (*same, *various))
    assert [hit.score for hit in in_pages] == sorted((hit.score for hit in in_pages), reverse=True)
    assert in_pages == await hits(uow, "refund")


async def test_an_edited_task_is_found_by_its_new_words_only(uow: UnitOfWork) -> None:
    """Search would lead to tasks that no longer say what was looked for."""
    await add(uow, a_task("Refund", id="t"))
    await uow.tasks.update(a_task("Chargeback", id="t"))
    assert await found(uow, "refund") == []
    assert await found(uow, "chargeback") == ["t"]
    await uow.tasks.delete("t")
    assert await found(uow, "chargeback") == []
