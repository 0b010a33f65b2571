"""Training in a process of its own, so that a server's memory and answers don't suffer from it.

`python -m hopper.app.trainer` reads a job and writes the model's bytes, or nothing when there are too few examples.
"""

import asyncio
import os
import pickle
import sys
from contextlib import suppress

from hopper.domain.errors import Unavailable
from hopper.routing.training import Job, train

_POLITE = 10


async def trained(job: Job) -> bytes | None:
    """The model's bytes; None for too few examples. Cancelling it ends the process. Raises Unavailable if it fails."""
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
        content, _ = await process.communicate(await asyncio.to_thread(pickle.dumps, job))
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise Unavailable("Learning the text model failed.")
    return content or None


def _without_secrets() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in {"OPENAI_API_KEY", "DATABASE_URL"}}


def main() -> None:
    os.nice(_POLITE)
    job: Job = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    model = train(job)
    if model:
        sys.stdout.buffer.write(model.to_bytes())


if __name__ == "__main__":
    main()
