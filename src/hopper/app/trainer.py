"""Training in a process of its own, so that a server's memory and answers don't suffer from it.

`python -m hopper.app.trainer` reads examples and then the job that they are for, and writes the model's bytes, or
nothing when there are too few examples.
"""

import asyncio
import os
import pickle
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace

from hopper.domain.errors import Unavailable
from hopper.domain.training import TrainingExample
from hopper.routing.training import Job, train

_POLITE = 10


class Trainer:
    """A training under way. What it learns from is handed over one by one, so that nobody has to hold all of it.

    Both methods raise Unavailable if the process has ended.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def learn_from(self, example: TrainingExample) -> None:
        """Hand over one more example."""
        assert self._process.stdin
        with _unless_ended():
            self._process.stdin.write(pickle.dumps(example))
            await self._process.stdin.drain()

    async def model(self, job: Job) -> bytes | None:
        """The model's bytes, when all examples of the job were handed over; None for too few."""
        with _unless_ended():
            content, _ = await self._process.communicate(pickle.dumps(job))
        if self._process.returncode:
            raise _failed()
        return content or None


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


@contextmanager
def _unless_ended() -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError):  # uvloop has the latter for a pipe that is closed
        raise _failed() from None


def _failed() -> Unavailable:
    return Unavailable("Learning the text model failed.")


def _without_secrets() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in {"OPENAI_API_KEY", "DATABASE_URL"}}


def main() -> None:
    os.nice(_POLITE)
    examples: list[TrainingExample] = []
    # Without a job the process that started this one has ended, and so does this one.
    while isinstance(part := pickle.load(sys.stdin.buffer), TrainingExample):  # noqa: S301 - from that process alone
        examples.append(part)
    model = train(replace(part, examples=examples))
    if model:
        sys.stdout.buffer.write(model.to_bytes())


if __name__ == "__main__":
    main()
