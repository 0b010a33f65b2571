"""Run as a program: a unit of work over files is killed at one line after another, and each time looked at again.

It forks, so it needs a process of its own. `python -m tests.killed DIRECTORY CHANGE EVERY` prints what was found after
each kill, as JSON: old, new, or half. The last line says finished: the unit had come to its end before the line.
CHANGE is `several` or `one`: how many files it writes.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from tests.builders import a_delegation, a_pattern, a_task, an_episode, an_instance, feedback_on
from tests.contracts.working import add

from hopper.bootstrap_local import open_local
from hopper.ports.repositories import TaskFilter

WATCHED = ("journal.py", "writing.py", "unit_of_work.py")
TASKS = [
    a_task("first", id="t-1", description="Body"),
    a_task("second", id="t-2"),
    a_task(id="t-3", depends_on=("t-2",)),
]
PATTERN = a_pattern("a", id="p")


async def prepare(directory: Path) -> None:
    async with open_local(directory).unit_of_work() as uow:
        await add(uow, an_instance("a"), *TASKS, PATTERN, feedback_on("t-2", routing_feedback="well"))
        await uow.commit()


async def one(directory: Path) -> None:
    async with open_local(directory).unit_of_work() as uow:
        await uow.tasks.update(replace(TASKS[0], title="changed"))
        await uow.commit()


async def several(directory: Path) -> None:
    """Files are made, changed and removed."""
    async with open_local(directory).unit_of_work() as uow:
        await uow.tasks.update(replace(TASKS[0], title="changed", instance_id="a"))
        await add(uow, an_episode("t-1", "a", id="e"), a_delegation("t-1", "a", id="d"))
        await uow.patterns.update(replace(PATTERN, usage_count=1))
        await uow.tasks.delete("t-2")
        await uow.commit()


async def found(directory: Path) -> list[Any]:
    """All that can be seen of it."""
    async with open_local(directory).reading() as uow:
        tasks = await uow.tasks.list(TaskFilter(), 50)
        patterns = await uow.patterns.get_many(["p"])
        said = await uow.feedback.find("t-2"), await uow.delegations.of_task("t-1"), await uow.episodes.latest("t-1")
        return [*tasks.items, *patterns, *said]


Change = Callable[[Path], Coroutine[Any, Any, None]]
CHANGES: dict[str, Change] = {"one": one, "several": several}


def killed_at(line: int, change: Change, directory: Path) -> bool:
    """Whether the unit was killed, at so many lines of what writes files."""
    child = os.fork()
    if child == 0:
        left = line

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.endswith(WATCHED):
                return None
            left -= event == "line"
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        asyncio.run(change(directory))
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main() -> None:
    home, change, every = Path(sys.argv[1]), CHANGES[sys.argv[2]], int(sys.argv[3])
    old, new = home / "old", home / "new"
    asyncio.run(prepare(old))
    shutil.copytree(old, new)
    asyncio.run(change(new))
    states = {"old": asyncio.run(found(old)), "new": asyncio.run(found(new))}
    line = random.randrange(every)
    while True:
        directory = home / f"at-{line}"
        shutil.copytree(old, directory)
        killed = killed_at(line, change, directory)
        seen = asyncio.run(found(directory))
        shutil.rmtree(directory / ".index")
        again = asyncio.run(found(directory))
        state = next((name for name, state in states.items() if seen == again == state), "half")
        stray = [str(path.relative_to(directory)) for path in directory.rglob("*hopper-*")]
        print(json.dumps({"line": line, "state": state if killed else "finished", "stray": stray}), flush=True)  # noqa: T201
        shutil.rmtree(directory)
        if not killed:
            return
        line += every


if __name__ == "__main__":
    main()
