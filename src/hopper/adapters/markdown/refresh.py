"""Finding what has changed in the files since the index was made, and taking it in."""

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import Any

from hopper.adapters.markdown.fields import Wrong
from hopper.adapters.markdown.frontmatter import Unreadable, parse
from hopper.adapters.markdown.journal import UNFINISHED
from hopper.adapters.markdown.kinds import KINDS, Kind
from hopper.adapters.markdown.layout import CONFIG, FOLDERS, LEARNING, LEASES, folder_of, id_in, is_document
from hopper.adapters.markdown.queue import Subscriptions, enqueue

_RACY_NS = 50_000_000
"""A file that was written so shortly before it was read may have been written again without another time."""

_LARGEST = 2**63 - 1

_STRANGE = "it holds a value that nothing here can be"

Stamp = tuple[int, int, int, int]

_NO_STAMP = (-1, 0, 0, 0)


@dataclass(slots=True)
class Differences:
    """Paths whose content differs from what the index knows (with their bytes, None where they are gone, or why they
    can't be read), and paths that only look so; and what a command that was killed hadn't finished writing."""

    real: dict[str, bytes | OSError | None] = field(default_factory=dict)
    retouched: dict[str, bytes] = field(default_factory=dict)
    stamps: dict[str, Stamp] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)


def stamp_of(stat: os.stat_result) -> Stamp:
    """As SQLite can keep it: some file systems have larger numbers."""
    return stat.st_size, stat.st_mtime_ns & _LARGEST, stat.st_ctime_ns & _LARGEST, stat.st_ino & _LARGEST


def differences(connection: sqlite3.Connection, root: Path, *, any_will_do: bool = False) -> Differences:
    """Compare the files with the index, by their stamps first and then by their content.

    With `any_will_do` no further than to the first that differs.
    """
    known = {row[0]: tuple(row)[1:] for row in connection.execute("SELECT * FROM files")}
    found = Differences()
    for path, stamp in _there(root, found.unfinished):
        size, mtime, ctime, ino, digest, seen = known.pop(path, (-1, 0, 0, 0, "", 0))
        if stamp == (size, mtime, ctime, ino) and max(mtime, ctime) + _RACY_NS < seen:
            continue
        data = _content(root / path)
        if data is None:
            known[path] = (size, mtime, ctime, ino, digest, seen)
            continue
        found.stamps[path] = stamp
        if _digest(data) == digest:
            if isinstance(data, bytes):
                found.retouched[path] = data
        else:
            found.real[path] = data
            if any_will_do:
                return found
    found.real |= dict.fromkeys((path for path, stamps in known.items() if stamps[4]), None)
    return found


def _content(file: Path) -> bytes | OSError | None:
    """None where it is gone; why it can't be read, such as a link into a file system that isn't there."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return error


def _digest(data: bytes | OSError) -> str:
    return f"error {data.errno}" if isinstance(data, OSError) else sha256(data).hexdigest()


def _there(root: Path, unfinished: list[str]) -> Iterator[tuple[str, Stamp]]:
    for folder in FOLDERS:
        try:
            entries = os.scandir(root / folder)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError:
            if folder == LEASES:  # only their owner sees them
                continue
            raise
        with entries:
            for entry in entries:
                if entry.name.endswith(UNFINISHED):
                    unfinished.append(entry.path)
                elif is_document(path := f"{folder}/{entry.name}"):
                    try:
                        stat = entry.stat()
                    except FileNotFoundError:  # gone since, or a link that leads nowhere
                        continue
                    except OSError:
                        yield path, _NO_STAMP
                        continue
                    if S_ISREG(stat.st_mode):
                        yield path, stamp_of(stat)
    for path in (CONFIG, LEARNING):
        try:
            yield path, stamp_of((root / path).stat())
        except (FileNotFoundError, NotADirectoryError):
            continue


def take_in(connection: sqlite3.Connection, root: Path, found: Differences, followed: Subscriptions) -> None:
    """Make the index's rows those of the changed files. Within a transaction, by the holder of the store's lock."""
    seen = time.time_ns()
    changed = dict(found.real)
    if changed:  # of two files with one id, one may have been mended
        for (path,) in connection.execute("SELECT path FROM broken WHERE is_twin").fetchall():
            if path not in changed and (data := _content(root / path)) is not None:
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


def remember(connection: sqlite3.Connection, path: str, data: bytes | OSError, stamp: Sequence[int], seen: int) -> None:
    connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", [path, *stamp, _digest(data), seen])


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
