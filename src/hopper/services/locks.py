"""Locks between processes. The operating system releases them when their holder ends, however it ends."""

import fcntl
import os
import time
from pathlib import Path


class FileLock:
    """A file that one process locks for itself, or several share.

    A child process inherits the lock only if it is given the `file`; then it is held until both have let go of it.

    The file stays when the lock is released: removing it would let two processes lock two files of one name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    @property
    def held(self) -> bool:
        return self._file is not None

    @property
    def file(self) -> int:
        """The open file, for a child process that is to hold the lock. Only for a holder."""
        if self._file is None:
            raise ValueError("Only the holder of a lock passes it on.")
        return self._file

    def acquire(self, *, shared: bool = False, seconds: float = 0) -> bool:
        """Whether the lock could be had within `seconds`. Raises OSError when the file can't be opened."""
        deadline = time.monotonic() + seconds
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _locked(file, shared):
                if time.monotonic() >= deadline:
                    os.close(file)
                    return False
                time.sleep(0.02)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        return True

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def write(self, note: str) -> None:
        """Leave a note for those who find the file locked. Only for a holder; raises OSError."""
        if self._file is None:
            raise ValueError("Only the holder of a lock leaves a note in it.")
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, note.encode(), 0)

    def read(self) -> str:
        """The holder's note; empty when there is none."""
        try:
            return self._path.read_text(errors="replace")
        except OSError:
            return ""


def _locked(file: int, shared: bool) -> bool:
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
