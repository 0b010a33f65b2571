"""The store's lock: one process, and one unit of work in it, changes the files at a time."""

import fcntl
import os
import sys
import time
from pathlib import Path

from hopper.domain.errors import Unavailable

_PATIENCE = 60.0
_PAUSE = 0.01


class StoreLock:
    """Held by an open file, so the operating system releases it when its holder ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def try_acquire(self) -> bool:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        return True

    async def acquire(self) -> None:
        """Wait for the lock; other work of this process goes on meanwhile. Raises Unavailable after a minute."""
        deadline = time.monotonic() + _PATIENCE
        while not self.try_acquire():
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"Another command has been at work in {self._path.parent.parent} for a minute. Nothing was stored; "
                    "try again when it has ended."
                )
            await pause()

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


async def pause() -> None:
    """Asleep without an event loop, too: a command that only files a task runs without one."""
    asyncio = sys.modules.get("asyncio")
    if asyncio and asyncio._get_running_loop():
        await asyncio.sleep(_PAUSE)
    else:
        time.sleep(_PAUSE)  # noqa: ASYNC251
