"""Tasks of a directory of files and their copies elsewhere: one each, whatever happens at once."""

import asyncio
from pathlib import Path

import pytest
from tests.builders import a_task

from hopper.app.lifecycle import create_task
from hopper.app.pushing import link, links
from hopper.bootstrap_local import make_local, open_local
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
    assert [record.external_id for (record,) in pushed] == [known.server_task_id] * 4
