"""Work that one process does at a time."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

MIGRATIONS = 0x484F50504552
"""The advisory lock of migrations: two servers that start at once migrate one after the other, and a backup, which
shares it, has begun before or begins after. It is waited for as any lock is."""


class Turns(Protocol):
    def take(self, name: str, patience: float) -> AbstractAsyncContextManager[bool]:
        """Have the work of this name to oneself; False when another one has it, and still has after so many seconds.

        A turn ends with the process that has it.
        """
        ...
