"""Run as a program: `python -m tests.writers DIRECTORY NAME TIMES` changes a local instance so many times.

Each change files a task and adds one to the count in the description of the task `counter`.
"""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from tests.builders import a_task

from hopper.bootstrap_local import open_local


async def write(directory: Path, name: str, times: int) -> None:
    ports = open_local(directory)
    for n in range(times):
        async with ports.unit_of_work() as uow:
            counter = await uow.tasks.get_for_update("counter")
            await uow.tasks.update(replace(counter, description=str(int(counter.description or 0) + 1)))
            await uow.tasks.add(a_task(id=f"{name}-{n}"))
            await uow.commit()


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
