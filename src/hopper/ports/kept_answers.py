"""Answers that a process keeps for as long as they are current."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any


class KeptAnswers:
    """The least recently used is forgotten first. `hits` and `misses` count since the process began."""

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self._answers: OrderedDict[Hashable, tuple[int, Any]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def find(self, key: Hashable, changes: int) -> Any | None:
        """The answer that was kept for this number of changes."""
        kept = self._answers.get(key)
        if kept is None or kept[0] != changes:
            self.misses += 1
            return None
        self._answers.move_to_end(key)
        self.hits += 1
        return kept[1]

    def keep(self, key: Hashable, changes: int, answer: Any) -> None:
        self._answers[key] = (changes, answer)
        self._answers.move_to_end(key)
        while len(self._answers) > self._most:
            self._answers.popitem(last=False)
