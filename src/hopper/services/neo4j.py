"""A Neo4j 5 Community of Hopper's own, under its data directory.

It speaks Bolt only, on this machine only, and asks for a random password. Three locks in the data directory:
`neo4j.runs` is held by Neo4j's own process for as long as it lives, so that no number of a dead one misleads;
`neo4j.users` is shared by all who use it, and the last of them stops it; `neo4j.turn` lets one at a time start or
stop it.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from hopper.domain.errors import HopperError
from hopper.services import neo4j_programs
from hopper.services.locks import FileLock
from hopper.services.neo4j_errors import Neo4jFailed, Neo4jMissing, failed
from hopper.services.neo4j_programs import Cancelled
from hopper.services.postgres_errors import DataDirectoryUnusable, unusable

__all__ = ["Cancelled", "DataDirectoryUnusable", "EmbeddedNeo4j", "Neo4jFailed", "Neo4jMissing"]

USERNAME = "neo4j"

_START_SECONDS = 180
_STOP_SECONDS = 30
_TELL_SECONDS = 10
_PORTS_TO_TRY = 3
_ANSWER_SECONDS = 5.0

_SETTINGS = {
    "server.http.enabled": "false",
    "server.https.enabled": "false",
    "dbms.usage_report.enabled": "false",
    "server.memory.pagecache.size": "64m",
    # Nobody but Hopper talks to it: it needn't listen for ten more seconds when it stops.
    "internal.dbms.bolt.netty_server_shutdown_quiet_period": "0",
    # What a query says has no place in a log.
    "db.logs.query.enabled": "OFF",
    # A projection is made again from its truth: it needs no history, and no room for one.
    "db.tx_log.preallocate": "false",
    "db.tx_log.rotation.size": "16m",
    "db.tx_log.rotation.retention_policy": "keep_none",
}

_JVM = [
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.nio", "java.io", "sun.nio.ch", "java.lang")),
    "-Xms64m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    # The thorough compiler takes more time for the first half million edges than it spares.
    "-XX:TieredStopAtLevel=1",
    # One without memory ends, and is started again, instead of going on half alive.
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
]

_BROKEN = ("Neo.DatabaseError.", "Neo.TransientError.General.DatabaseUnavailable")
"""Codes with which one refuses every query that only a restart helps."""

_FOR_OTHERS = ("NEO4J_", "JAVA_", "JDK_", "_JAVA", "CLASSPATH", "OPENAI_")
"""Variables that are meant for another Neo4j or Java, or are a secret of nobody's here, begin like this."""


