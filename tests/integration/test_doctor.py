"""What `hopper doctor` finds, each of its checks on the real thing."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import asyncpg
import pytest
from tests.conftest import fresh_database, on, serving
from tests.provider import a_provider, drip, status

from hopper.adapters.postgres import fitness, migrate
from hopper.config import Settings, load_settings
from hopper.domain.errors import HopperError, Unavailable
from hopper.entrypoints.cli import choice, common
from hopper.entrypoints.doctor import machine, parts
from hopper.entrypoints.doctor.database import postgres
from hopper.entrypoints.doctor.findings import Check, Examination, Finding, State, ok
from hopper.entrypoints.doctor.server import server
from hopper.services.neo4j_keeper import GraphConnection

SECRET = "hush"
NOWHERE = "http://127.0.0.1:9"


def found(check: Iterator[Finding]) -> list[Finding]:
    """What the check finds, in a thread of its own as ever."""
    return [finding for _, finding in Examination({"it": lambda: check}, 30).findings()]


def states(findings: list[Finding]) -> set[State]:
    return {finding.state for finding in findings}


def told(findings: list[Finding], state: State) -> str:
    return "\n".join(f"{finding.message} {finding.advice}" for finding in findings if finding.state is state)


async def change(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def using(url: str, **postgres: Any) -> Settings:
    return load_settings(database={"postgres": {"url": url, **postgres}})


def as_user(url: str, name: str) -> str:
    return url.replace("//postgres@", f"//{name}@")


@pytest.fixture
async def limited(postgres_url: str) -> AsyncIterator[str]:
    """A user who has no rights but to connect."""
    name = "doctor_limited"
    await change(postgres_url, f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 5")
    yield name
    await change(postgres_url, f"DROP ROLE {name}")


def test_a_database_that_is_as_it_should_be(database_url: str) -> None:
    """A person whose database is fine would be sent to mend it."""
    findings = found(postgres(using(database_url)))
    assert states(findings) == {State.OK}
    whole = told(findings, State.OK)
    for part in ("PostgreSQL 16", "pgvector 0.8", migrate.HEAD):
        assert part in whole


async def test_what_a_user_may_not_do_is_told(database_url: str, limited: str, postgres_url: str) -> None:
    """A server would start, and fail with the first request that needs the right."""
    whole = told(found(postgres(using(as_user(database_url, limited)))), State.WRONG)
    for part in ("tables in the database's schema", f'TO "{limited}"', "of the tables", "pool_size", "5 at most"):
        assert part in whole
    grants = f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {limited}", f"GRANT CREATE ON SCHEMA public TO {limited}"
    await change(database_url, *grants)
    granted = found(postgres(using(as_user(database_url, limited), pool_size=4)))
    await change(database_url, f"DROP OWNED BY {limited}")
    assert State.WRONG not in states(granted)
    for part in ("can't upgrade them", "no upgrade can be made"):
        assert part in told(granted, State.WARNING)
    async with fresh_database(postgres_url, "template1") as empty:
        findings = found(postgres(using(as_user(empty, limited), pool_size=4)))
        for part in ("CREATE EXTENSION vector", "GRANT CREATE ON DATABASE", f" TO {limited};"):
            assert part in told(findings, State.WRONG)
        assert "no tables of Hopper's yet" in told(findings, State.OK)
        assert "can be created" in told(found(postgres(using(empty))), State.OK)


async def test_tables_of_others_are_told_of(database_url: str) -> None:
    """A person would learn on the day when a backup fails that it holds, or can't read, what is somebody else's."""
    await change(database_url, "CREATE TABLE payroll (who text)")
    findings = found(postgres(using(database_url)))
    assert "payroll" in told(findings, State.WARNING)
    assert State.WRONG not in states(findings)
    with pytest.raises(migrate.SchemaIsBehind, match="payroll"):
        await migrate.check(database_url)


async def test_the_schemas_revision_is_told(database_url: str) -> None:
    """A person would learn only from a start that fails, or changes the tables, which version made the database."""
    await change(database_url, "UPDATE alembic_version SET version_num = '0001'")
    findings = found(postgres(using(database_url)))
    assert State.WRONG not in states(findings)
    assert "0001" in told(findings, State.WARNING)
    await change(database_url, "UPDATE alembic_version SET version_num = '9999'")
    assert "newer Hopper" in told(found(postgres(using(database_url))), State.WRONG)


async def test_a_database_that_can_only_be_read_is_told(database_url: str) -> None:
    """Every write would fail on a replica that was named by mistake."""
    name = database_url.partition("?")[0].rpartition("/")[2]
    await change(database_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "can only be read" in told(found(postgres(using(database_url))), State.WRONG)


def test_clocks_that_differ_are_told(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims would run out early or late, and nobody would know why."""

    class Behind(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(UTC) - timedelta(seconds=20)

    monkeypatch.setattr(fitness, "datetime", Behind)
    assert "20 s ahead" in told(found(postgres(using(database_url))), State.WARNING)


async def test_a_database_too_old_isnt_asked_further(database_url: str) -> None:
    """An old server would be judged by what it can't be asked, in its own words."""
    looked = await fitness.look(database_url, 990_000, 10)
    assert looked.found is None
    assert looked.version >= 160_000


def test_a_database_that_cant_be_reached_is_told_without_its_password(postgres_url: str) -> None:
    """The password would stand in the terminal, or the reason nowhere."""
    for url in (f"postgresql://me:{SECRET}@127.0.0.1:9/hopper", on(postgres_url, "missing")):
        whole = told(found(postgres(using(url))), State.WRONG)
        assert "can't be used" in whole
        assert SECRET not in whole


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


async def test_a_database_that_keeps_silent_is_given_up() -> None:
    """The doctor would hang with what it looks at."""
    with silent() as port, pytest.raises(Unavailable, match="doesn't answer"):
        await fitness.look(f"postgresql://127.0.0.1:{port}/hopper", 160_000, 0.3)


def test_one_check_that_hangs_or_breaks_holds_up_no_other() -> None:
    """What else is wrong would stay unknown."""

    def hanging() -> Iterator[Finding]:
        yield ok("so far")
        sleep(3)

    def raising(error: Exception) -> Check:
        def check() -> Iterator[Finding]:
            yield ok("so far")
            raise error

        return check

    began = monotonic()
    checks: dict[str, Check] = {
        "hangs": hanging,
        "breaks": raising(KeyError(SECRET)),
        "refuses": raising(HopperError("Mend it.")),
        "reads": raising(OSError(5, "Input/output error", "/x")),
        "works": lambda: iter([ok("fine")]),
    }
    examination = Examination(checks, 0.5)
    findings = [(name, finding.state, finding.message) for name, finding in examination.findings()]
    assert examination.hangs
    assert monotonic() - began < 2
    assert [(name, state) for name, state, _ in findings] == [
        ("hangs", "ok"), ("hangs", "wrong"), ("breaks", "ok"), ("breaks", "wrong"), ("refuses", "ok"),
        ("refuses", "wrong"), ("reads", "ok"), ("reads", "wrong"), ("works", "ok"),
    ]  # fmt: skip
    assert SECRET not in str(findings)
    assert "/x" in str(findings)


def test_the_embedded_databases_data_is_looked_at(server_home: Path, tmp_path: Path) -> None:
    """A person would learn only from a start that fails that the directory is another version's, or damaged."""
    settings = load_settings(home=server_home)
    before = sorted(path.name for path in server_home.rglob("*"))
    assert "stopped, and whole" in told(found(postgres(settings)), State.OK)
    assert sorted(path.name for path in server_home.rglob("*")) == before
    (server_home / "postgres" / "pg_wal").rename(tmp_path / "pg_wal")
    assert "damaged" in told(found(postgres(settings)), State.WRONG)
    (tmp_path / "pg_wal").rename(server_home / "postgres" / "pg_wal")
    (server_home / "postgres" / "global" / "pg_control").write_bytes(b"x" * 8192)
    assert "damaged" in told(found(postgres(settings)), State.WRONG)
    (server_home / "postgres" / "PG_VERSION").write_text("15\n")
    assert "PostgreSQL 15" in told(found(postgres(settings)), State.WRONG)
    assert "at the first start" in told(found(postgres(load_settings(home=tmp_path / "none"))), State.OK)


def mode(path: Path, mode: int) -> None:
    path.touch()
    path.chmod(mode)


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (lambda home: home.chmod(0o777), "chmod go-w"),
        (lambda home: mode(home / "postgres.log", 0o640), "postgres.log"),
    ],
)
def test_a_data_directory_that_others_can_use_is_told(spoil: Callable[[Path], None], part: str, tmp_path: Path) -> None:
    """Other users of the machine could read the key, or put their own files in the place of Hopper's."""
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    assert states(found(machine.data_directory(home))) == {State.OK}
    spoil(home)
    assert part in told(found(machine.data_directory(home)), State.WRONG)


