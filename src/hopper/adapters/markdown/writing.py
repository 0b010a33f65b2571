"""From what a unit of work has changed in the index to the files."""

import re
import sqlite3
import time
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from hopper.adapters.markdown.edit import Unsafe, edited
from hopper.adapters.markdown.emit import block
from hopper.adapters.markdown.frontmatter import Document, Unreadable, parse
from hopper.adapters.markdown.journal import Change, apply
from hopper.adapters.markdown.kinds import KINDS, Kind
from hopper.adapters.markdown.layout import INDEX, folder_of, is_document
from hopper.adapters.markdown.refresh import remember, stamp_of
from hopper.adapters.markdown.schema import mend_first
from hopper.adapters.markdown.taking_in import understood
from hopper.domain.errors import Conflict

_COMMENT = re.compile(r"^[ \t]*#", re.MULTILINE)


def write(connection: sqlite3.Connection, root: Path, paths: Iterable[str]) -> None:
    """Write the documents as the index has them, all or none, and remember what was written.

    Raises Conflict for a file that can't be read, has just been changed, or can't be changed safely; OSError.
    """
    found = [one for path in sorted(paths) if (one := _change(connection, root, path))]
    plain = {change.path for change, is_plain in found if is_plain}
    seen = time.time_ns()
    standing = apply(root, [change for change, _ in found])
    if found:
        for stale in ("tasks.json", "tags.json"):  # the public hopper's index, which it would believe
            (root / INDEX / stale).unlink(missing_ok=True)
    for change in standing:  # the next look takes the others in
        if change.content is None:
            connection.execute("DELETE FROM files WHERE path = ?", [change.path])
        else:
            stamp = stamp_of((root / change.path).stat())
            remember(connection, change.path, change.content, stamp, seen, is_plain=change.path in plain)


def _change(connection: sqlite3.Connection, root: Path, path: str) -> tuple[Change, bool] | None:
    """What has to be written to a file, and whether it is as a new one would be; None when it is as it should be."""
    if not is_document(path):  # from an index that came with somebody's repository
        raise Conflict(f"{path} is no document of this instance. Remove the folder {INDEX}, and try again.")
    kind = KINDS[folder_of(path)]
    wanted = kind.load(connection, path)
    try:
        there = (root / path).read_bytes()
    except FileNotFoundError:
        there = None
    known, is_plain = connection.execute("SELECT sha256, is_plain FROM files WHERE path = ?", [path]).fetchone() or (
        None,
        False,
    )
    before = sha256(there).hexdigest() if there is not None else None
    if before != known:
        raise Conflict(f"{path} was changed by somebody else at the same moment. Nothing was stored; try again.")
    broken = connection.execute("SELECT path, line, problem FROM broken WHERE path = ?", [path]).fetchone()
    if broken:
        raise mend_first(broken)
    if not wanted and (there is None or not (wanted == () and _has_persons_text(there, path))):
        return None if there is None else (Change(path, before, None), False)
    content = new = _rendered(kind, path, wanted)
    if there is not None and not is_plain:  # somebody has put something of their own there, or it is another program's
        content = _edited(kind, root / path, path, there, wanted)
    return None if content == there else (Change(path, before, content), content == new)


def _has_persons_text(there: bytes, path: str) -> bool:
    """Whether somebody has written something of their own in a file that can be without Hopper's part."""
    document = parse(there, framed=path.endswith(".md"))
    return bool(document.body or _COMMENT.search(document.yaml))


def _rendered(kind: Kind[Any], path: str, wanted: Any) -> bytes:
    """A new document's bytes."""
    yaml, body = block(kind.fields(wanted)), kind.body(wanted)
    text = f"---\n{yaml}---\n" + (f"\n{body}\n" if body else "") if path.endswith(".md") else yaml
    return text.encode()


def _edited(kind: Kind[Any], file: Path, path: str, there: bytes, wanted: Any) -> bytes:
    """The bytes that are there, with just the fields that differ. Raises Conflict.

    It is read several times on the way, which takes a hundred times as long as to write it anew.
    """
    try:
        document = parse(there, framed=path.endswith(".md"))
        read = understood(kind, file, path, there)
        forced, rest = kind.forced(document.front), document.text[document.end :]
        if _texts(kind, read) != _texts(kind, wanted):
            forced |= kind.text_keys
            rest = _closing(document) + (f"\n{body}\n" if (body := kind.body(wanted)) else "")
        yaml = edited(document.yaml, kind.fields(read), kind.fields(wanted), forced)
        content = (document.text[: document.start] + yaml + rest).encode()
        if understood(kind, file, path, content) == wanted and _keeps_others(kind, document, content, wanted, path):
            return content
    except (Unsafe, Unreadable):
        pass
    raise Conflict(f"{path} is written in a way that can't be changed safely. Nothing was stored; edit it by hand.")


def _texts(kind: Kind[Any], entity: Any) -> tuple[Any, ...]:
    fields = kind.fields(entity)
    return kind.body(entity), *(fields.get(key) for key in sorted(kind.text_keys))


def _closing(document: Document) -> str:
    line = document.text[document.end : document.body_start]
    return line if line.endswith("\n") else line + "\n"


def _keeps_others(kind: Kind[Any], document: Document, content: bytes, wanted: Any, path: str) -> bool:
    """Whether what Hopper knows nothing of says the same as before."""
    after = parse(content, framed=path.endswith(".md")).front
    own = kind.fields(wanted).keys() | kind.text_keys | kind.with_source | after.keys() ^ document.front.keys()
    return all(after[key] == value for key, value in document.front.items() if key not in own)
