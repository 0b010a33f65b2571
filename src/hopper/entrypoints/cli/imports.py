"""Sending a file of tasks: read once for its digest, then sent in parts, each line with an id of its own."""

import gzip
import hashlib
import re
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self, cast
from uuid import UUID, uuid5

from hopper.domain.errors import HopperError, Unavailable
from hopper.domain.task import Task
from hopper.entrypoints.cli.common import readable
from hopper.entrypoints.cli.output import progress

if TYPE_CHECKING:
    from hopper.adapters.http.api import Api

Entity = dict[str, Any]

CHUNK_LINES = 1000
CHUNK_BYTES = 16 * 1024 * 1024

FIELDS = frozenset(Task.__dataclass_fields__) - {"version", "updated_at"}
"""What a line can say of a task."""

MOST_UNPACKED = 2**30
"""Bytes that a packed file may grow to: a thousandth of that can be packed so."""

_SPACE = UUID("0198c0de-6a3f-7c41-9d52-4f1be0a7c3d5")
_NOTHING = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\[\s*\]\s*)?")
_IN_MEMORY = 16 * 1024 * 1024
_BLOCK = 1024 * 1024


class Unreadable(HopperError):
    """The file to import can't be read to its end."""

    slug = "unreadable"


class Source:
    """The lines of a file, unpacked; ids that lines lack come from the file's digest and the line's number.

    So an import that was broken off can be run again: what is there already is left as it is. `left_out` names
    the fields that tasks don't have.
    """

    def __init__(self, path: Path) -> None:
        self.left_out: set[str] = set()
        self.size = 0
        self.sent = 0
        self._path = path

    def __enter__(self) -> Self:
        self._spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)
        digest = hashlib.sha256()
        try:
            for block in blocks(self._path):
                digest.update(block)
                self._spool.write(block)
                self.size += len(block)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise Unreadable(f"{readable(self._path)} is a damaged gzip file; nothing was imported.") from None
        self._digest = digest.hexdigest()
        self._spool.seek(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spool.close()

    def beginning(self) -> bytes:
        """Enough to tell the format: the first line with anything in it, or a whole JSON array."""
        line = next((line for line in self._spool if line.strip()), b"")
        self._spool.seek(0)
        return self.content() if line.lstrip(b"\xef\xbb\xbf \t")[:1] == b"[" else line

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it, as programs say it in JSON, too, when they have no tasks."""
        return bool(_NOTHING.fullmatch(self.beginning()))

    def content(self) -> bytes:
        """All of it."""
        content = self._spool.read()
        self._spool.seek(0)
        return content

    def lines(self) -> Iterator[bytes]:
        """The lines as they are sent, each ended; as many as the file has, and none of an empty one."""
        if self.is_empty:
            return
        for number, line in enumerate(self._spool, 1):
            self.sent += len(line)
            yield self._prepared(number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)

    def chunks(self) -> Iterator[list[bytes]]:
        """The lines in parts that make one request each."""
        chunk: list[bytes] = []
        size = 0
        for line in self.lines():
            chunk.append(line)
            size += len(line)
            if len(chunk) == CHUNK_LINES or size >= CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def _prepared(self, number: int, line: bytes) -> bytes:
        """The line with an id and without unknown fields; as it is when the server has to say what is wrong."""
        import orjson

        as_it_is = line.rstrip(b"\r\n") + b"\n"
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            return as_it_is
        if not isinstance(row, dict):
            return as_it_is
        self.left_out |= row.keys() - FIELDS
        known = {name: value for name, value in row.items() if name in FIELDS}
        if known.get("id") is None:
            known["id"] = str(uuid5(_SPACE, f"{self._digest}:{number}"))
        try:
            return orjson.dumps(known) + b"\n"
        except orjson.JSONEncodeError:  # it is nested more deeply than this can write
            return as_it_is


def send(api: "Api", source: Source, *, atomic: bool, dry_run: bool = False) -> Entity:
    """Send everything and return the API's report, with the file's line numbers."""
    with progress("looking" if dry_run else "importing", source.size) as show:
        if atomic or dry_run:
            return api.import_lines(_watched(source, show), atomic=atomic, dry_run=dry_run)
        return _send_chunks(api, source, show)


def _watched(source: Source, show: Callable[[int], None]) -> Iterator[bytes]:
    for number, line in enumerate(source.lines(), 1):
        yield line
        if number % CHUNK_LINES == 0:
            show(source.sent)


def _send_chunks(api: "Api", source: Source, show: Callable[[int], None]) -> Entity:
    report: Entity = {"created": 0, "unchanged": 0, "failed": 0, "errors": []}
    before = 0
    for chunk in source.chunks():
        try:
            part = api.import_lines(chunk)
        except Unavailable as error:
            raise Unavailable(
                f"{error.message} {before} lines were sent before that; run the same command again: "
                "what is there already is left as it is."
            ) from None
        for count in ("created", "unchanged", "failed"):
            report[count] += part[count]
        report["errors"] += [{**error, "line": before + error["line"]} for error in part["errors"]]
        before += len(chunk)
        show(source.sent)
    return report


def blocks(path: Path) -> Iterator[bytes]:
    """A file's unpacked content, whether or not it is packed; - is standard input."""
    if str(path) == "-":
        yield from _unpacked(sys.stdin.buffer)
        return
    with path.open("rb") as file:
        yield from _unpacked(file)


def _unpacked(file: IO[bytes]) -> Iterator[bytes]:
    packed = file.peek(2)[:2] == b"\x1f\x8b"  # type: ignore[attr-defined]
    content = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file
    size = 0
    while block := content.read(_BLOCK):
        size += len(block)
        if packed and size > MOST_UNPACKED:
            raise Unreadable(
                f"Unpacked it is larger than {MOST_UNPACKED / 2**30:.3g} GiB, as a file may be that is meant to fill "
                "the disk; nothing was imported. If it should be that large, unpack it first, with gunzip."
            )
        yield block
