"""Changing files so that whoever looks, and whatever happens, there is the old or the new, never half.

One file is replaced by another of its name. Several are written to a journal first, as a whole: once it has its name
they are as good as changed, and whoever next has the store's lock finishes what was begun.
"""

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from hopper.adapters.markdown.layout import STATE, is_document
from hopper.domain.errors import Conflict, Unavailable

_HEADER = b"hopper-journal 1\n"
UNFINISHED = ".hopper-tmp"
_SAVED = ".hopper-saved"
_FEW = 16
"""Of more files, each waited for until it is on the disk, an import would take minutes; all together take a moment."""


@dataclass(frozen=True, slots=True)
class Change:
    """A file's new content, None to remove it; `before` is the hash of its old one, None where it is new."""

    path: str
    before: str | None
    content: bytes | None


def apply(root: Path, changes: Sequence[Change]) -> None:
    """Change all the files or none. Only for the holder of the store's lock. Raises Conflict, Unavailable, OSError."""
    if len(changes) == 1:
        _put(root, changes[0], may_replace=changes[0].before is not None)
        _sync({(root / changes[0].path).parent})
    elif changes:
        begin(root, changes)
        try:
            _finish(root, changes)
        except OSError as error:
            raise Unavailable(
                f"Not all files could be written ({error}). Nothing is lost: the next command that can write them will."
            ) from error


def recover(root: Path) -> None:
    """Finish what was begun, or forget what never began. Only for the holder of the store's lock."""
    journal = root / STATE / "journal"
    (root / STATE / "journal.tmp").unlink(missing_ok=True)
    try:
        written = journal.read_bytes()
    except FileNotFoundError:
        return
    changes = _read_journal(written)
    if changes is None:  # damaged: it has its name only when it is whole
        journal.rename(journal.with_name("journal.damaged"))
    else:
        _finish(root, [change for change in changes if _is_ours(root, change)])


def _finish(root: Path, changes: Sequence[Change]) -> None:
    one_by_one = len(changes) <= _FEW
    for change in changes:
        _put(root, change, may_replace=True, durably=one_by_one)
    if one_by_one:
        _sync({(root / change.path).parent for change in changes})
    else:
        os.sync()
    (root / STATE / "journal").unlink()
    _sync({root / STATE})


def _put(root: Path, change: Change, *, may_replace: bool, durably: bool = True) -> None:
    target = root / change.path
    if change.content is None:
        target.unlink(missing_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}{UNFINISHED}")
    _write(unfinished, change.content, durably=durably)
    if may_replace:
        with suppress(FileNotFoundError):
            unfinished.chmod(target.stat().st_mode & 0o7777)
        unfinished.rename(target)  # of a link as well: what it leads to isn't ours
        return
    try:
        os.link(unfinished, target)
    except FileExistsError:
        raise Conflict(f"{change.path} is there already, and another command or a person has just made it.") from None
    finally:
        unfinished.unlink()


def _is_ours(root: Path, change: Change) -> bool:
    """Whether a file is as it was before or after the change. If somebody has edited it since, that stays, and ours is
    put beside it."""
    try:
        there = (root / change.path).read_bytes()
    except FileNotFoundError:
        return True
    after = sha256(change.content).hexdigest() if change.content is not None else None
    if sha256(there).hexdigest() in (change.before, after):
        return True
    if change.content is not None:
        _write(root / (change.path + _SAVED), change.content)
    return False


def begin(root: Path, changes: Sequence[Change]) -> None:
    """Write down what is to be changed: from here on it is."""
    parts = [_HEADER]
    for change in changes:
        length = None if change.content is None else len(change.content)
        parts += [json.dumps([change.path, change.before, length]).encode() + b"\n", change.content or b"", b"\n"]
    whole = b"".join(parts)
    unfinished = root / STATE / "journal.tmp"
    _write(unfinished, whole + sha256(whole).hexdigest().encode())
    unfinished.rename(root / STATE / "journal")
    _sync({root / STATE})


def _read_journal(written: bytes) -> list[Change] | None:
    whole, digest = written[:-64], written[-64:]
    if not whole.startswith(_HEADER) or sha256(whole).hexdigest().encode() != digest:
        return None
    changes, at = [], len(_HEADER)
    while at < len(whole):
        end = whole.index(b"\n", at)
        path, before, length = json.loads(whole[at:end])
        if not is_document(path):  # it came with somebody's repository
            return None
        at = end + 1 + (length or 0)
        changes.append(Change(path, before, None if length is None else whole[end + 1 : at]))
        at += 1
    return changes


def _write(path: Path, content: bytes, *, durably: bool = True) -> None:
    path.unlink(missing_ok=True)
    with path.open("xb") as file:  # never through a link that somebody has put there
        file.write(content)
        if not durably:
            return
        file.flush()
        os.fsync(file.fileno())


def _sync(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(FileNotFoundError):
            opened = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)
