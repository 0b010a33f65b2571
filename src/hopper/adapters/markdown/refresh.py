"""Finding what has changed in the files since the index was made."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG

from hopper.adapters.markdown.journal import UNFINISHED
from hopper.adapters.markdown.layout import CONFIG, FOLDERS, LEARNING, LEASES, is_document

_RACY_NS = 50_000_000
"""A file that was written so shortly before it was read may have been written again without another time."""

_LARGEST = 2**63 - 1

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
    known = {row[0]: tuple(row)[1:7] for row in connection.execute("SELECT * FROM files")}
    found = Differences()
    for path, stamp in _there(root, found.unfinished):
        size, mtime, ctime, ino, digest, seen = known.pop(path, (-1, 0, 0, 0, "", 0))
        if stamp == (size, mtime, ctime, ino) and max(mtime, ctime) + _RACY_NS < seen:
            continue
        data = content_of(root / path)
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


def content_of(file: Path) -> bytes | OSError | None:
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


def remember(
    connection: sqlite3.Connection,
    path: str,
    data: bytes | OSError,
    stamp: Sequence[int],
    seen: int,
    *,
    is_plain: bool = False,
) -> None:
    """Know a file. A plain one is as Hopper writes a new one, so that nothing is lost if it is written anew."""
    values = [path, *stamp, _digest(data), seen, is_plain]
    connection.execute(
        """INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE
           SET (size, mtime_ns, ctime_ns, ino, sha256, seen_ns, is_plain) = (excluded.size, excluded.mtime_ns,
               excluded.ctime_ns, excluded.ino, excluded.sha256, excluded.seen_ns,
               excluded.is_plain OR (files.is_plain AND files.sha256 = excluded.sha256))""",
        values,
    )
