"""Answers that a process keeps for as long as they are current."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

_LARGEST_SHARE = 10
"""An answer that would take more than a tenth of the room isn't kept."""


class KeptAnswers:
    """Room for answers of so many nodes and edges together; the least recently used is forgotten first.

    `hits` count what was found, and `misses` what had to be worked out, since the process began.
    """

    def __init__(self, room: int = 100_000) -> None:
        self._room = room
        self._taken = 0
        self._answers: OrderedDict[Hashable, tuple[int, int, Any]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __contains__(self, key: Hashable) -> bool:
        return key in self._answers

    def find(self, key: Hashable, changes: int) -> Any | None:
        """The answer that was kept for this number of changes."""
        kept = self._answers.get(key)
        if kept is None or kept[0] != changes:
            return None
        self._answers.move_to_end(key)
        self.hits += 1
        return kept[2]

    def keep(self, key: Hashable, changes: int, answer: Any, *, size: int) -> None:
        self.misses += 1
        self._forget(key)
        if size > self._room / _LARGEST_SHARE:
            return
        self._answers[key] = (changes, size, answer)
        self._taken += size
        while self._taken > self._room:
            self._forget(next(iter(self._answers)))

    def _forget(self, key: Hashable) -> None:
        if kept := self._answers.pop(key, None):
            self._taken -= kept[1]
