"""The embedded PostgreSQL, the real one: starting, sharing, taking over, recovering, and refusing in plain words."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from hopper.domain.errors import HopperError
from hopper.services import postgres
from hopper.services.postgres import (
    DataDirectoryInUse,
    DataDirectoryUnusable,
    EmbeddedPostgres,
    PostgresFailed,
    PostgresNotReady,
)


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose database was made and stopped; tests take copies."""
    home = tmp_path_factory.mktemp("postgres") / "home"
    with hasty(home):
        pass
    return home


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Path]:
    """A home that doesn't exist yet; no PostgreSQL of it outlives the test."""
    home = tmp_path / "home"
    yield home
    end(home)


@pytest.fixture
def home(empty: Path, initialised: Path) -> Path:
    """A home with a database, not running."""
    copy(initialised, empty)
    return empty


@pytest.fixture
def short_home(initialised: Path) -> Iterator[Path]:
    """The same with a path so short that the socket is in the data directory, wherever the tests' directory is."""
    with TemporaryDirectory(prefix="hopper-", dir="/tmp") as place:
        home = Path(place) / "home"
        copy(initialised, home)
        yield home
        end(home)


def copy(home: Path, to: Path) -> None:
    shutil.copytree(home, to)
    owner = (home / "postgres").stat()
    for path in [to / "postgres", *(to / "postgres").rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid)


def hasty(home: Path, **options: Any) -> EmbeddedPostgres:
    return EmbeddedPostgres(home, durable=False, **options)


def command(home: Path) -> EmbeddedPostgres:
    """What a command such as `hopper db check` uses."""
    return hasty(home, exclusive=False)


def socket_directory(server: EmbeddedPostgres) -> Path:
    return Path(parse_qs(urlsplit(server.url).query)["host"][0])


def is_private(path: Path) -> bool:
    return path.stat().st_mode & 0o077 == 0


def server_pid(home: Path) -> int:
    """The process number of the home's PostgreSQL."""
    return int((home / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])


def runs(home: Path) -> bool:
    return (home / "postgres" / "postmaster.pid").exists()


def kill_server(home: Path) -> None:
    """kill -9 PostgreSQL, as a machine that runs out of memory would."""
    pid = server_pid(home)
    os.kill(pid, signal.SIGKILL)
    # It may be a child of this process, which its owner has yet to reap; dead it is all the same.
    wait_for(lambda: not alive(pid))


def alive(pid: int) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it didn't happen in time"
        time.sleep(0.01)


def end(home: Path) -> None:
    """Stop what a failed test may have left running."""
    if (home / "postgres" / "PG_VERSION").exists() and runs(home):
        with suppress(HopperError):
            command(home).start()
        with suppress(OSError, ValueError):
            os.kill(server_pid(home), signal.SIGQUIT)


async def sql(url: str, statement: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def refusal(home: Path) -> str:
    with pytest.raises(DataDirectoryUnusable) as refused:
        hasty(home).start()
    return refused.value.message


@contextmanager
def owner(home: Path, *, durable: bool = False) -> Iterator["subprocess.Popen[str]"]:
    """Another process with a Hopper server's PostgreSQL; its first line of output is the URL."""
    script = f"""
import sys, time
from pathlib import Path
from hopper.services.postgres import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1]), durable={durable})
postgres.start()
postgres.announce("http://127.0.0.1:8123")
print(postgres.url, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script, str(home)], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def url_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def refusal_elsewhere(home: Path, first: str) -> str:
    """What a process that did `first` to itself is told when it starts."""
    script = f"""
import os, resource, sys
from pathlib import Path
from hopper.domain.errors import HopperError
from hopper.services.postgres import DataDirectoryUnusable, EmbeddedPostgres
{first}
try:
    EmbeddedPostgres(Path(sys.argv[1])).start()
except DataDirectoryUnusable as error:
    print(error.message)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(home)], check=True, capture_output=True, text=True, timeout=30
    )
    return done.stdout


# Starting and stopping


