"""What clients were told, to hold it against what is stored."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic

import asyncpg


@dataclass
class Filed:
    """A task as its clients know it: `titles` are the one that was acknowledged last and those that may be there."""

    id: str
    mark: str
    titles: set[str]
    version: int
    gone: bool = False
    may_be_gone: bool = False
    done: bool = False
    feedback: str | None = None
    episodes: set[str] = field(default_factory=set)


@dataclass
class Held:
    """A claim, and when its lease may end first."""

    token: str
    ends: float


@dataclass
class Ledger:
    """`wrong` are sentences about what was promised and isn't so."""

    tasks: dict[str, Filed] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    pushed: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    writes: int = 0
    claims: int = 0
    refused: int = 0
    lost: int = 0

    def filed(self, id: str, mark: str, title: str) -> Filed:
        if id in self.tasks:
            self.wrong.append(f"the task {id} was given to two who filed one")
        self.tasks[id] = task = Filed(id, mark, {title}, 1)
        self.writes += 1
        return task

    def claimed(self, task: str, token: str, asked: float, seconds: float) -> None:
        """Note a claim that was asked for at this moment, for so long."""
        before = self.held.get(task)
        if before and before.token != token and monotonic() < before.ends:
            self.wrong.append(f"the task {task} was claimed twice: {before.ends - monotonic():.1f} s were left")
        self.held[task] = Held(token, asked + seconds)
        self.claims += 1

    def let_go(self, task: str, token: str) -> None:
        """The lease has ended, or may have: from now on others may get the task."""
        if (held := self.held.get(task)) and held.token == token:
            del self.held[task]

    async def hold_against(self, connection: "asyncpg.Connection[asyncpg.Record]", ids: Iterable[str]) -> None:
        """Note what isn't stored as it was acknowledged, of these tasks and of all sources."""
        asked = [self.tasks[id] for id in ids]
        rows = await connection.fetch(
            """SELECT t.id, t.title, t.status, t.version, f.routing_feedback,
                   ARRAY(SELECT e.id FROM routing_episodes e WHERE e.task_id = t.id) AS episodes
               FROM tasks t LEFT JOIN task_feedback f ON f.task_id = t.id WHERE t.id = ANY($1)""",
            [task.id for task in asked],
        )
        stored = {row["id"]: row for row in rows}
        for task in asked:
            self._compare(task, stored.get(task.id))
        twice = await connection.fetch("SELECT description FROM tasks GROUP BY description HAVING count(*) > 1")
        self.wrong += [f"{row['description']} was made twice" for row in twice]
        sequences = dict(await connection.fetch("SELECT source_instance_id, sequence FROM sync_sources"))
        for source, sequence in self.pushed.items():
            if sequences.get(source, 0) < sequence:
                self.wrong.append(f"the push {sequence} of {source} is lost: {sequences.get(source)}")

    def _compare(self, task: Filed, row: asyncpg.Record | None) -> None:
        if row is None:
            if not (task.gone or task.may_be_gone):
                self.wrong.append(f"the task {task.id} is lost")
            task.gone = True
            return
        lost = {
            "its deletion": task.gone,
            "its title": row["title"] not in task.titles,
            "a change": row["version"] < task.version,
            "its completion": task.done and row["status"] != "done",
            "its feedback": task.feedback is not None and row["routing_feedback"] != task.feedback,
            "a decision": not task.episodes <= set(row["episodes"]),
        }
        self.wrong += [f"the task {task.id} lost {what}" for what, is_lost in lost.items() if is_lost]
        task.titles, task.version, task.may_be_gone = {row["title"]}, row["version"], False
