"""Tasks that were probably filed before."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hopper.domain.errors import Conflict
from hopper.domain.ids import TaskId
from hopper.domain.task import TaskStatus


class OnDuplicate(StrEnum):
    """What to do with a new task that is probably there already."""

    WARN = "warn"
    REJECT = "reject"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How alike two tasks are, from 0 to 1; a part is None where there is nothing to compare.

    `words` compares all that the tasks say, `title` the words of their titles, `meaning` their vectors.
    """

    words: float | None = None
    title: float | None = None
    meaning: float | None = None

    @property
    def score(self) -> float:
        """The mean of the parts that are known; the words, which tell most, count twice."""
        known = [part for part in (self.words, self.words, self.title, self.meaning) if part is not None]
        return sum(known) / len(known) if known else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """An open task that is much like another one, and by what."""

    task_id: TaskId
    title: str
    status: TaskStatus
    duplicate_of: TaskId | None
    score: float
    words: float | None
    title_words: float | None
    meaning: float | None


class DuplicateTask(Conflict):
    """The task is there already."""

    slug = "duplicate"

    def __init__(self, duplicates: Sequence[Duplicate]) -> None:
        best = duplicates[0]
        super().__init__(
            f"The task {best.task_id!r} “{best.title}” says nearly the same (score {best.score:.2f}). "
            "Nothing was stored. Add to that one, or file yours with on_duplicate warn or link."
        )
        self.duplicates = tuple(duplicates)