def test_a_data_directory_that_cant_be_is_told(tmp_path: Path) -> None:
    """The server would be started in vain."""
    (tmp_path / "file").touch()
    for home in (tmp_path / "file", tmp_path / "file" / "home"):
        assert State.WRONG in states(found(machine.data_directory(home)))
    assert states(found(machine.data_directory(tmp_path / "not" / "yet"))) == {State.OK}
    assert not (tmp_path / "not").exists()


def test_a_database_that_is_elsewhere_isnt_taken_for_none(tmp_path: Path) -> None:
    """All would look well to an admin who asks without the service's settings, whatever is wrong with its database."""
    assert states(found(machine.data_directory(tmp_path))) == {State.OK}
    (tmp_path / "admin.key").touch(mode=0o600)
    assert "DATABASE_URL" in told(found(machine.data_directory(tmp_path)), State.WARNING)
    assert states(found(machine.data_directory(tmp_path, external=True))) == {State.OK}
    (tmp_path / "postgres").mkdir(mode=0o700)
    assert states(found(machine.data_directory(tmp_path))) == {State.OK}


def test_a_port_that_something_else_uses_is_told() -> None:
    """A person would stop the wrong program, or look for a Hopper that isn't there."""
    with a_provider() as provider:
        port = provider.server.server_port
        assert "Something else" in told(found(machine.port(load_settings(port=port))), State.WRONG)
    assert states(found(machine.port(load_settings(port=0)))) == {State.OK}
    assert states(found(machine.port(load_settings(host="192.0.2.1")))) == {State.WRONG}


