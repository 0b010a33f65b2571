"""A PostgreSQL 16 with pgvector of Hopper's own, under its data directory.

It listens on a Unix socket only, which is open to its own user alone. Three locks in the data directory say who
uses it: `server.lock` is the one Hopper server's; `postgres.users` is shared by all who use PostgreSQL, and the
last of them stops it; `postgres.turn` lets one at a time start or stop it.
"""

import json
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from hopper.domain.errors import HopperError
from hopper.services.locks import FileLock
from hopper.services.postgres_errors import (
    DataDirectoryInUse,
    DataDirectoryUnusable,
    PostgresFailed,
    PostgresNotReady,
    failed,
    unusable,
)
from hopper.services.postgres_programs import Account, programs

__all__ = ["DataDirectoryInUse", "DataDirectoryUnusable", "EmbeddedPostgres", "PostgresFailed", "PostgresNotReady"]

_MAJOR = "16"
_SUPERUSER = "postgres"
_DATABASE = "hopper"
_SOCKET = ".s.PGSQL.5432"

_START_SECONDS = 120
"""Recovery after a crash replays the write-ahead log and may take a while."""

_STOP_SECONDS = 60
_TELL_SECONDS = 2

_LONGEST_SOCKET = 103
"""Bytes in a Unix socket's path: 107 on Linux, 103 on macOS."""

_SETTINGS = {
    "port": "5432",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "512MB",
    "autovacuum_work_mem": "64MB",
    "jit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "timezone": "UTC",
    "log_checkpoints": "off",
    # What a task says has no place in a log: no statements, parameters or details with values.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
}

_HASTY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


_GROUPS = Path("/sys/fs/cgroup")


def _build_memory() -> str:
    """A quarter of the memory there is, 4 GB at most: the index of a million vectors of 256 dimensions takes 1.4."""
    there_is = min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_limits()]) // 2**20
    return f"{max(64, min(4096, there_is // 4))}MB"


