"""Local instances under trouble: killed at any point, and written by two processes at once."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from tests.builders import a_task

from hopper.adapters.markdown import journal
from hopper.bootstrap_local import open_local
from hopper.ports.repositories import TaskFilter

EVERY = int(os.environ.get("HOPPER_KILL_EVERY", "15"))
TIMES = int(os.environ.get("HOPPER_WRITES", "200"))
"""`make endure` kills at every line, and writes 10,000 times."""


@pytest.mark.parametrize("change", ["one", "several"])
def test_a_command_that_is_killed_leaves_the_old_or_the_new(change: str, tmp_path: Path) -> None:
    """After a crash, a task would be half written, or delegated to somebody who doesn't hold it."""
    command = [sys.executable, "-m", "tests.killed", str(tmp_path), change, str(EVERY)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    ends = [json.loads(line) for line in said.splitlines()]
    assert {end["state"] for end in ends} == {"old", "new", "finished"}
    assert [end for end in ends if end["stray"]] == []


async def test_two_processes_that_write_lose_nothing(tmp_path: Path) -> None:
    """Of two agents that work in one project, one would undo what the other has done."""
    ports = open_local(tmp_path)
    async with ports.unit_of_work() as uow:
        await uow.tasks.add(a_task(id="counter", description="0"))
        await uow.commit()
    writers = [
        await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.writers", tmp_path, name, str(TIMES // 2))
        for name in ("one", "other")
    ]
    assert [await writer.wait() for writer in writers] == [0, 0]
    for _ in range(2):
        async with ports.reading() as uow:
            assert (await uow.tasks.get("counter")).description == str(TIMES // 2 * 2)
            assert (await uow.episodes.statistics()).tasks == TIMES // 2 * 2 + 1
        assert len(list((tmp_path / "tasks").iterdir())) == TIMES // 2 * 2 + 1
        shutil.rmtree(tmp_path / ".index")


async def test_what_a_person_edits_after_a_crash_is_kept(tmp_path: Path) -> None:
    """Finishing what a killed command had begun would take away what was written by hand since."""
    ports = open_local(tmp_path)
    async with ports.unit_of_work() as uow:
        await uow.tasks.add_many([a_task("first", id="a"), a_task("second", id="b")])
        await uow.commit()
    files = [tmp_path / "tasks" / name for name in ("a.md", "b.md")]
    changes = [
        journal.Change(
            f"tasks/{file.name}",
            sha256(file.read_bytes()).hexdigest(),
            file.read_bytes().replace(b"title: ", b"title: changed "),
        )
        for file in files
    ]
    journal.begin(tmp_path, changes)
    files[0].write_text(files[0].read_text().replace("first", "by hand"))
    async with ports.reading() as uow:
        titles = {task.id: task.title for task in (await uow.tasks.list(TaskFilter(), 5)).items}
    assert titles == {"a": "by hand", "b": "changed second"}
    assert "changed first" in (tmp_path / "tasks" / "a.md.hopper-saved").read_text()
