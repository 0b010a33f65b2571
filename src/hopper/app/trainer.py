"""Training in a process of its own, so that a server's memory and answers don't suffer from it.

`python -m hopper.app.trainer` reads a job, then its examples until there are no more, and writes the model's bytes, or
nothing when there are too few examples.
"""

import asyncio
import os
import pickle
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from hopper.domain.errors import Unavailable
from hopper.domain.training import TrainingExample
from hopper.routing.training import Job, train

_POLITE = 10


class Trainer:
    """A training under way. What it learns from is handed over one by one, so that nobody has to hold all of it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def begin(self, job: Job) -> None:
        """Hand over everything but the examples. Raises Unavailable, as all of these do, if the process has ended."""
        await self._send(job)

    async def learn_from(self, example: TrainingExample) -> None:
        await self._send(example)

    async def model(self) -> bytes | None:
        """The model's bytes, once all examples are there; None for too few."""
        content, _ = await self._process.communicate(b"")  # without input it would leave stdin open
        if self._process.returncode:
            raise _failed()
        return content or None

    async def _send(self, part: object) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(pickle.dumps(part))
            await self._process.stdin.drain()
        except (OSError, RuntimeError):  # uvloop has the latter for a pipe that is closed
            raise _failed() from None


@asynccontextmanager
async def training_process() -> AsyncIterator[Trainer]:
    """A process to train in, for as long as the block lasts: leaving it, or cancelling, ends the process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # modules of the directory that the server happens to run in are none of ours
        "-m",
        "hopper.app.trainer",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # its traceback could quote a task
        env={**_without_secrets(), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,  # Ctrl-C is for the server, which then ends this process
    )
    try:
        yield Trainer(process)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _failed() -> Unavailable:
    return Unavailable("Learning the text model failed.")


def _without_secrets() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in {"OPENAI_API_KEY", "DATABASE_URL"}}


def main() -> None:
    os.nice(_POLITE)
    job: Job = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    examples: list[TrainingExample] = []
    with suppress(EOFError):
        while True:
            examples.append(pickle.load(sys.stdin.buffer))  # noqa: S301 - as above
    model = train(replace(job, examples=examples))
    if model:
        sys.stdout.buffer.write(model.to_bytes())


if __name__ == "__main__":
    main()
