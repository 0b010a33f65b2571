"""Where tasks came from, in the index, and the files that it comes from: one a task, which outlives it."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hopper.adapters.markdown.layout import ORIGINS, path_of
from hopper.adapters.markdown.sql import AMONG, Row, insert, moment
from hopper.adapters.markdown.task_documents import TaskOrigins
from hopper.domain.moving import Origin

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session


def origin_ids(origins: TaskOrigins) -> list[str]:
    """What no two files may tell of."""
    return [_id(source, origin.external_id) for source, records in origins[1].items() for origin in records]


def insert_origins(connection: sqlite3.Connection, path: str, origins: TaskOrigins) -> None:
    for source, records in origins[1].items():
        for origin in records:
            _insert(connection, path, source, origin)


def origins_at(connection: sqlite3.Connection, path: str) -> TaskOrigins | None:
    rows = connection.execute("SELECT * FROM task_origins WHERE path = ? ORDER BY source, external_id", [path])
    task_id, records = None, defaultdict[str, list[Origin]](list)
    for row in rows:
        task_id = row["task_id"]
        records[row["source"]].append(_origin(row))
    return (task_id, dict(records)) if task_id else None


class MarkdownOrigins:
    """Implements ports.repositories.OriginRepository."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def find(self, source: str, external_ids: Sequence[str]) -> Mapping[str, Origin]:
        rows = await self._session.fetch(
            f"SELECT external_id, task_id, said, as_of FROM task_origins WHERE id {AMONG.format('?')}",
            [_id(source, external_id) for external_id in external_ids],
        )
        return {row["external_id"]: _origin(row) for row in rows}

    async def of_source(self, source: str) -> tuple[Origin, ...]:
        rows = await self._session.fetch(
            "SELECT external_id, task_id, said, as_of FROM task_origins WHERE source = ? ORDER BY external_id", source
        )
        return tuple(map(_origin, rows))

    async def put(self, source: str, origins: Sequence[Origin]) -> None:
        await self._session.lock()
        before = await self._session.fetch(
            f"DELETE FROM task_origins WHERE id {AMONG.format('?')} RETURNING path",
            [_id(source, origin.external_id) for origin in origins],
        )
        self._session.changes.write(*(row["path"] for row in before))
        for origin in origins:
            path = path_of(ORIGINS, origin.task_id)
            _insert(self._session.connection, path, source, origin)
            self._session.changes.write(path)

    async def rename(self, source: str, new: str) -> None:
        await self._session.lock()
        renamed = await self.of_source(source)
        rows = await self._session.fetch("DELETE FROM task_origins WHERE source = ? RETURNING path", source)
        self._session.changes.write(*(row["path"] for row in rows))
        known = await self.find(new, [origin.external_id for origin in renamed])
        await self.put(new, [origin for origin in renamed if origin.external_id not in known])


def _id(source: str, external_id: str) -> str:
    """Both as one, and never as another pair."""
    return json.dumps([source, external_id], ensure_ascii=False)


def _origin(row: Row) -> Origin:
    return Origin(row["external_id"], row["task_id"], json.loads(row["said"]), moment(row["as_of"]))


def _insert(connection: sqlite3.Connection, path: str, source: str, origin: Origin) -> None:
    insert(
        connection,
        "task_origins",
        {
            "id": _id(source, origin.external_id),
            "path": path,
            "source": source,
            "external_id": origin.external_id,
            "task_id": origin.task_id,
            "said": origin.said,
            "as_of": origin.as_of,
        },
    )
