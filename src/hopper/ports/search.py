"""Finding tasks by their words. Rankers give ids; what is found is read and marked at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hopper.domain.ids import TaskId
from hopper.domain.query import Query
from hopper.domain.task import Task
from hopper.domain.text import Text
from hopper.ports.repositories import TaskFilter


@dataclass(frozen=True, slots=True)
class Occurrences:
    """Where the words of a text occur: how many tasks have each, and the tasks that have the rarer ones.

    `tasks` is about how many tasks there are; `asked` and `title` are the words that were asked for.
    """

    tasks: int
    asked: Text
    title: Text
    frequencies: Mapping[str, int]
    postings: Mapping[str, Sequence[TaskId]]


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of a task, as far as they were asked for; `title` those of its title."""

    words: Text
    title: Text


NOTHING_SHARED = Wording(Text({}, 0), Text({}, 0))


class TaskSearch(Protocol):
    async def matching(self, query: Query, where: TaskFilter, limit: int) -> tuple[TaskId, ...]:
        """The tasks that meet the query, the best first; of very many, the newest are ranked."""
        ...

    async def without(self, query: Query, task_ids: Sequence[TaskId]) -> set[TaskId]:
        """Those of the tasks that have nothing of what the query excludes."""
        ...

    async def occurrences(self, title: str, description: str | None, where: TaskFilter) -> Occurrences:
        """Where the words of these texts occur among the tasks."""
        ...

    async def wordings(self, task_ids: Sequence[TaskId], words: Sequence[str]) -> Mapping[TaskId, Wording]:
        """How often the tasks have these words; one that has none of them is missing from the answer."""
        ...

    async def marked(self, query: Query, task_ids: Sequence[TaskId]) -> Mapping[TaskId, tuple[Task, str]]:
        """The tasks, and of each a part with the query's words between « and »."""
        ...
