"""What a local instance keeps of its syncing: files below .state, which isn't committed, for their owner alone."""

import getpass
import json
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hopper.adapters.markdown.frontmatter import Unreadable, parse
from hopper.adapters.markdown.layout import CONFIG, STATE
from hopper.adapters.markdown.places import private, write_private
from hopper.domain.errors import Invalid, Unavailable
from hopper.ports.teaching import Outbox, Teacher
from hopper.sync.targets import TargetNaming
from hopper.sync.teaching import Ledger

_FOLDER = "sync"
_TEACHER, _LEDGER, _OUTBOX, _PACK = "teacher.json", "ledger.json", "outbox.json", "pack.json"

_WRITTEN_IN = "written_in"
"""The number of the folder that it was written in: a copy, or what came with somebody's repository, opts nobody in."""

_GIT_SECONDS = 10.0
_GIT_KNOWS_NONE = 1
"""What `git config` returns where nothing is set."""


class FileTeachingState:
    """Implements ports.teaching.TeachingState."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._folder = directory / STATE / _FOLDER

    def teacher(self) -> Teacher | None:
        with self._undamaged(_TEACHER):
            stored = self._read(_TEACHER)
            if stored is None:
                return None
            written_here = stored.pop(_WRITTEN_IN) == self._folder.stat().st_ino
            teacher = Teacher(**{**stored, "naming": TargetNaming(**stored["naming"])})
            return replace(teacher, is_on=teacher.is_on and written_here)

    def keep_teacher(self, teacher: Teacher) -> None:
        self._write(_TEACHER, {**asdict(teacher), _WRITTEN_IN: private(self._folder).stat().st_ino})

    def ledger(self) -> Ledger:
        with self._undamaged(_LEDGER):
            stored = self._read(_LEDGER)
            return Ledger.read(stored) if stored is not None else Ledger()

    def keep_ledger(self, ledger: Ledger) -> None:
        self._write(_LEDGER, ledger.stored())

    def outbox(self) -> Outbox:
        with self._undamaged(_OUTBOX):
            stored = self._read(_OUTBOX)
            if stored is None:
                return Outbox()
            return Outbox(tuple(body.encode() for body in stored["bodies"]), stored["settings"])

    def keep_outbox(self, outbox: Outbox) -> None:
        self._write(_OUTBOX, {"bodies": [body.decode() for body in outbox.bodies], "settings": outbox.settings})

    def pack(self) -> dict[str, Any] | None:
        with self._undamaged(_PACK):
            stored = self._read(_PACK)
            return dict(stored["pack"]) if stored is not None else None

    def keep_pack(self, pack: dict[str, Any], pulled_at: datetime) -> None:
        self._write(_PACK, {"pack": pack, "pulled_at": pulled_at.isoformat()})

    def pulled_at(self) -> datetime | None:
        with self._undamaged(_PACK):
            stored = self._read(_PACK)
            return datetime.fromisoformat(stored["pulled_at"]) if stored is not None else None

    def private(self) -> frozenset[str]:
        own = {socket.gethostname(), Path.home().name}
        with suppress(KeyError, OSError):  # a user without an entry
            own |= {getpass.getuser(), pwd.getpwuid(os.getuid()).pw_gecos}
        for config in (self._directory / CONFIG, Path.home() / ".hopper" / CONFIG):
            own |= set(_configured(config))
        return frozenset(own | set(_git_user(self._directory.parent)))

    def forget(self) -> None:
        for path in self._folder.glob("*.json*"):  # also what a killed one hadn't finished
            path.unlink(missing_ok=True)

    @contextmanager
    def _undamaged(self, name: str) -> Iterator[None]:
        """Say what to do where a file doesn't hold what it should."""
        try:
            yield
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            raise Unavailable(
                f"{self._folder / name} is damaged. Remove the folder {self._folder}, then `hopper sync on` again: "
                "nothing that was sent counts twice."
            ) from None

    def _read(self, name: str) -> Any:
        """What is stored; None where nothing is."""
        with suppress(FileNotFoundError):
            return json.loads((self._folder / name).read_bytes())
        return None

    def _write(self, name: str, content: dict[str, Any]) -> None:
        write_private(self._folder, name, content)


def _configured(path: Path) -> Iterator[str]:
    """The instance's name and id, and the words that its person keeps private: `sync: {private: [...]}`."""
    try:
        config = parse(path.read_bytes(), framed=False).front
    except FileNotFoundError:
        return
    except OSError:
        raise Invalid("config", f"{path} can't be read, so it isn't known what has to stay private.") from None
    except Unreadable as wrong:
        raise Invalid("config", f"{path}, {wrong}: mend it, so that it is known what has to stay private.") from None
    instance, sync = config.get("instance"), config.get("sync")
    if isinstance(instance, Mapping):
        yield from (instance[key] for key in ("id", "name") if isinstance(instance.get(key), str))
    if sync is None:
        return
    private = (sync.get("private") or []) if isinstance(sync, Mapping) else None
    if not isinstance(private, list) or not all(isinstance(word, str) for word in private):
        said = f"{path}: what stays private is a list of words, such as `sync: {{private: [Acme]}}`."
        raise Invalid("sync.private", said)
    yield from private


def _git_user(place: Path) -> Iterator[str]:
    """Who git says that the person is, in any of the files that it heeds there; nobody where there is no git."""
    git = shutil.which("git")
    if git is None:
        return
    asked = [git, "config", "--null", "--get-regexp", r"^user\.(name|email)$"]
    try:
        done = subprocess.run(asked, check=False, cwd=place, capture_output=True, timeout=_GIT_SECONDS)  # noqa: S603 - no shell
    except (OSError, subprocess.TimeoutExpired):
        done = None
    if done is None or done.returncode not in (0, _GIT_KNOWS_NONE):
        said = "`git config --list` fails here: mend that, so that it is known what has to stay private."
        raise Invalid("config", said)
    yield from (entry.partition("\n")[2] for entry in done.stdout.decode(errors="replace").split("\0"))
