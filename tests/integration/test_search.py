"""Finding tasks by words, by meaning and by both, over the real database and the real embedder."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from tests.steps import drained, filed

from hopper.app.search import LEAST_ALIKE, Hit, search, similar_tasks
from hopper.domain.errors import Invalid, NotFound, Unavailable
from hopper.domain.query import Mode
from hopper.domain.task import TaskStatus
from hopper.ports import Ports
from hopper.ports.embedder import Vector
from hopper.ports.repositories import TaskFilter

ALL = TaskFilter()


class CutOff:
    """An embedder behind a line that is cut."""

    model = "wordllama-256"
    dimension = 256

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        raise Unavailable("The line is cut.")


@pytest.fixture
async def bank(ports: Ports) -> AsyncIterator[Ports]:
    """Some tasks of a bank, embedded."""
    for id, title in {
        "declined": "My card payment was declined abroad",
        "refused": "The shop refused my debit card in Portugal",
        "lost": "I lost my card on the train",
        "transfer": "Transfer went to the wrong account",
        "password": "How do I change my password?",
    }.items():
        await filed(ports, title, id=id, project="bank")
    await drained(ports)
    yield ports


async def hits(ports: Ports, text: str, mode: Mode = Mode.HYBRID, where: TaskFilter = ALL) -> list[Hit]:
    return list((await search(text, mode, where, 50, ports=ports)).items)


async def ids(ports: Ports, text: str, mode: Mode = Mode.HYBRID, where: TaskFilter = ALL) -> list[str]:
    return [hit.task.id for hit in await hits(ports, text, mode, where)]


async def test_what_means_the_same_is_found_without_its_words(bank: Ports) -> None:
    """A person would have to guess the words that somebody else chose."""
    assert await ids(bank, "payment declined", Mode.KEYWORD) == ["declined"]
    assert (await ids(bank, "payment declined", Mode.SEMANTIC))[:2] == ["declined", "refused"]
    [first, second, *_] = await hits(bank, "payment declined")
    assert (first.task.id, second.task.id) == ("declined", "refused")
    assert first.ranks == {"keyword": 1, "words": 1, "semantic": 1}
    assert second.ranks == {"semantic": 2}
    assert first.score > second.score
    assert "«payment»" in first.highlight


async def test_what_is_unlike_the_query_is_not_found(bank: Ports) -> None:
    """Every search would answer, and nobody could tell what was found from what merely exists."""
    for mode in Mode:
        assert await ids(bank, "qqqqzzz", mode) == []
        assert await ids(bank, "volcano eruption", mode) == []
    found = await hits(bank, "payment declined", Mode.SEMANTIC)
    alike = [hit.similarity or 0.0 for hit in found]
    assert alike == sorted(alike, reverse=True)
    assert 1 >= alike[0] > 0.5
    assert alike[-1] >= LEAST_ALIKE
    assert [hit.similarity for hit in await hits(bank, "payment declined", Mode.KEYWORD)] == [None]


async def test_how_alike_a_hit_is_is_told_also_when_only_its_words_found_it(bank: Ports) -> None:
    """A person would see a blank where the task says just what they asked for, and not know what it means."""
    text = "The card was stolen from a hotel room in Lisbon, with passport, camera and sunglasses, a week ago. "
    await filed(bank, "Stolen card", id="stolen", description=text)
    await drained(bank)
    [hit] = await hits(bank, "ago")
    assert "semantic" not in hit.ranks
    assert hit.similarity is not None
    assert hit.similarity < LEAST_ALIKE


async def test_a_long_question_is_answered_though_no_task_has_all_of_its_words(bank: Ports) -> None:
    """Whoever asks in a whole sentence would find nothing by words."""
    question = "somebody sent a transfer into a wrong and unknown account yesterday"
    assert await ids(bank, question, Mode.KEYWORD) == []
    [first, *_] = await hits(bank, question)
    assert first.task.id == "transfer"
    assert first.ranks["words"] == 1


async def test_what_is_excluded_is_found_by_no_ranker(bank: Ports) -> None:
    """A search by meaning would bring back just what a person doesn't want."""
    for mode in Mode:
        found = await ids(bank, "card -lost", mode)
        assert "lost" not in found
        assert "declined" in found


async def test_filters_hold_for_every_ranker(bank: Ports) -> None:
    """Finished tasks, or those of others, would hide the one that is looked for."""
    await filed(bank, "Card declined", id="done", status=TaskStatus.DONE, source="cli")
    await drained(bank)
    for where in (TaskFilter(status=TaskStatus.DONE), TaskFilter(source="cli"), TaskFilter(is_open=False)):
        for mode in Mode:
            assert await ids(bank, "card declined", mode, where) == ["done"]


