"""Tasks that were filed before, found when they are filed again."""

from dataclasses import replace

import pytest
from tests.builders import a_task
from tests.integration.test_search import CutOff
from tests.steps import drained, filed, task_now

from hopper.app import lifecycle
from hopper.app.duplicates import LIKELY, SURE, file_task, likely_duplicates, most_alike
from hopper.app.retry import Retry
from hopper.app.tasks import delete_task, edit_task
from hopper.domain.duplicate import DuplicateTask, OnDuplicate
from hopper.domain.errors import Invalid
from hopper.domain.task import TaskStatus
from hopper.ports import Ports

TITLE = "Export of invoices fails with a timeout"
SAYS = "Since the update the monthly export of invoices to CSV ends with a timeout after thirty seconds."
NEARLY = "Since the update the monthly export of invoices into CSV ends with a timeout after 30 seconds."


@pytest.fixture
async def office(ports: Ports) -> Ports:
    """Tasks of an office, and the one that will be filed again."""
    for n, title in enumerate(
        ["Order new chairs", "Printer is out of paper", "Invoices of May are missing", "Login page is slow"]
    ):
        await filed(ports, title, id=f"other{n}", description=f"Please look after it, number {n}.")
    await filed(ports, TITLE, id="first", description=SAYS)
    await drained(ports)
    return ports


async def stored(ports: Ports) -> int:
    async with ports.reading() as uow:
        return (await uow.episodes.statistics()).tasks


async def test_the_same_task_again_is_surely_a_duplicate_and_others_arent(office: Ports) -> None:
    """Work would be done twice, or people would be kept from filing what is new."""
    [best, *rest] = await most_alike(a_task(TITLE, description=SAYS), 5, ports=office)
    assert best.task_id == "first"
    assert best.score == pytest.approx(1, abs=0.01)
    assert all(other.score < LIKELY for other in rest)
    [nearly] = await likely_duplicates(a_task(TITLE, description=NEARLY), ports=office)
    assert nearly.score >= SURE
    [reworded] = await likely_duplicates(a_task("Timeout when invoices are exported", description=SAYS), ports=office)
    assert reworded.task_id == "first"
    assert await likely_duplicates(a_task("Water the plants"), ports=office) == ()


async def test_a_warning_stores_the_task_and_names_what_it_repeats(office: Ports) -> None:
    """Whoever files a task wouldn't hear that somebody did so before."""
    task, found = await file_task(a_task(TITLE, id="second", description=NEARLY), OnDuplicate.WARN, ports=office)
    assert [duplicate.task_id for duplicate in found] == ["first"]
    assert (await task_now(office, "second")).duplicate_of is None
    assert task.id == "second"


async def test_a_rejection_names_the_duplicates_and_stores_nothing(office: Ports) -> None:
    """A refused task would be there all the same, or nobody would learn which one to look at."""
    before = await stored(office)
    with pytest.raises(DuplicateTask) as refused:
        await file_task(a_task(TITLE, description=NEARLY), OnDuplicate.REJECT, ports=office)
    assert [duplicate.task_id for duplicate in refused.value.duplicates] == ["first"]
    assert await stored(office) == before
    new, found = await file_task(a_task("Water the plants"), OnDuplicate.REJECT, ports=office)
    assert (await task_now(office, new.id), found) == (new, ())


async def test_a_link_leads_to_the_first_of_its_kind(office: Ports) -> None:
    """Duplicates would hang on one another in chains, and none would lead to the task that is worked on."""
    second, _ = await file_task(a_task(TITLE, description=NEARLY), OnDuplicate.LINK, ports=office)
    await edit_task("first", {"title": "Something else", "description": None}, ports=office)
    third, found = await file_task(a_task(TITLE, description=NEARLY), OnDuplicate.LINK, ports=office)
    assert [duplicate.task_id for duplicate in found] == [second.id]
    assert [(await task_now(office, id)).duplicate_of for id in (second.id, third.id)] == ["first", "first"]


async def test_finished_tasks_come_up_again(office: Ports) -> None:
    """A fault that comes back, or a weekly chore, couldn't be filed any more."""
    for status in (TaskStatus.DONE, TaskStatus.CANCELLED):
        await edit_task("first", {"status": status}, ports=office)
        assert await likely_duplicates(a_task(TITLE, description=SAYS), ports=office) == ()
        await edit_task("first", {"status": TaskStatus.PENDING}, ports=office)


async def test_a_repeated_request_isnt_its_own_duplicate(office: Ports) -> None:
    """A client whose connection was lost would be told that its own task is in the way."""
    retry = Retry("key", "fingerprint")
    for id in ("try1", "try2"):
        task, found = await file_task(a_task("Buy tea", id=id), OnDuplicate.REJECT, ports=office, retry=retry)
        assert (task.id, found) == ("try1", ())


async def test_words_alone_tell_when_there_is_no_embedder_or_no_vector_yet(office: Ports) -> None:
    """While an outside service is down, or in a burst of tasks, duplicates would slip through or nothing be filed."""
    cut_off = replace(office, embedder=CutOff())
    [found] = await likely_duplicates(a_task(TITLE, description=NEARLY), ports=cut_off)
    assert found.score >= SURE
    assert found.meaning is None


@pytest.mark.parametrize("title", ["🎉", "the of", "支払いが拒否されました", "x" * 500, "a'b\\ & | !"])
async def test_any_text_can_be_compared(office: Ports, title: str) -> None:
    """A task in another script, or with strange signs, couldn't be filed."""
    description = "word " * 20_000
    task, _ = await file_task(a_task(title, description=description), OnDuplicate.WARN, ports=office)
    assert await most_alike(task, 5, ports=office)


async def test_a_link_ends_with_the_task_that_it_leads_to(office: Ports) -> None:
    """A task would refer to one that is gone, or the other couldn't be removed."""
    task = await lifecycle.create_task(a_task("Copy", duplicate_of="first"), ports=office)
    await delete_task("first", ports=office)
    after = await task_now(office, task.id)
    assert (after.duplicate_of, after.version) == (None, task.version + 1)
    with pytest.raises(Invalid) as refused:
        await edit_task(task.id, {"duplicate_of": task.id}, ports=office)
    assert refused.value.field == "duplicate_of"
