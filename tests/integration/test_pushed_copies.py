"""Tasks of a directory of files and their copies elsewhere: one each, whatever happens at once."""

import asyncio
from pathlib import Path

import pytest
from tests.builders import a_task, an_instance
from tests.contracts.working import keep

from hopper.app.lifecycle import create_task
from hopper.app.pushing import follow, link, links
from hopper.app.tasks import edit_task
from hopper.bootstrap_local import make_local, open_local
from hopper.domain.moving import Fate, Record
from hopper.ports import Ports

THERE = "http://press.example"


@pytest.fixture
async def ports(tmp_path: Path) -> Ports:
    """A directory with one task, `t1`."""
    make_local(tmp_path, {"id": "own", "name": "Own", "scope": "PROJECT"})
    opened = open_local(tmp_path)
    await create_task(a_task(id="t1"), ports=opened)
    return opened


async def test_pushes_at_once_make_one_copy(ports: Ports) -> None:
    """A command run twice by mistake would file the task twice, and the first copy would be followed by nobody."""
    async with ports.unit_of_work() as uow:
        await uow.tasks.get_for_update("t1")
        pushes = [asyncio.create_task(link(["t1"], THERE, ports=ports)) for _ in range(4)]
        await asyncio.sleep(0)  # all of them have begun, and wait for their turn
    pushed = await asyncio.gather(*pushes)
    [known] = await links(THERE, ports=ports)
    assert [one.record.external_id for (one,) in pushed] == [known.server_task_id] * 4


async def pushed(ports: Ports) -> Record:
    """What is sent of the task."""
    (handed,) = await link(["t1"], THERE, ports=ports)
    return handed.record


async def test_a_copy_that_was_read_before_the_last_push_is_no_news(ports: Ports) -> None:
    """A pull that takes long would put back old words, and the next push would carry them to the server."""
    copy = await pushed(ports)
    [before] = await links(THERE, ports=ports)
    await edit_task("t1", {"title": "Newer words"}, ports=ports)
    newer = await pushed(ports)
    [after] = await links(THERE, ports=ports)
    (told,) = await follow([newer], THERE, {newer.external_id: after.state}, ports=ports)
    assert told.outcome is Fate.UNCHANGED
    (told,) = await follow([copy], THERE, {copy.external_id: before.state}, ports=ports)
    assert (told.outcome, told.newer_here) == (Fate.NEWER_HERE, ("title",))
    assert (await pushed(ports)).title == "Newer words"


async def test_a_copy_tells_its_instance_among_many(ports: Ports) -> None:
    """Whoever gets a task wouldn't learn where it is from, once that directory has very many instances."""
    await keep(ports.unit_of_work, *(an_instance(f"i{number}", parent_id="own") for number in range(1_001)))
    assert (await pushed(ports)).source_instance_id == "own"


async def test_news_is_later_than_what_was_sent_before(ports: Ports, tmp_path: Path) -> None:
    """A clock that was put back, or words that git brought back, would make the server take a push for a late one."""
    first = await pushed(ports)
    assert first.updated_at
    assert (await pushed(ports)).updated_at == first.updated_at
    [file] = (tmp_path / "tasks").iterdir()
    said = file.read_text().replace("declined", "accepted").replace(first.updated_at.isoformat(), "2020-01-01T00:00:00")
    file.write_text(said)
    newer = await pushed(ports)
    assert newer.title == "Card payment is accepted"
    assert newer.updated_at
    assert newer.updated_at > first.updated_at
