"""One unit's view of the index: brought up to date before it is read, locked with the files before it is changed."""

import os
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from hopper.adapters.markdown import schema
from hopper.adapters.markdown.journal import recover
from hopper.adapters.markdown.layout import STATE, path_of
from hopper.adapters.markdown.lock import StoreLock, pause
from hopper.adapters.markdown.places import place_of, private
from hopper.adapters.markdown.queue import Subscriptions
from hopper.adapters.markdown.refresh import Differences, differences
from hopper.adapters.markdown.sql import Row, bound
from hopper.domain.errors import Conflict, HopperError, NotFound, StaleVersion, Unavailable

_KINDS = {"tasks": "task", "hopper_instances": "instance", "routing_patterns": "pattern"}
_TABLES = {"tasks": "tasks", "instances": "hopper_instances", "memory/patterns": "routing_patterns"}
_FOLDERS = {"task": "tasks", "instance": "instances", "pattern": "memory/patterns"}
_SOON = 2.0
"""Seconds that who may only read waits for a change that is being written."""


@dataclass(slots=True)
class Changes:
    """What a unit of work has touched: files to be written, and entities that projections look at."""

    paths: set[str] = field(default_factory=set)
    touched: set[tuple[str, str]] = field(default_factory=set)

    def mark(self, entity_type: str, *ids: str) -> None:
        self.touched.update((entity_type, id) for id in ids)

    def write(self, *paths: str) -> None:
        self.paths.update(paths)