async def test_a_fresh_directory_becomes_a_database(empty: Path) -> None:
    """Nobody could start Hopper without installing PostgreSQL and pgvector, and safety might be off by default."""
    with EmbeddedPostgres(empty) as server:
        assert str(await sql(server.url, "SELECT version()")).startswith("PostgreSQL 16")
        assert await sql(server.url, "SELECT current_database()") == "hopper"
        await sql(server.url, "CREATE EXTENSION vector")
        assert await sql(server.url, "SELECT '[1,2]'::vector <-> '[1,4]'") == 2
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await sql(server.url, f"SHOW {setting}") == "on"
        assert await sql(server.url, "SELECT lower('É') = 'é'")
        assert server.log_path.exists()
    assert not runs(empty)


async def test_what_was_stored_is_there_after_a_restart(home: Path) -> None:
    """Stopping the server would lose the tasks."""
    with hasty(home) as server:
        await sql(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    with hasty(home) as server:
        assert await sql(server.url, "SELECT answer FROM kept") == 42


async def test_it_listens_on_a_private_socket_only(home: Path) -> None:
    """Other people on the machine or the network could read every task: the database asks for no password."""
    with hasty(home) as server:
        assert await sql(server.url, "SHOW listen_addresses") == ""
        assert is_private(socket_directory(server))
        assert is_private(socket_directory(server) / ".s.PGSQL.5432")


async def test_variables_for_other_servers_change_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who works with another PostgreSQL, and has PGPORT set for it, couldn't start Hopper."""
    for name, value in {"PGPORT": "7777", "PGHOST": "elsewhere", "PGDATA": "/elsewhere", "PGUSER": "bob"}.items():
        monkeypatch.setenv(name, value)
    with hasty(home) as server:
        assert await sql(server.url, "SELECT current_user") == "postgres"


@pytest.mark.parametrize("name", ["x" * 120, 'a $HOME "b", `id` é%41?#'], ids=["long", "odd"])
async def test_any_path_will_do(empty: Path, name: str) -> None:
    """A data directory that is deep down, or has a blank or a comma in its name, couldn't be used."""
    with hasty(empty / name) as server:
        assert await sql(server.url, "SELECT 1") == 1


def test_a_socket_directory_of_somebody_elses_is_refused(empty: Path) -> None:
    """Another user of the machine could wait at the short socket path, and be sent every task."""
    server = hasty(empty / ("x" * 120))
    place = socket_directory(server)
    place.mkdir(mode=0o755)
    try:
        with pytest.raises(DataDirectoryUnusable, match="belongs to somebody else"):
            server.start()
    finally:
        place.rmdir()


def test_root_makes_no_database_in_somebodys_directory(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that root restored for a service would belong to root, and the service couldn't start."""
    empty.mkdir()
    if os.geteuid() == 0:
        os.chown(empty, 65534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(DataDirectoryUnusable, match="sudo -u"):
        hasty(empty).start()
    assert list(empty.iterdir()) == []


# Sharing


async def test_a_second_server_is_refused(home: Path) -> None:
    """Two servers would work on one database without knowing, or the second would end in a traceback."""
    with owner(home) as process:
        url = url_of(process)
        with pytest.raises(DataDirectoryInUse) as refused:
            hasty(home).start()
        for part in (str(process.pid), "http://127.0.0.1:8123", "kill", "HOPPER_HOME"):
            assert part in refused.value.message
        assert await sql(url, "SELECT 1") == 1


async def test_a_command_uses_the_servers_postgresql_and_leaves_it(home: Path) -> None:
    """`hopper db check` beside a running server would fail, or take the database away from under it."""
    with hasty(home) as server:
        with command(home) as beside:
            assert await sql(beside.url, "SELECT 1") == 1
        assert await sql(server.url, "SELECT 1") == 1
    assert not runs(home)


async def test_the_last_one_out_stops_it(home: Path) -> None:
    """A command at work would lose its connection when the server stops, or PostgreSQL would run for ever."""
    with command(home) as long:
        with hasty(home):
            pass
        assert await sql(long.url, "SELECT 1") == 1
    assert not runs(home)


async def test_a_command_doesnt_keep_a_server_from_starting(home: Path) -> None:
    """A server would be refused, with talk of another one, because somebody looks at the database."""
    beside = command(home)
    beside.start()
    try:
        with hasty(home) as server:
            assert await sql(server.url, "SELECT 1") == 1
    finally:
        beside.stop()


def test_many_may_start_at_once(empty: Path) -> None:
    """Commands in a script's background would trip over one another while the database is made."""

    def one(_number: int) -> None:
        with command(empty):
            time.sleep(0.05)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    assert not runs(empty)


# Being killed


async def test_the_postgresql_of_a_killed_hopper_is_taken_over(home: Path) -> None:
    """After kill -9 of Hopper the next start would fail, or leave a PostgreSQL that nobody ever stops."""
    with owner(home) as process:
        await sql(url_of(process), "CREATE TABLE kept AS SELECT 42 AS answer")
        process.kill()
        process.wait()
    left = server_pid(home)
    with hasty(home) as server:
        assert server_pid(home) == left
        assert await sql(server.url, "SELECT answer FROM kept") == 42
    wait_for(lambda: not alive(left))


async def test_a_killed_postgresql_recovers_what_was_committed(home: Path) -> None:
    """After kill -9 of everything, the next start would fail on what lies around, or have lost tasks."""
    with owner(home, durable=True) as process:
        await sql(url_of(process), "CREATE TABLE kept AS SELECT 42 AS answer")
        process.kill()
        process.wait()
    kill_server(home)
    with hasty(home) as server:
        assert await sql(server.url, "SELECT answer FROM kept") == 42


async def test_what_a_killed_postgresql_left_working_is_waited_for(home: Path) -> None:
    """A start right after kill -9 would fail while a session of the dead PostgreSQL still holds its memory."""
    before = hasty(home)
    before.start()
    connection = await asyncpg.connect(before.url)
    session = connection.get_server_pid()
    os.kill(session, signal.SIGSTOP)  # a session that is slow to notice
    kill_server(home)
    before.stop()
    with ThreadPoolExecutor(1) as pool:
        server = hasty(home)
        starting = pool.submit(server.start)
        wait_for(lambda: "pre-existing shared memory block" in server.log_path.read_text() or starting.done())
        os.kill(session, signal.SIGKILL)
        starting.result(timeout=30)
    try:
        assert await sql(server.url, "SELECT 1") == 1
    finally:
        server.stop()
        connection.terminate()


async def test_a_command_brings_a_killed_postgresql_back_to_its_server(home: Path) -> None:
    """A server whose PostgreSQL was killed couldn't be helped without stopping it."""
    with hasty(home) as server:
        kill_server(home)
        with command(home):
            pass
        assert await sql(server.url, "SELECT 1") == 1


def test_stopping_what_is_dead_already_is_no_failure(home: Path) -> None:
    """The end of a server whose PostgreSQL was killed would be a traceback about the wrong thing."""
    server = hasty(home)
    server.start()
    kill_server(home)
    server.stop()
    server.stop()
    with server:  # and it can be started again, whatever the dead one's end was
        assert runs(home)


@pytest.mark.parametrize("content", ["{me}\n{data}\n1\n5432\n{data}\n\n\nready\n", "", "nonsense\n"])
async def test_a_stale_pid_file_is_no_obstacle(home: Path, content: str) -> None:
    """After a power cut, with its old number taken by another process, PostgreSQL would refuse to start."""
    stale = home / "postgres" / "postmaster.pid"
    stale.write_text(content.format(me=os.getpid(), data=home / "postgres"))
    with hasty(home) as server:
        assert await sql(server.url, "SELECT 1") == 1


def test_a_broken_off_first_start_is_repeated(empty: Path) -> None:
    """A Ctrl-C while the database is made for the first time would leave a directory that never works."""
    (empty / "postgres.unfinished" / "base").mkdir(parents=True)
    with hasty(empty):
        pass


# Recovering for long


@contextmanager
def recovering(home: Path) -> Iterator[None]:
    """Something on PostgreSQL's socket that answers as PostgreSQL does while it recovers."""
    place = home / "postgres" / ".s.PGSQL.5432"
    said = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        place.chmod(0o777)
        listener.listen()

        def answer() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client, suppress(OSError):
                        if client.recv(1024):
                            client.sendall(b"E" + (len(said) + 4).to_bytes(4, "big") + said)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            place.unlink()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


async def test_waiting_for_recovery_is_told_and_not_given_up(short_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaying a long log would look like a hang, or be broken off and begin again at each start."""
    monkeypatch.setattr(postgres, "_TELL_SECONDS", 0.2)
    told: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        server = hasty(short_home, progress=told.append)
        with recovering(short_home):
            starting = pool.submit(server.start)
            wait_for(lambda: sum("recovering" in sentence for sentence in told) >= 2)
            assert not starting.done()
        starting.result(timeout=30)
    try:
        assert await sql(server.url, "SELECT 1") == 1
    finally:
        server.stop()


def test_waiting_for_recovery_has_an_end(short_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PostgreSQL that never gets ready would hold a start, and the scripts behind it, for ever."""
    monkeypatch.setattr(postgres, "_START_SECONDS", 0.3)
    with recovering(short_home), pytest.raises(PostgresNotReady, match="Start again in a while"):
        hasty(short_home).start()
    monkeypatch.undo()
    with hasty(short_home):
        pass


# What can't be used


def test_a_database_of_another_version_is_refused(home: Path) -> None:
    """PostgreSQL's own words about an incompatible directory say neither which version nor what to do."""
    (home / "postgres" / "PG_VERSION").write_text("15\n")
    message = refusal(home)
    for part in ("PostgreSQL 15", "16", "HOPPER_HOME"):
        assert part in message


def test_somebody_elses_files_are_left_alone(empty: Path) -> None:
    """A wrong HOPPER_HOME would mix a database into a folder of other files, or delete them."""
    letter = empty / "postgres" / "letter.txt"
    letter.parent.mkdir(parents=True)
    letter.write_text("dear")
    assert "isn't empty" in refusal(empty)
    assert letter.read_text() == "dear"


@pytest.mark.parametrize("place", ["home", "home/postgres"])
def test_a_file_in_the_way(tmp_path: Path, place: str) -> None:
    """A file where the data directory should be would end in a traceback."""
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).touch()
    message = refusal(tmp_path / "home")
    assert "a file stands" in message
    assert str(tmp_path / "home") in message


def test_a_directory_that_cant_be_written(tmp_path: Path) -> None:
    """On a read-only disk, or in somebody else's directory, a start would end in a traceback."""
    below = tmp_path / "locked"
    below.mkdir()
    below.chmod(0o555)
    # Root may write anywhere; this process has to be somebody who may not.
    drop = "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    message = refusal_elsewhere(below / "home", drop)
    assert "permission is denied" in message
    assert "HOPPER_HOME" in message


def test_a_disk_that_cant_hold_a_new_database(empty: Path) -> None:
    """A first start on a full disk would leave half a database, which no later start can use."""
    message = refusal_elsewhere(empty, "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))")
    assert "may not grow" in message
    with hasty(empty):
        pass


async def test_a_full_disk_is_told_and_survived(home: Path) -> None:
    """A start on a full disk would say nothing of the disk, and making room wouldn't be enough to mend it."""
    full = home / "postgres" / "postmaster.opts"
    full.unlink(missing_ok=True)
    full.symlink_to("/dev/full")
    message = refusal(home)
    assert "the disk is full" in message
    assert "Make room" in message
    full.unlink()
    with hasty(home) as server:
        assert await sql(server.url, "SELECT 1") == 1


def test_a_damaged_database_is_told_with_its_reason(home: Path) -> None:
    """A person with a damaged disk would see a traceback and not learn where to read more."""
    (home / "postgres" / "global" / "pg_control").unlink()
    with pytest.raises(PostgresFailed) as refused:
        hasty(home).start()
    assert "pg_control" in refused.value.message
    assert str(home / "postgres.log") in refused.value.message


def test_a_failed_start_holds_nothing(home: Path) -> None:
    """After a refused start, the next would be told of another server that isn't there."""
    version = home / "postgres" / "PG_VERSION"
    version.write_text("15\n")
    server = hasty(home)
    with pytest.raises(DataDirectoryUnusable):
        server.start()
    version.write_text("16\n")
    with hasty(home):
        pass


# Being root


def test_who_runs_it_never_is_root(home: Path) -> None:
    """PostgreSQL refuses root, and in a container, where everybody is root, Hopper wouldn't start."""
    outer = home.parent
    outer.chmod(0o700)
    with hasty(home):
        assert (home / "postgres" / "postmaster.pid").stat().st_uid != 0
    # Passing through is all that was allowed to others, and only where it was needed.
    assert outer.stat().st_mode & 0o077 == (0o001 if os.geteuid() == 0 else 0)
