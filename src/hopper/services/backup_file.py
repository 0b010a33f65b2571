"""A backup is one ZIP file: PostgreSQL's dump, and after it a manifest. `unzip` opens it without Hopper."""

import errno
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from tempfile import mkstemp
from typing import IO, Any

from hopper.domain.backup import BackupFailed, BadBackup, Manifest, TableSum

_FORMAT = 1
_DUMP = "database.dump"
_MANIFEST = "manifest.json"
_LONGEST_MANIFEST = 1024 * 1024
_BLOCK = 1024 * 1024

_SHAPE = {
    "hopper": str,
    "schema": str,
    "postgres": str,
    "made_at": str,
    "tables": dict,
    "left_out": list,
    "dump_bytes": int,
    "dump_sha256": str,
}
"""A manifest's parts."""

_DAMAGED = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, KeyError, OverflowError)
"""What Python's zipfile ends in when a file isn't what it should be."""


class BackupWriter:
    """Fills a new file: first the dump, then the manifest."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.bytes = 0
        self._digest = sha256()

    def take(self, dump: IO[bytes], show: Callable[[int], None]) -> None:
        """Write what comes, and tell how much it was."""
        with self._archive.open(_DUMP, "w", force_zip64=True) as member:
            while block := dump.read(_BLOCK):
                member.write(block)
                self._digest.update(block)
                self.bytes += len(block)
                show(self.bytes)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def close_with(self, manifest: Manifest) -> None:
        self._archive.writestr(_MANIFEST, json.dumps({"format": _FORMAT, **asdict(manifest)}, indent=2))


@contextmanager
def new_backup(path: Path, *, force: bool) -> Iterator[BackupWriter]:
    """A file that appears, whole and on the disk, at the end of the block; nothing of it is left if that fails.

    Readable by its owner alone. Raises BackupFailed for one that is there, unless it is to be replaced.
    """
    refuse_existing(path, force=force)
    number, name = mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(number, "w+b") as file:
            with zipfile.ZipFile(file, "w") as archive:
                yield BackupWriter(archive)
            file.flush()
            os.fsync(file.fileno())
        refuse_existing(path, force=force)
        part.replace(path)
        _sync_directory(path.parent)
    finally:
        part.unlink(missing_ok=True)


def refuse_existing(path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        raise BackupFailed(f"{path} is there already. Name another file, or replace it with --force.")


class BackupReader:
    """A backup file that was opened; `manifest` is what it says of itself."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._path = path
        self._archive = archive
        self.manifest = manifest

    def verify(self, show: Callable[[int], None]) -> None:
        """Read all of it. Raises BadBackup unless it is just as it was written."""
        digest, size = sha256(), 0
        for block in self.dump():
            digest.update(block)
            size += len(block)
            show(size)
        if (size, digest.hexdigest()) != (self.manifest.dump_bytes, self.manifest.dump_sha256):
            raise _damaged(self._path)

    def dump(self) -> Iterator[bytes]:
        """The dump, block by block. Raises BadBackup."""
        with _telling_of_damage(self._path), self._archive.open(_DUMP) as member:
            while block := member.read(_BLOCK):
                yield block


@contextmanager
def open_backup(path: Path) -> Iterator[BackupReader]:
    """A backup to read from. Raises BadBackup."""
    with path.open("rb") as file:
        with _telling_of_damage(path):
            archive = zipfile.ZipFile(file)
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise zipfile.BadZipFile  # nothing of it is compressed, and decoders fail in ways of their own
            with archive.open(_MANIFEST) as member:
                manifest = _manifest(json.loads(member.read(_LONGEST_MANIFEST)))
        if manifest is None:
            raise BadBackup(f"{path} was written by a later version of Hopper. Restore it with that one.")
        yield BackupReader(path, archive, manifest)


def _manifest(said: Any) -> Manifest | None:
    """What a file says of itself; None if a later version wrote it. Raises ValueError for what no version did."""
    if not isinstance(said, dict) or not isinstance(said.get("format"), int):
        raise ValueError
    if said.pop("format") != _FORMAT or said.keys() - _SHAPE:
        return None
    if not all(_is(kind, said.get(name)) for name, kind in _SHAPE.items()):
        raise ValueError
    if not all(_is(str, name) for name in said["left_out"]):
        raise ValueError
    tables = {name: _table(name, table) for name, table in said["tables"].items()}
    return Manifest(**{**said, "tables": tables, "left_out": tuple(said["left_out"])})


def _table(name: str, said: Any) -> TableSum:
    """Raises ValueError."""
    if not (_is(str, name) and isinstance(said, dict) and said.keys() == {"rows", "checksum"}):
        raise ValueError
    if not (_is(int, said["rows"]) and _is(str, said["checksum"])):
        raise ValueError
    return TableSum(**said)


def _is(kind: type, value: object) -> bool:
    """Whether it is of the kind; a text is shown on terminals, which take some signs for commands."""
    return isinstance(value, kind) and (not isinstance(value, str) or value.isprintable())


@contextmanager
def _telling_of_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED:
        raise _damaged(path) from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the file's beginning
            raise
        raise _damaged(path) from None


def _damaged(path: Path) -> BadBackup:
    return BadBackup(
        f"{path} isn't a whole backup of Hopper: it was cut off, was changed, or is something else. Take another copy."
    )


def _sync_directory(path: Path) -> None:
    """Have the file's name on the disk, too, where directories can be synced."""
    with suppress(OSError):
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