class Session:
    """Reads see what is committed by then, and their own unit's changes; the first change takes the store's lock."""

    connection: sqlite3.Connection

    def __init__(self, root: Path, followed: Subscriptions) -> None:
        self.root = root
        self.place = place_of(root)
        self.changes = Changes()
        self._followed = followed
        self._lock = StoreLock(self.place.state / "lock")
        self._index = self.place.index / "hopper.db"
        self._locked = False
        self._fresh = False
        self._now: datetime | None = None

    async def open(self) -> None:
        """Open the index; make it when there is none that can be used."""
        for folder in {self.place.state, self.place.index}:
            private(folder)
        self.connection = schema.connect(self._index)
        if schema.is_usable(self.connection):
            return
        self.connection.close()
        await self._lock.acquire()
        try:
            self.connection = schema.connect(self._index)
            if not schema.is_usable(self.connection):
                self._make_anew()
        finally:
            self._lock.release()

    @property
    def now(self) -> datetime:
        """The store's time; one moment for all that a unit changes."""
        return self._now or datetime.now(UTC)

    async def fetch(self, statement: str, *parameters: Any) -> list[Row]:
        values = [*map(bound, parameters)]
        try:
            await self._read()
            return self.connection.execute(statement, values).fetchall()
        except sqlite3.DatabaseError as error:
            await self._mend(error)
        await self._read()
        return self.connection.execute(statement, values).fetchall()

    async def fetchrow(self, statement: str, *parameters: Any) -> Row | None:
        rows = await self.fetch(statement, *parameters)
        return rows[0] if rows else None

    async def fetchval(self, statement: str, *parameters: Any) -> Any:
        row = await self.fetchrow(statement, *parameters)
        return row[0] if row else None

    async def execute(self, statement: str, *parameters: Any) -> int:
        """Change rows; returns how many."""
        await self.lock()
        return self.connection.execute(statement, [*map(bound, parameters)]).rowcount

    async def lock(self, *, unread: bool = False) -> None:
        """Let nobody else change anything until this unit ends. Who only adds needn't look at all files first."""
        if not self._locked:
            await self._lock.acquire()
            self._locked = True
            self._fresh = False
            self._now = datetime.now(UTC)
            await self._recover()
        try:
            self._begin(unread)
        except sqlite3.DatabaseError as error:
            await self._mend(error)
            self._begin(unread)

    def _begin(self, unread: bool) -> None:
        if not (unread or self._fresh):
            self._catch_up()
            self._fresh = True
        if not self.connection.in_transaction:
            self.connection.execute("BEGIN IMMEDIATE")

    async def _recover(self) -> None:
        """Have no unfinished change. Only for the holder of the lock. Raises Unavailable where that takes a right."""
        if self.place.may_write:
            return recover(self.root)
        deadline = time.monotonic() + _SOON
        while self._is_unfinished():
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"A change of the files in {self.root} is unfinished, and you may only read them. Any command of "
                    "who may write there finishes it."
                )
            await pause()
        return None

    def _is_unfinished(self) -> bool:
        return os.path.exists(self.root / STATE / "journal")  # noqa: PTH110 (not an error where one may not look)

    def _make_anew(self) -> None:
        """Only for the holder of the lock."""
        self.connection.close()
        schema.make(self._index)
        self.connection = schema.connect(self._index)

    async def _mend(self, error: sqlite3.DatabaseError) -> None:
        """Make a damaged index anew; raises the error if it tells of something else, or changes would be lost."""
        if not schema.is_damage(error) or self.changes.paths or self.changes.touched:
            raise error
        if not self._locked:
            await self._lock.acquire()
        try:
            self._make_anew()
        finally:
            if not self._locked:
                self._lock.release()
        self._fresh = False

    async def new_path(self, folder: str, id: str) -> str:
        """Where a new entity's file will be. Raises Conflict when another one's is there."""
        await self.lock(unread=True)
        path = path_of(folder, id)
        if self.connection.execute(
            f"""SELECT 1 FROM {_TABLES[folder]} WHERE path = ?1 AND id <> ?2
                UNION SELECT 1 FROM broken WHERE path = ?1""",
            [path, id],
        ).fetchone():
            raise Conflict(f"{path} is another one's file, by the id that stands in it. Rename it, and try again.")
        return path

    async def _read(self) -> None:
        if self._fresh:
            return
        if self._locked:
            await self.lock()
            return
        self._fresh = True
        found = differences(self.connection, self.root, any_will_do=True)
        if found.real or found.unfinished or self._is_unfinished():
            await self._lock.acquire()
            try:
                await self._recover()
                self._catch_up()
            finally:
                self._lock.release()
        elif found.retouched and self._lock.try_acquire():
            try:
                self._take_in(found)
            finally:
                self._lock.release()

    def _catch_up(self) -> None:
        """Make the index equal to the files. Only for the holder of the lock."""
        found = differences(self.connection, self.root)
        for path in found.unfinished if self.place.may_write else ():
            Path(path).unlink(missing_ok=True)
        self._take_in(found)

    def _take_in(self, found: Differences) -> None:
        if not (found.real or found.retouched or self.connection.in_transaction):
            return
        from hopper.adapters.markdown.taking_in import take_in  # it loads all kinds of documents

        if self.connection.in_transaction:  # begun without a look at the files
            if taken := found.real.keys() & self.changes.paths:
                raise Conflict(f"{min(taken)} is there already. Nothing was stored.")
            take_in(self.connection, self.root, found, self._followed)
        else:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                take_in(self.connection, self.root, found, self._followed)
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")

    async def discard(self) -> None:
        """Let the next command make the index anew."""
        self.connection.close()
        if not self._locked:
            await self._lock.acquire()
        schema.remove(self._index)
        self.close()

    def close(self) -> None:
        with suppress(sqlite3.Error):
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        with suppress(sqlite3.Error):
            self.connection.close()
        self._lock.release()

    async def raise_not_changed(self, table: str, id: str, expected_version: int | None) -> NoReturn:
        """Tell why an update or delete by id and version found no row: gone, unreadable, or changed meanwhile."""
        current = await self.fetchval(f"SELECT version FROM {table} WHERE id = ?", id)
        if current is None or expected_version is None:
            raise await self.absent(_KINDS[table], id)
        raise StaleVersion(_KINDS[table], id, current)

    async def absent(self, kind: str, id: str) -> HopperError:
        """Why there is nothing with this id: its file can't be read, or there is none."""
        row = await self.fetchrow(
            "SELECT path, line, problem FROM broken WHERE folder = ? AND id = ?", _FOLDERS.get(kind), id
        )
        if row:
            return schema.mend_first(row)
        return NotFound(kind, id)

    async def delete_versioned(self, table: str, id: str, expected_version: int | None) -> None:
        """Remove the row with this id, if it is still at the expected version. Raises NotFound, StaleVersion."""
        if not await self.execute(
            f"DELETE FROM {table} WHERE id = ?1 AND (?2 IS NULL OR version = ?2)", id, expected_version
        ):
            await self.raise_not_changed(table, id, expected_version)
