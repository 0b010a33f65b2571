"""Taking into the index what has changed in the files."""

import json
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hopper.adapters.markdown.fields import Wrong
from hopper.adapters.markdown.frontmatter import Unreadable, parse
from hopper.adapters.markdown.kinds import KINDS, Kind
from hopper.adapters.markdown.layout import folder_of, id_in
from hopper.adapters.markdown.queue import Subscriptions, enqueue
from hopper.adapters.markdown.refresh import Differences, content_of, remember

_STRANGE = "it holds a value that nothing here can be"


def take_in(connection: sqlite3.Connection, root: Path, found: Differences, followed: Subscriptions) -> None:
    """Make the index's rows those of the changed files. Within a transaction, by the holder of the store's lock."""
    seen = time.time_ns()
    changed = dict(found.real)
    if changed:  # of two files with one id, one may have been mended
        for (path,) in connection.execute("SELECT path FROM broken WHERE is_twin").fetchall():
            if path not in changed and (data := content_of(root / path)) is not None:
                changed[path] = data
    marks: set[tuple[str, str]] = set()
    for path in changed:
        marks |= _forget(connection, path)
    for path, data in sorted(changed.items()):
        if data is not None:
            marks |= _read(connection, root, path, data)
    for path, data in {**found.real, **found.retouched}.items():
        if data is None:
            connection.execute("DELETE FROM files WHERE path = ?", [path])
        else:
            remember(connection, path, data, found.stamps[path], seen)
    enqueue(connection, followed, marks)


def _forget(connection: sqlite3.Connection, path: str) -> set[tuple[str, str]]:
    connection.execute("DELETE FROM broken WHERE path = ?", [path])
    return KINDS[folder_of(path)].forget(connection, path)


def _read(connection: sqlite3.Connection, root: Path, path: str, data: bytes | OSError) -> set[tuple[str, str]]:
    """Take in a file; one that can't be understood contributes nothing, and is told of."""
    kind = KINDS[folder_of(path)]
    try:
        if isinstance(data, OSError):
            raise Unreadable(1, f"it can't be read ({data.strerror})")
        entity = understood(kind, root / path, path, data)
    except Unreadable as error:
        return _put_aside(connection, path, error)
    if entity is None:
        return set()
    ids = kind.ids(entity)
    if twice := next((id for id in ids if ids.count(id) > 1), None):
        return _put_aside(connection, path, Unreadable(1, f"the id {twice!r} stands here twice"))
    twin = kind.twin(connection, entity) or _twin_put_aside(connection, folder_of(path), ids)
    if twin is None:
        try:
            return kind.store(connection, path, entity)
        except (ArithmeticError, TypeError, ValueError):
            kind.forget(connection, path)
            return _put_aside(connection, path, Unreadable(1, _STRANGE))
    twin_id, twin_path = twin
    _put_aside(connection, path, Unreadable(1, f"{twin_path} has the same id {twin_id!r}"), twin_id)
    marks = kind.forget(connection, twin_path)
    return marks | _put_aside(connection, twin_path, Unreadable(1, f"{path} has the same id {twin_id!r}"), twin_id)


def _twin_put_aside(connection: sqlite3.Connection, folder: str, ids: Sequence[str]) -> tuple[str, str] | None:
    """The id and path of one of two files that have been put aside for having the same."""
    row = connection.execute(
        """SELECT id, path FROM broken WHERE is_twin AND folder = ? AND id IN (SELECT value FROM json_each(?))
           ORDER BY path""",
        [folder, json.dumps([*ids])],
    ).fetchone()
    return tuple(row) if row else None


def understood(kind: Kind[Any], file: Path, path: str, data: bytes) -> Any:
    """The entity that a file holds, None for none. Raises Unreadable."""
    document = parse(data, framed=path.endswith(".md"))
    try:
        written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except FileNotFoundError:
        written = datetime.now(UTC)
    try:
        return kind.read(document, path, written)
    except Wrong as error:
        raise Unreadable(document.line_of(error.key), error.problem) from None
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        raise Unreadable(1, _STRANGE) from None


def _put_aside(
    connection: sqlite3.Connection, path: str, error: Unreadable, id: str | None = None
) -> set[tuple[str, str]]:
    connection.execute(
        "INSERT OR REPLACE INTO broken VALUES (?, ?, ?, ?, ?, ?)",
        [path, folder_of(path), id or id_in(path), error.line, error.problem, id is not None],
    )
    return set()
