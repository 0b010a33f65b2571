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


def apply(root: Path, changes: Sequence[Change]) -> list[Change]:
    """Change all the files or none. Only for the holder of the store's lock. Raises Conflict, Unavailable, OSError.

    Returns the changes that stand: a file that a person has edited in the very moment is left as it is.
    """
    if len(changes) == 1:
        _put(root, changes[0], is_begun=False)
        _sync({(root / changes[0].path).parent})
    elif changes:
        begin(root, changes)
        try:
            return _finish(root, changes)
        except OSError as error:
            raise Unavailable(
                f"Not all files could be written ({error}). Nothing is lost: the next command that can write them will."
            ) from error
    return list(changes)


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
        _finish(root, changes)


def _finish(root: Path, changes: Sequence[Change]) -> list[Change]:
    one_by_one = len(changes) <= _FEW
    standing = [change for change in changes if _put(root, change, is_begun=True, durably=one_by_one)]
    if one_by_one:
        _sync({(root / change.path).parent for change in changes})
    else:
        os.sync()
    (root / STATE / "journal").unlink()
    _sync({root / STATE})
    return standing


def _put(root: Path, change: Change, *, is_begun: bool, durably: bool = True) -> bool:
    """Put a change in its place; whether it is there.

    What a person has edited since stays: a change that is begun is put beside it, one alone raises Conflict.
    """
    target = root / change.path
    unfinished = target.with_name(f".{target.name}{UNFINISHED}")
    if change.content is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            mode = target.stat().st_mode & 0o7777
        except FileNotFoundError:
            mode = None
        private = change.path.startswith(f"{STATE}/")
        _write(unfinished, change.content, 0o600 if private else 0o666 if mode is None else mode, durably=durably)
        if mode is not None:
            unfinished.chmod(mode)
    if not _is_as_known(target, change):
        return _leave(change, target, unfinished, is_begun)
    if change.content is None:
        target.unlink(missing_ok=True)
    elif change.before is not None or is_begun:
        unfinished.rename(target)  # of a link as well: what it leads to isn't ours
    else:
        try:
            os.link(unfinished, target)
        except FileExistsError:
            return _leave(change, target, unfinished, is_begun)
        unfinished.unlink()
    return True


def _is_as_known(target: Path, change: Change) -> bool:
    """Whether a file is as it was before the change, or as it is after it, or gone."""
    try:
        there = target.read_bytes()
    except FileNotFoundError:
        return True
    after = sha256(change.content).hexdigest() if change.content is not None else None
    return sha256(there).hexdigest() in (change.before, after)


def _leave(change: Change, target: Path, unfinished: Path, is_begun: bool) -> bool:
    if not is_begun:
        unfinished.unlink(missing_ok=True)
        raise Conflict(f"{change.path} was changed by somebody else at the same moment. Nothing was stored; try again.")
    if change.content is not None:
        unfinished.rename(target.with_name(target.name + _SAVED))
    return False


def begin(root: Path, changes: Sequence[Change]) -> None:
    """Write down what is to be changed: from here on it is."""
    parts = [_HEADER]
    for change in changes:
        length = None if change.content is None else len(change.content)
        parts += [json.dumps([change.path, change.before, length]).encode() + b"\n", change.content or b"", b"\n"]
    whole = b"".join(parts)
    unfinished = root / STATE / "journal.tmp"
    _write(unfinished, whole + sha256(whole).hexdigest().encode(), 0o600)
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


def _write(path: Path, content: bytes, mode: int, *, durably: bool = True) -> None:
    path.unlink(missing_ok=True)
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)  # never through somebody's link
    with open(opened, "wb") as file:  # noqa: PTH123 (it is open)
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
