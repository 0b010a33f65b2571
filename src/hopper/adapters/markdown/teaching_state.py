"""What a local instance keeps of its syncing: files below .state, which isn't committed, for their owner alone."""

import configparser
import getpass
import json
import os
import pwd
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from hopper.adapters.markdown.layout import CONFIG, STATE
from hopper.domain.errors import Invalid, Unavailable
from hopper.ports.teaching import Teacher
from hopper.sync.targets import TargetNaming
from hopper.sync.teaching import Ledger

_FOLDER = "sync"
_TEACHER, _LEDGER, _OUTBOX, _PACK = "teacher.json", "ledger.json", "outbox.jsonl", "pack.json"


class FileTeachingState:
    """Implements ports.teaching.TeachingState."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._folder = directory / STATE / _FOLDER

    def teacher(self) -> Teacher | None:
        stored = self._read(_TEACHER)
        if stored is None:
            return None
        times = {name: datetime.fromisoformat(stored[name]) for name in ("pushed_at", "pulled_at") if stored[name]}
        return Teacher(**{**stored, "naming": TargetNaming(**stored["naming"]), **times})

    def keep_teacher(self, teacher: Teacher) -> None:
        times = {name: at and at.isoformat() for name in ("pushed_at", "pulled_at") for at in [getattr(teacher, name)]}
        self._write(_TEACHER, json.dumps({**asdict(teacher), **times}).encode())

    def ledger(self) -> Ledger:
        stored = self._read(_LEDGER)
        return Ledger.read(stored) if stored else Ledger()

    def keep_ledger(self, ledger: Ledger) -> None:
        self._write(_LEDGER, json.dumps(ledger.stored()).encode())

    def outbox(self) -> tuple[bytes, ...]:
        with suppress(FileNotFoundError):
            return tuple((self._folder / _OUTBOX).read_bytes().splitlines())
        return ()

    def keep_outbox(self, bodies: Sequence[bytes]) -> None:
        self._write(_OUTBOX, b"".join(body + b"\n" for body in bodies))

    def pack(self) -> dict[str, Any] | None:
        return self._read(_PACK)

    def keep_pack(self, pack: dict[str, Any]) -> None:
        self._write(_PACK, json.dumps(pack).encode())

    def private(self) -> frozenset[str]:
        own = {socket.gethostname(), Path.home().name}
        with suppress(KeyError, OSError):  # a user without an entry
            own |= {getpass.getuser(), pwd.getpwuid(os.getuid()).pw_gecos}
        for config in (self._directory / CONFIG, Path.home() / ".hopper" / CONFIG):
            own |= set(_configured(config))
        for config in (self._directory.parent / ".git" / "config", Path.home() / ".gitconfig"):
            own |= set(_git_user(config))
        return frozenset(own)

    def forget(self) -> None:
        for name in (_TEACHER, _OUTBOX, _LEDGER, _PACK):
            (self._folder / name).unlink(missing_ok=True)

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self._folder / name
        try:
            stored: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            raise Unavailable(
                f"{path} is damaged. Remove the folder {self._folder}, then `hopper sync on` again: nothing that was "
                "sent counts twice."
            ) from None
        return stored

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._folder / ".gitignore").write_text("*\n", encoding="ascii")
        unfinished = self._folder / f"{name}.tmp"
        unfinished.unlink(missing_ok=True)
        file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        unfinished.rename(self._folder / name)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _configured(path: Path) -> Iterator[str]:
    """The instance's name and id, and the words that its person keeps private: `sync: {private: [...]}`."""
    try:
        config = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise Invalid("config", f"{path} can't be read, so it isn't known what has to stay private.") from None
    if not isinstance(config, dict):
        return
    instance, sync = config.get("instance"), config.get("sync")
    if isinstance(instance, dict):
        yield from (str(instance[key]) for key in ("id", "name") if instance.get(key))
    private = sync.get("private") if isinstance(sync, dict) else None
    if private is not None:
        if not isinstance(private, list):
            raise Invalid("sync.private", f"{path}: sync.private has to be a list of words.")
        yield from map(str, private)


def _git_user(path: Path) -> Iterator[str]:
    """Who git says that the person is; what git understands and this doesn't is left out."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    with suppress(OSError, UnicodeDecodeError, configparser.Error):
        parser.read_string(path.read_text("utf-8"))
    for key in ("name", "email"):
        if given := parser.get("user", key, fallback=None):
            yield given