def _limits() -> Iterator[int]:
    """Of a container's memory in bytes, where it has one: by the names of cgroup v2 and v1."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # without a limit the first says "max"
            yield int((_GROUPS / name).read_text())


class EmbeddedPostgres:
    """PostgreSQL under `home`, for as long as the context lasts.

    An exclusive one belongs to a Hopper server: a second raises DataDirectoryInUse. One that isn't exclusive is
    for commands. Both take over a PostgreSQL that runs already, be it another's or left by a killed Hopper, and
    the last one out stops it. `durable=False` gives up safety for speed, for data that is thrown away. `progress`
    is told, in sentences, why starting takes long.
    """

    def __init__(
        self,
        home: Path,
        *,
        exclusive: bool = True,
        durable: bool = True,
        progress: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        self.home = home.expanduser().absolute()
        self.data = self.home / "postgres"
        self.log_path = self.home / "postgres.log"
        self._exclusive = exclusive
        self._durable = durable
        self._progress = progress
        self._server = FileLock(self.home / "server.lock")
        self._users = FileLock(self.home / "postgres.users")
        self._turn = FileLock(self.home / "postgres.turn")
        self._account = Account(None)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def url(self) -> str:
        """Where asyncpg finds the database."""
        return f"postgresql://{_SUPERUSER}@/{_DATABASE}?host={quote(str(self._sockets))}&port=5432"

    def start(self) -> None:
        """Have PostgreSQL running and the database there; raises what this module names."""
        if self._users.held:
            raise ValueError("This EmbeddedPostgres is started already.")
        try:
            self._begin()
        except PostgresNotReady:
            # Stopping it would throw away how far recovery has come.
            self._users.release()
            self._server.release()
            raise
        except OSError as error:
            self._give_up()
            raise unusable(self.home, error.strerror or str(error)) from None
        except BaseException:
            self._give_up()
            raise

    def announce(self, address: str) -> None:
        """Tell a second server, in its refusal, the address of this one."""
        try:
            self._server.write(json.dumps({"pid": os.getpid(), "address": address}))
        except OSError as error:
            raise unusable(self.home, error.strerror or str(error)) from None

    def stop(self) -> None:
        """Stop PostgreSQL, unless somebody else still uses it. Raises PostgresFailed."""
        try:
            if self._users.held:
                self._leave()
        finally:
            self._process = None  # one that has died is none that a later start would have launched
            self._users.release()
            self._server.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _begin(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self._require_owner()
        if self._exclusive:
            self._claim()
        with self._our_turn():
            self._users.acquire(shared=True)
            self._account = Account.for_data(self.data)
            self._account.reach([self.data, programs() / "postgres"], self._progress)
            self._prepare()
            self._serve()

    def _require_owner(self) -> None:
        """Raise DataDirectoryUnusable for root who would make a database that the directory's owner couldn't use."""
        owner = self.home.stat().st_uid
        if os.geteuid() != 0 or owner == 0 or self.data.exists():
            return
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:  # nobody could do it in their name
            return
        raise DataDirectoryUnusable(
            f"{self.home} belongs to {name}, and so has the database that is made in it. Do this as that user: "
            f"sudo -u {name} …, or setpriv --reuid={name} --regid={name} --clear-groups …"
        )

    def _give_up(self) -> None:
        # What went wrong first is what the person needs to hear.
        with suppress(HopperError, OSError):
            self.stop()

    def _claim(self) -> None:
        if not self._server.acquire():
            raise DataDirectoryInUse(self._in_use())
        self._server.write(json.dumps({"pid": os.getpid()}))

    def _in_use(self) -> str:
        try:
            note = json.loads(self._server.read())
            who = ", ".join([f"process {note['pid']}", *([note["address"]] if "address" in note else [])])
            how = f"stop it (`kill {note['pid']}`)"
        except (ValueError, KeyError, TypeError):
            who, how = "its process is unknown", "stop it"
        return (
            f"Another Hopper server ({who}) runs on {self.home}. Use that one, {how}, or give this one another data "
            "directory (HOPPER_HOME)."
        )

    @contextmanager
    def _our_turn(self) -> Iterator[None]:
        if not self._turn.acquire():
            self._progress("Waiting for another Hopper that is starting or stopping PostgreSQL.")
            if not self._turn.acquire(seconds=_START_SECONDS + _STOP_SECONDS):
                raise PostgresFailed(
                    f"Another Hopper has been starting or stopping PostgreSQL in {self.home} for "
                    f"{_START_SECONDS + _STOP_SECONDS} seconds. Wait for it or end it, and try again."
                )
        try:
            yield
        finally:
            self._turn.release()

    def require_made(self) -> None:
        """Raise DataDirectoryUnusable if there is no database yet. Changes nothing."""
        try:
            if (self.data / "PG_VERSION").exists():
                return
        except OSError as error:
            raise unusable(self.home, error.strerror or str(error)) from None
        raise DataDirectoryUnusable(
            f"There is no database of Hopper's in {self.home}. Run this on the server's machine, and name the server's "
            "data directory (--home or HOPPER_HOME) or its external PostgreSQL (--database-url or DATABASE_URL)."
        )

    def require_usable(self) -> None:
        """Raise DataDirectoryUnusable if the data is another version's, or no database's. Changes nothing."""
        version = self.data / "PG_VERSION"
        if not version.exists():
            if self.data.exists() and any(self.data.iterdir()):
                raise DataDirectoryUnusable(
                    f"{self.data} isn't empty and holds no database. Move it away and start again."
                )
            return
        found = version.read_text().strip()
        if found != _MAJOR:
            raise DataDirectoryUnusable(
                f"{self.data} was made by PostgreSQL {found} and this Hopper runs {_MAJOR}. Move it away, or "
                "give Hopper another data directory (HOPPER_HOME)."
            )

    def _prepare(self) -> None:
        """Make the data directory the first time."""
        self.require_usable()
        if (self.data / "PG_VERSION").exists():
            return
        # Made beside its place and renamed when it is whole: a broken-off start leaves nothing that looks finished.
        unfinished = self.home / "postgres.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._account.own(unfinished)
        self._progress("Making the database's directory, once.")
        code, said = self._account.run(
            "initdb", "-D", str(unfinished), "-U", _SUPERUSER, "--auth-local=trust", "--auth-host=reject",
            "--encoding=UTF8", "--locale=C.UTF-8", *([] if self._durable else ["--no-sync"]),
        )  # fmt: skip
        if code != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise failed(self.home, "initdb", said, self.log_path)
        unfinished.replace(self.data)

    def _serve(self) -> None:
        """Wait until PostgreSQL takes statements and the database is there, launching it if nobody answers."""
        began = told = time.monotonic()
        while not self._database_is_there():
            now = time.monotonic()
            if now - began > _START_SECONDS:
                raise PostgresNotReady(
                    f"PostgreSQL isn't ready after {_START_SECONDS} seconds: it recovers from a crash, and goes on "
                    f"doing so. Start again in a while; {self.log_path} tells how far it is."
                )
            if now - told > _TELL_SECONDS:
                told = now
                self._progress(f"PostgreSQL is recovering or stopping; waiting for it ({now - began:.0f} s).")
            time.sleep(0.02)

    def _database_is_there(self) -> bool:
        """Whether a statement got through; launches PostgreSQL, or finds out why it ended, when nobody answers."""
        if self._answers():
            return self._create_database()
        if self._process is not None and self._process.poll() is not None:
            self._process = None
            said = self._said()
            # Processes of a killed PostgreSQL take a moment to notice and end; it won't start beside them.
            if "pre-existing shared memory block" not in said:
                raise failed(self.home, "server", said, self.log_path)
        elif self._process is None:
            self._launch()
        return False

    def _answers(self) -> bool:
        """Whether a PostgreSQL, ready or not, listens on the socket. Raises OSError when that can't be told."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            try:
                client.connect(str(self._sockets / _SOCKET))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except (TimeoutError, BlockingIOError):
                return True
        return True

    def _launch(self) -> None:
        self._make_sockets()
        # Nobody listens, so these are a dead server's, and their number may by now be another process's, which
        # PostgreSQL would take for a server. What is left of a living one it recognises by its shared memory.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        (self._sockets / f"{_SOCKET}.lock").unlink(missing_ok=True)
        settings = _SETTINGS | {"maintenance_work_mem": _build_memory()} | ({} if self._durable else _HASTY)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(log, "ab") as file:
            self._log_start = file.tell()
            self._process = self._account.launch("-D", str(self.data), "-k", str(self._sockets), *options, log=file)

    def _said(self) -> str:
        """What PostgreSQL wrote to its log since it was launched."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    @property
    def _sockets(self) -> Path:
        """The socket's directory: the data's, or a short one where that can't stand in a socket's path or a URL."""
        if len(os.fsencode(self.data / _SOCKET)) <= _LONGEST_SOCKET and "," not in str(self.data):
            return self.data
        # Not the TMPDIR of the moment: all who use this data directory have to come to the same place.
        return Path("/tmp") / f"hopper-{sha256(os.fsencode(self.data)).hexdigest()[:16]}"  # noqa: S108 - owner is checked

    def _make_sockets(self) -> None:
        if self._sockets == self.data:
            return
        with suppress(FileExistsError):
            self._sockets.mkdir(mode=0o700)
            self._account.own(self._sockets)
        state = self._sockets.lstat()
        if state.st_uid != self.data.stat().st_uid or state.st_mode & 0o170077 != 0o040000:
            raise DataDirectoryUnusable(
                f"The path {self.data} can't hold a socket (it is too long, or has a comma), and {self._sockets}, "
                "which would do instead, belongs to somebody else. Give Hopper a shorter path (HOPPER_HOME)."
            )

    def _create_database(self) -> bool:
        """Whether the database is there; False while PostgreSQL doesn't take statements yet, or no longer does."""
        missing = f"NOT EXISTS (SELECT FROM pg_database WHERE datname = '{_DATABASE}')"
        code, said = self._account.run(
            "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(self._sockets), "-U", _SUPERUSER, "-d", "postgres",
            stdin=f"SELECT 'CREATE DATABASE {_DATABASE}' WHERE {missing} \\gexec\n",
        )  # fmt: skip
        if code not in {0, 2}:  # 2: no connection
            raise failed(self.home, "psql", said, self.log_path)
        return code == 0

    def _leave(self) -> None:
        with self._our_turn():
            self._users.release()
            if self._users.acquire() and self.runs():
                self._shut_down()

    def runs(self) -> bool:
        """Whether PostgreSQL is there. Raises OSError when that can't be told."""
        return self._answers() or (self._process is not None and self._process.poll() is None)

    def _shut_down(self) -> None:
        code, said = self._account.run(
            "pg_ctl", "stop", "-D", str(self.data), "-m", "fast", "-w", "-t", str(_STOP_SECONDS)
        )  # fmt: skip
        if code != 0 and self.runs():
            reason = said.strip().splitlines()[-1:] or ["no reason given"]
            raise PostgresFailed(
                f"PostgreSQL didn't stop within {_STOP_SECONDS} seconds ({reason[0]}). Nothing is lost; it may still "
                f"be stopping. {self.log_path} says more."
            )
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)
            self._process = None
        if self._sockets != self.data:
            with suppress(OSError):
                self._sockets.rmdir()
