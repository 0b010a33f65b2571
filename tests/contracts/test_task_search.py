"""Full text search over tasks."""

import pytest
from tests.builders import a_task
from tests.contracts.working import add

from hopper.domain.query import parse
from hopper.domain.task import TaskStatus
from hopper.domain.text import Text
from hopper.ports.repositories import TaskFilter
from hopper.ports.search import Wording
from hopper.ports.unit_of_work import UnitOfWork
from hopper.routing.likeness import weights

ALL = TaskFilter()


async def found(uow: UnitOfWork, query: str, where: TaskFilter = ALL, limit: int = 50) -> list[str]:
    return list(await uow.search.matching(parse(query), where, limit))


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
        ("decl*", {"declined"}),
        ("car* -los*", {"declined"}),
        ('"lost ca"*', {"lost"}),
        ("wrong or abro* lost", {"transfer"}),
        ("*", set()),
        ("'", set()),
        ("a'b\\", set()),
        ("🎉", set()),
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
    marked = await uow.search.marked(parse("blocked card -transfer"), [task.id, "gone"])
    assert list(marked) == [task.id]
    found, highlight = marked[task.id]
    assert found == task
    assert "«card»" in highlight
    assert "«block»" in highlight


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


async def test_an_edited_task_is_found_by_its_new_words_only(uow: UnitOfWork) -> None:
    """Search would lead to tasks that no longer say what was looked for."""
    await add(uow, a_task("Refund", id="t"))
    await uow.tasks.update(a_task("Chargeback", id="t"))
    assert await found(uow, "refund") == []
    assert await found(uow, "chargeback") == ["t"]
    await uow.tasks.delete("t")
    assert await found(uow, "chargeback") == []


async def test_other_scripts_are_found_by_whole_words_and_beginnings(uow: UnitOfWork) -> None:
    """People who don't write in English would find nothing."""
    await add(
        uow,
        a_task("支払いが拒否されました 海外", id="ja"),
        a_task("Платеж отклонён за границей", id="ru"),
        a_task("تم رفض الدفع", id="ar"),
    )
    for query, expected in (("海外", "ja"), ("支払い*", "ja"), ("платеж", "ru"), ("الدفع", "ar")):
        assert await found(uow, query) == [expected]


async def test_what_a_query_excludes_is_told_of_any_task(uow: UnitOfWork) -> None:
    """A search by meaning would bring just what a person said they don't want."""
    await add(uow, a_task("Lost card", id="lost"), a_task("Declined card", id="declined"))
    assert await uow.search.without(parse("plastic -los*"), ["lost", "declined", "gone"]) == {"declined"}
    assert await uow.search.without(parse("plastic"), ["lost"]) == {"lost"}


async def test_words_are_counted_where_they_occur(uow: UnitOfWork) -> None:
    """What is said by few tasks couldn't be told from what all of them say."""
    await add(
        uow,
        a_task("Card declined", id="a", description="The card, my only card."),
        a_task("Card lost", id="b"),
        a_task("Card", id="done", status=TaskStatus.DONE),
    )
    said = await uow.search.occurrences("Declined cards", "a zebra", TaskFilter(is_open=True))
    assert set(said.asked.words) == {"declin", "card", "zebra"}
    assert set(said.title.words) == {"declin", "card"}
    assert {word: set(ids) for word, ids in said.postings.items()} == {
        "declin": {"a"},
        "card": {"a", "b"},
        "zebra": set(),
    }
    assert (said.tasks, said.frequencies["card"], said.frequencies["zebra"]) == (3, 2, 0)
    wordings = await uow.search.wordings(["a", "b", "gone"], ["card", "declin"])
    assert wordings == {
        "a": Wording(Text({"card": 3, "declin": 1}, 2), Text({"card": 1, "declin": 1}, 2)),
        "b": Wording(Text({"card": 1}, 2), Text({"card": 1}, 2)),
    }


async def test_common_words_of_many_tasks_are_known_without_looking_them_up(uow: UnitOfWork) -> None:
    """A new task with usual words would be compared with most of those that there are."""
    await uow.tasks.add_many([a_task(f"Card number {n}", id=f"t{n}") for n in range(1_200)])
    said = await uow.search.occurrences("Card 7", None, ALL)
    assert len(said.postings["card"]) <= 500
    assert said.postings["7"] == ["t7"]
    assert weights(said.frequencies, said.tasks)["7"] > weights(said.frequencies, said.tasks)["card"]
