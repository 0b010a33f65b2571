"""Work that one process does at a time."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Turns(Protocol):
    def take(self, name: str, patience: float) -> AbstractAsyncContextManager[bool]:
        """Have the work of this name to oneself; False when another one has it, and still has after so many seconds.

        A turn ends with the process that has it.
        """
        ...