class EmbeddedNeo4j:
    """Neo4j under `home`, for as long as the context lasts.

    It takes over a Neo4j that runs already, be it another's or left by a killed Hopper, and the last one out stops
    it. One that has died is started by `start()` again. `progress` is told, in sentences, why starting takes long;
    once `cancelled` says so, a start under way raises Cancelled.
    """

    username = USERNAME

    def __init__(
        self,
        home: Path,
        *,
        progress: Callable[[str], None] = lambda _sentence: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.home = home.expanduser().absolute()
        self.data = self.home / "neo4j"
        self._progress = progress
        self._cancelled = cancelled
        self._users = FileLock(self.home / "neo4j.users")
        self._turn = FileLock(self.home / "neo4j.turn")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where a driver finds it, once it was started."""
        return f"bolt://127.0.0.1:{self._read('port')}"

    @property
    def password(self) -> str:
        """The password of `username`, once it was started."""
        return self._read("password")

    def start(self) -> None:
        """Have Neo4j running and answering; raises what this module names."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with self._our_turn():
                if not self._users.held:
                    self._users.acquire(shared=True)
                self._serve()
        except OSError as error:
            self._give_up()
            raise unusable(self.home, error.strerror or str(error)) from None
        except BaseException:
            self._give_up()
            raise

    def stop(self) -> None:
        """Stop Neo4j, unless somebody else still uses it. Raises Neo4jFailed."""
        if not self._users.held:
            return
        try:
            with self._our_turn(cancelled=lambda: False):
                self._users.release()
                if self._users.acquire():
                    self._shut_down()
        except OSError as error:
            raise Neo4jFailed(f"Neo4j couldn't be stopped: {error.strerror or error}.") from None
        finally:
            self._users.release()

    def is_running(self) -> bool:
        """Whether Neo4j's process is there, ready or not. Raises OSError when that can't be told."""
        if self._process is not None:
            self._process.poll()  # a dead child stays in the system's table until it is asked for
        probe = FileLock(self.home / "neo4j.runs")
        free = probe.acquire(shared=True)
        probe.release()
        return not free

    def is_broken(self) -> bool:
        """Whether it runs and answers, but has stopped working, as after its disk was full. Raises Neo4jFailed."""
        return (self._refusal() or "").startswith(_BROKEN)

    def restart(self) -> None:
        """Stop it, whoever else uses it, and start it again; raises what this module names."""
        with self._our_turn():
            self._shut_down()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _give_up(self) -> None:
        # What went wrong first is what the person needs to hear.
        with suppress(HopperError, OSError):
            self.stop()

    @contextmanager
    def _our_turn(self, cancelled: Callable[[], bool] | None = None) -> Iterator[None]:
        deadline = time.monotonic() + _START_SECONDS + _STOP_SECONDS
        while not self._turn.acquire(seconds=0.2):
            if (cancelled or self._cancelled)():
                raise Cancelled
            if time.monotonic() > deadline:
                raise Neo4jFailed(
                    f"Another Hopper has been starting or stopping Neo4j in {self.home} for "
                    f"{_START_SECONDS + _STOP_SECONDS} seconds. Wait for it or end it, and try again."
                )
        try:
            yield
        finally:
            self._turn.release()

    def _serve(self) -> None:
        """Wait until Neo4j answers, launching it if it doesn't run."""
        began = told = time.monotonic()
        launches = 0
        while not (self.is_running() and self._answers()):
            if self._cancelled():
                raise Cancelled
            if not self.is_running():
                self._explain_the_end(launches)
                launches += self._launch()
                # Fetching the jars the first time doesn't count.
                began = told = time.monotonic()
            now = time.monotonic()
            if now - began > _START_SECONDS:
                raise Neo4jFailed(
                    f"Neo4j isn't ready after {_START_SECONDS} seconds; {self.data}/logs may say why. The machine may "
                    "be too busy, or have too little memory: Neo4j needs about 600 MB."
                )
            if now - told > _TELL_SECONDS:
                told = now
                self._progress(f"Neo4j is starting; waiting for it ({now - began:.0f} s).")
            time.sleep(0.05)
        (self.data / "whole").touch()

    def _answers(self) -> bool:
        """Whether a query gets through. Raises Neo4jFailed when the password is wrong: too many tries would lock."""
        # On a port that isn't its own yet a stranger may answer, and even take the password: a copy of this store does.
        return "Bolt enabled on" in self._said() and self._refusal() == ""

    def _refusal(self) -> str | None:
        """The code with which a query is refused, none at all if it isn't; None without an answer."""
        from neo4j import GraphDatabase
        from neo4j.exceptions import AuthError, DriverError, Neo4jError

        driver = GraphDatabase.driver(
            self.url,
            auth=(USERNAME, self.password),
            connection_timeout=_ANSWER_SECONDS,
            connection_acquisition_timeout=_ANSWER_SECONDS,
        )
        try:
            with driver, driver.session() as session:
                session.run("RETURN 1").consume()
        except AuthError:
            raise Neo4jFailed(f"Neo4j doesn't accept the password in {self.data}/password. {self._anew()}") from None
        except Neo4jError as error:
            return error.code
        except DriverError:
            return None
        return ""

    def _explain_the_end(self, launches: int) -> None:
        """Raise why a Neo4j that was launched has ended; return if it is worth another launch."""
        if launches == 0:
            return
        said = self._said()
        if "Address already in use" not in said or launches == _PORTS_TO_TRY:
            raise failed(self.home, said, self._process.poll() if self._process else None)
        (self.data / "port").unlink(missing_ok=True)

    def _launch(self) -> bool:
        """Whether Neo4j was launched; False if another process was faster."""
        jars = neo4j_programs.jars(self._progress, self._cancelled)
        runs = FileLock(self.home / "neo4j.runs")
        if not runs.acquire():
            return False
        try:
            self._prepare(jars)
            self._configure()
            shutil.rmtree(self.data / "logs", ignore_errors=True)
            (self.data / "logs").mkdir()
            (self.data / "run" / "neo4j.pid").unlink(missing_ok=True)
            command = [
                str(neo4j_programs.java()), *_JVM, "-cp", "*", "org.neo4j.server.CommunityEntryPoint",
                f"--home-dir={self.data}", f"--config-dir={self.data / 'conf'}",
            ]  # fmt: skip
            with _private(self.data / "logs" / "java.log") as log:
                self._process = subprocess.Popen(  # noqa: S603 - no shell, and the program is ours
                    command,
                    cwd=jars,
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # A Ctrl-C in the terminal isn't meant for it.
                    start_new_session=True,
                    pass_fds=[runs.file],
                )
        finally:
            runs.release()
        return True

    def _prepare(self, jars: Path) -> None:
        """Make the store the first time, and anew if it never was whole."""
        if (self.data / "whole").exists():
            return
        if self.data.exists() and any(self.data.iterdir()) and not (self.data / "password").exists():
            raise DataDirectoryUnusable(f"{self.data} isn't empty and isn't Hopper's. Move it away and start again.")
        if self.data.exists():
            shutil.rmtree(self.data)
        (self.data / "conf").mkdir(parents=True)
        self.data.chmod(0o700)
        with _private(self.data / "password") as file:
            file.write(secrets.token_hex(24).encode())
        self._configure()
        done = subprocess.run(  # noqa: S603 - no shell, and the program is ours
            [
                str(neo4j_programs.java()), "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-cp", "*",
                "org.neo4j.server.startup.Neo4jAdminCommand", "dbms", "set-initial-password",
                # Not the password itself: others on this machine may see a command line.
                f"@{self.data / 'password'}",
            ],
            check=False, cwd=jars, env=self._environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", timeout=_START_SECONDS,
        )  # fmt: skip
        if done.returncode != 0:
            raise failed(self.home, done.stdout, done.returncode)

    def _configure(self) -> None:
        address = f"127.0.0.1:{self._free_port()}"
        settings = _SETTINGS | {
            "server.bolt.listen_address": address,
            "server.bolt.advertised_address": address,
        }
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        (self.data / "conf" / "neo4j.conf").write_text(text)

    def _free_port(self) -> int:
        """The port of last time, or another one if that is taken."""
        kept = self.data / "port"
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", int(kept.read_text())))
            except (OSError, ValueError, OverflowError):
                probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        kept.write_text(str(port))
        return port

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(_FOR_OTHERS)}
        # UTF-8 for paths, and English for what is read.
        return ours | {"NEO4J_HOME": str(self.data), "NEO4J_CONF": str(self.data / "conf"), "LC_ALL": "C.UTF-8"}

    def _said(self) -> str:
        """What Neo4j wrote since it was launched: the JVM's own words last."""
        logs = (self.data / "logs" / name for name in ("neo4j.log", "java.log"))
        return "\n".join(log.read_text(errors="replace") for log in logs if log.exists())

    def _read(self, name: str) -> str:
        try:
            return (self.data / name).read_text().strip()
        except FileNotFoundError:
            raise Neo4jFailed(f"{self.data / name} is missing. {self._anew()}") from None

    def _anew(self) -> str:
        return f"Stop Hopper and remove {self.data}: the graph is made again from the database."

    def _shut_down(self) -> None:
        for how, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 5)):
            # It recovers from being killed, like from a crash.
            if not self.is_running():
                break
            with suppress(ProcessLookupError):
                os.kill(self._pid(), how)
            deadline = time.monotonic() + seconds
            while self.is_running() and time.monotonic() < deadline:
                time.sleep(0.02)
        if self.is_running():
            raise Neo4jFailed(f"Neo4j (process {self._pid()}) couldn't be stopped. End it: `kill -9 {self._pid()}`.")
        if self._process is not None:
            self._process.wait(timeout=5)
            self._process = None

    def _pid(self) -> int:
        """The number of the process that holds `neo4j.runs`; Neo4j notes it a moment after it was launched."""
        if self._process is not None and self._process.poll() is None:
            return self._process.pid
        deadline = time.monotonic() + 10
        while True:
            try:
                return int((self.data / "run" / "neo4j.pid").read_text())
            except (FileNotFoundError, ValueError):
                if time.monotonic() > deadline:
                    raise Neo4jFailed(
                        f"The number of Neo4j's process isn't in {self.data}/run/neo4j.pid. End the process called "
                        "java that runs CommunityEntryPoint."
                    ) from None
            time.sleep(0.05)


def _private(path: Path) -> BinaryIO:
    """A new file that its owner alone may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