def test_no_server_is_taken_for_hopper_and_no_key_sent_that_cant_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key would be shown to whatever program listens, or a character too many end in a traceback."""
    with a_provider() as provider:
        address = provider.url.removesuffix("/v1")
        assert "no Hopper" in told(found(server(address, tmp_path, "")), State.WRONG)
        with_tls = address.replace("http:", "https:")
        assert f"{with_tls} didn't speak TLS" in told(found(server(with_tls, tmp_path, "")), State.WRONG)
        monkeypatch.setenv("HOPPER_API_KEY", f"{SECRET}ß")
        whole = told(found(server(address, tmp_path, "")), State.WRONG)
    assert "HOPPER_API_KEY" in whole
    assert SECRET not in whole


def test_the_key_in_the_data_directory_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other users of the machine could read the key; or commands wouldn't find it, and nobody know where it is."""
    monkeypatch.delenv("HOPPER_API_KEY", raising=False)
    monkeypatch.setenv("HOPPER_HOME", str(tmp_path / "elsewhere"))
    (tmp_path / "admin.key").write_text(SECRET)
    mode(tmp_path / "admin.key", 0o644)
    findings = found(server("", tmp_path, "http://127.0.0.1:9"))
    assert "chmod 600" in told(findings, State.WRONG)
    assert f"export HOPPER_HOME={tmp_path}" in told(findings, State.WARNING)
    assert "hopper serve" in told(findings, State.OK)
    assert SECRET not in str(findings)


def test_a_server_where_no_command_goes_is_told_of(
    server_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person whose server runs at another port would be told to start one, and by the doctor that all is well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HOPPER_HOME", str(server_home))
    monkeypatch.setattr(choice, "LOCAL_SERVER", NOWHERE)
    with serving(None, server_home) as running:
        advice = f"export HOPPER_SERVER={running.url}"
        assert advice in told(found(server("", server_home, NOWHERE)), State.WARNING)
        assert advice not in told(found(server(running.url, server_home, NOWHERE)), State.WARNING)
        with common.connect("") as api, pytest.raises(Unavailable, match=f"one runs at {running.url}.*{advice}"):
            api.get("/tasks")
        with common.connect("http://127.0.0.1:10") as api, pytest.raises(Unavailable, match="Start one"):
            api.get("/tasks")
    with common.connect("") as api, pytest.raises(Unavailable, match="Start one"):
        api.get("/tasks")


def test_packages_of_an_extra_are_looked_for() -> None:
    """A graph that is switched on would wait for packages that nobody misses."""
    (without,), (graph,) = found(machine.packages()), found(machine.packages(("graph",)))
    assert without.state is graph.state is State.OK
    assert without.message != graph.message


def test_neo4j_is_asked(neo4j: GraphConnection) -> None:
    """A wrong password would be found by the server alone, which goes on without its graph."""
    address = {"url": neo4j.url, "username": neo4j.username, "password": neo4j.password}
    assert "Neo4j 5" in told(found(parts.neo4j(load_settings(database={"neo4j": address}))), State.OK)
    wrong = told(found(parts.neo4j(load_settings(database={"neo4j": address | {"password": SECRET}}))), State.WRONG)
    assert "refuses these credentials" in wrong
    assert SECRET not in wrong
    nowhere = load_settings(database={"neo4j": {"url": "bolt://127.0.0.1:9"}})
    assert "can't be reached" in told(found(parts.neo4j(nowhere)), State.WRONG)
    assert "is off" in told(found(parts.neo4j(load_settings())), State.OK)


def test_the_provider_is_asked_and_paid_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong key or model would be found by what waits in the queue; or each look would cost money."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with a_provider() as provider:
        chosen = load_settings(embeddings={"provider": "openai", "base_url": provider.url})
        assert states(found(parts.embeddings(chosen))) == {State.OK}
        provider.models = ["another"]
        assert "embeddings.model" in told(found(parts.embeddings(chosen)), State.WARNING)
        provider.models = ["another", "text-embedding-ada-002"]
        assert states(found(parts.embeddings(chosen))) == {State.OK}
        provider.always = status(401)
        refused = told(found(parts.embeddings(chosen)), State.WRONG)
        assert "OPENAI_API_KEY" in refused
        assert SECRET not in refused
        provider.always = drip
        monkeypatch.setattr(parts, "_SECONDS", 0.3)
        assert "can't be reached" in told(found(parts.embeddings(chosen)), State.WRONG)
        assert provider.calls == []
    assert "can't be reached" in told(found(parts.embeddings(chosen)), State.WRONG)
    monkeypatch.delenv("OPENAI_API_KEY")
    without = load_settings(embeddings={"provider": "openai"})
    assert "needs a key" in told(found(parts.embeddings(without)), State.WRONG)
