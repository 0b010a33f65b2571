"""A PostgreSQL with streaming replicas of its own, for tests that hold them back, kill them and promote them."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from urllib.parse import quote

from hopper.services.postgres_programs import Account, programs

_SUPERUSER = "postgres"

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "16MB",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "max_replication_slots": "4",
    "hot_standby": "on",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "100ms",
    "fsync": "off",
    "full_page_writes": "off",
    "timezone": "UTC",
}


class Cluster:
    """A PostgreSQL server on a directory of its own, made by initdb or as a copy of `primary`."""

    def __init__(self, place: Path, account: Account, primary: "Cluster | None" = None) -> None:
        self.data = place
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None
        place.mkdir(mode=0o700)
        account.own(place)
        if primary is None:
            self._run("initdb", "-D", str(place), "-U", _SUPERUSER, "--auth-local=trust", "--auth-host=reject",
                      "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")  # fmt: skip
        else:
            slot = place.name.replace("-", "_")
            self._run("pg_basebackup", "-h", str(primary.data), "-U", _SUPERUSER, "-D", str(place), "-R", "--no-sync",
                      "--checkpoint=fast", "--create-slot", "--slot", slot)  # fmt: skip

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{_SUPERUSER}@/{database}?host={quote(str(self.data))}&port=5432"

    def start(self, **settings: str) -> None:
        """Have it take statements."""
        options = [part for name, value in {**_SETTINGS, **settings}.items() for part in ("-c", f"{name}={value}")]
        for left in ("postmaster.pid", ".s.PGSQL.5432.lock"):  # by one that was killed, or copied from the primary
            (self.data / left).unlink(missing_ok=True)
        with (self.data.with_suffix(".log")).open("ab") as log:
            self._process = self._account.launch("-D", str(self.data), "-k", str(self.data), *options, log=log)
        deadline = monotonic() + 30
        while self._account.run("pg_isready", "-q", "-h", str(self.data))[0] != 0:
            assert monotonic() < deadline, self.data.with_suffix(".log").read_text()
            sleep(0.05)

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)

    def kill(self) -> None:
        """kill -9, of all its processes at once: none is left to answer."""
        assert self._process
        with suppress(ProcessLookupError):
            for pid in self._pids():
                os.kill(pid, signal.SIGKILL)
        self._process.wait(20)

    @contextmanager
    def halted(self) -> Iterator[None]:
        """It is there, and answers nothing."""
        pids = self._pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "-D", str(self.data), "-w")

    def _pids(self) -> list[int]:
        assert self._process
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return [self._process.pid, *map(int, children)]

    def _run(self, program: str, *arguments: str) -> None:
        code, said = self._account.run(program, *arguments)
        assert code == 0, said


class Clusters:
    """Makes them below one directory, and ends them all."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._account = Account.for_data(place / "primary")
        self._account.own(place)
        self._account.reach([place / "primary", programs()], lambda _sentence: None)
        self._all: list[Cluster] = []

    def make(self, name: str, primary: Cluster | None = None, **settings: str) -> Cluster:
        """One that runs."""
        cluster = Cluster(self._place / name, self._account, primary)
        self._all.append(cluster)
        cluster.start(**settings)
        return cluster

    def end(self) -> None:
        for cluster in reversed(self._all):
            cluster.stop()


@contextmanager
def clusters() -> Iterator[Clusters]:
    with TemporaryDirectory(prefix="hopper-replicas-") as place:
        made = Clusters(Path(place))
        try:
            yield made
        finally:
            made.end()
            shutil.rmtree(place, ignore_errors=True)