@pytest.mark.parametrize("text", ["🎉", "the of and", "-card", '"', "((", "*", "or", " "])
@pytest.mark.parametrize("mode", Mode)
async def test_a_query_that_says_little_is_answered(bank: Ports, text: str, mode: Mode) -> None:
    """Whoever types a stray sign into the search would see an error."""
    found = await search(text, mode, ALL, 50, ports=bank)
    assert not found.degraded
    assert len({hit.task.id for hit in found.items}) == len(found.items)


async def test_other_scripts_are_searched_by_meaning_too(bank: Ports) -> None:
    """A script without spaces has no words to look up."""
    await filed(bank, "海外でカードの支払いが拒否されました", id="ja")
    await drained(bank)
    [first, *_] = await hits(bank, "カードの支払いが拒否")
    assert first.task.id == "ja"


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_together_are_the_one_long_page(bank: Ports, mode: Mode, limit: int) -> None:
    """A person who turns pages would miss tasks, or see them twice."""
    for n in range(9):
        await filed(bank, "Card declined again", id=f"same{n}")
    await drained(bank)
    whole = list((await search("card declined", mode, ALL, 200, ports=bank)).items)
    assert len(whole) >= 10
    turned: list[Hit] = []
    cursor = None
    while True:
        page = await search("card declined", mode, ALL, limit, cursor, ports=bank)
        turned += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.items) == limit
    assert turned == whole


async def test_a_strange_cursor_is_refused(bank: Ports) -> None:
    """A mangled link would silently start again."""
    with pytest.raises(Invalid) as refused:
        await search("card", Mode.HYBRID, ALL, 5, "bm90IGEgY3Vyc29y", ports=bank)
    assert refused.value.field == "cursor"


async def test_the_cursor_of_another_search_is_refused(bank: Ports) -> None:
    """A page of one search would be taken for the rest of another."""
    cursor = (await search("card", Mode.HYBRID, ALL, 1, ports=bank)).next_cursor
    assert (await search("card", Mode.HYBRID, ALL, 1, cursor, ports=bank)).items
    for text, mode, where in (
        ("loan", Mode.HYBRID, ALL),
        ("card", Mode.KEYWORD, ALL),
        ("card", Mode.HYBRID, TaskFilter(project="bank")),
    ):
        with pytest.raises(Invalid, match="another search"):
            await search(text, mode, where, 1, cursor, ports=bank)


async def test_without_an_embedder_words_still_find_and_it_is_said(bank: Ports) -> None:
    """While an outside service is down nobody would find anything, or nobody would know why so little."""
    cut_off = replace(bank, embedder=CutOff())
    found = await search("payment declined", Mode.HYBRID, ALL, 5, ports=cut_off)
    assert [hit.task.id for hit in found.items] == ["declined"]
    assert found.degraded
    assert not (await search("payment", Mode.KEYWORD, ALL, 5, ports=cut_off)).degraded
    with pytest.raises(Unavailable, match="mode=keyword"):
        await search("payment", Mode.SEMANTIC, ALL, 5, ports=cut_off)


async def test_a_tasks_neighbours_are_those_that_mean_the_same(bank: Ports) -> None:
    """A person couldn't see what is like the task before them."""
    near = await similar_tasks("declined", ALL, 10, ports=bank)
    assert {one.task.id for one in near[:2]} == {"refused", "lost"}
    assert "declined" not in [one.task.id for one in near]
    assert [one.similarity for one in near] == sorted((one.similarity for one in near), reverse=True)
    assert len(await similar_tasks("declined", ALL, 2, ports=bank)) == 2
    assert await similar_tasks("declined", TaskFilter(project="other"), 10, ports=bank) == ()
    with pytest.raises(NotFound):
        await similar_tasks("nobody", ALL, 10, ports=bank)


async def test_a_task_has_neighbours_before_it_is_embedded(bank: Ports) -> None:
    """Right after filing a task its neighbours couldn't be seen; without an embedder that has to be said."""
    cut_off = replace(bank, embedder=CutOff())
    assert len(await similar_tasks("declined", ALL, 10, ports=cut_off)) == 4  # its vector is stored
    async with bank.unit_of_work() as uow:
        await uow.tasks.add(replace(await uow.tasks.get("declined"), id="new", title="Card declined in Spain"))
        await uow.commit()
    near = await similar_tasks("new", ALL, 1, ports=bank)
    assert near[0].task.id == "declined"
