"""Backups of the real PostgreSQL: made under writes, restored, altered, refused, killed."""

import asyncio
import json
import signal
import subprocess
import time
import zipfile
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import pytest
from alembic import command
from tests.builders import a_delegation, a_pattern, a_task, an_episode, an_instance, feedback_on
from tests.commands import COMMAND, run
from tests.conftest import execute, fresh_database, value
from tests.contracts.working import add

from hopper.adapters.postgres import migrate
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork, open_pool
from hopper.app.projections import SUBSCRIPTIONS
from hopper.domain.backup import BackupFailed, BadBackup, Manifest
from hopper.domain.errors import Conflict, Unavailable
from hopper.services.backup import make_backup
from hopper.services.backup_file import open_backup
from hopper.services.psql import Psql, _apart
from hopper.services.restore import restore

VECTOR = "[" + ",".join(["0.5"] * 256) + "]"


@pytest.fixture
async def empty(postgres_url: str) -> AsyncIterator[str]:
    """A database without a schema, as a new machine has it."""
    async with fresh_database(postgres_url, "template1") as url:
        yield url


@pytest.fixture
async def filled(database_url: str) -> str:
    """A database with some of everything, odd values among it."""
    pool = await open_pool(database_url, 2)
    try:
        async with PostgresUnitOfWork(pool, SUBSCRIPTIONS) as uow:
            await add(
                uow,
                an_instance("a"),
                an_instance("b", config={"limit": 3, "note": "Grüße \\ \t “x” 🚰"}),
                a_task("Tap drips\n\\.\nagain\ttoday", id="t", tags={"area": "küche", "ui": True}, instance_id="a"),
                a_task("'; DROP TABLE tasks; --", id="u", description="\\N"),
                an_episode("t", "a", id="e", confidence=0.1 + 0.2, outcome_success=True, outcome_instance="a"),
                a_delegation("t", "a", id="d", episode_id="e"),
                a_pattern("a", id="p"),
                feedback_on("t", quality_score=1e-300),
            )
            await uow.commit()
    finally:
        await pool.close()
    await execute(
        database_url,
        f"""INSERT INTO sync_sources (source_instance_id, name, contribution_cap) VALUES ('laptop', 'Ann''s', 100);
            INSERT INTO api_keys (id, name, key_hash, role, source_instance_id)
                VALUES ('k', 'Ann', repeat('0', 64), 'sync', 'laptop');
            INSERT INTO audit_log (key_id, key_name, action) VALUES ('k', 'Ann', 'push');
            INSERT INTO task_leases (task_id, instance_id, token, expires_at) VALUES ('t', 'a', 'tok', now());
            INSERT INTO text_models (id, through, through_episode, outcomes, content)
                VALUES (1, now(), 'e', 1, decode('00ff5c27', 'hex'));
            INSERT INTO embedding_models VALUES ('m', 'wordllama', 256);
            INSERT INTO task_embeddings VALUES ('t', 'm', '{VECTOR}', 'h');
            CREATE INDEX idx_task_embedding_m ON task_embeddings
                USING hnsw ((embedding::vector(256)) vector_cosine_ops) WHERE model = 'm';
            UPDATE projections SET followed_since = now(), reserved = 7, applied = 7 WHERE projection = 'graph'""",
    )
    return database_url


async def backed_up(url: str, path: Path) -> Manifest:
    return await asyncio.to_thread(make_backup, url, path, hopper="0.1.0", force=True)


async def put_back(path: Path, url: str, *, replace: bool = False) -> None:
    def work() -> None:
        with open_backup(path) as reader:
            reader.verify(lambda _bytes: None)
            restore(url, reader, known_tables=migrate.tables(), replace=replace)

    await asyncio.to_thread(work)


def hopper(*arguments: str) -> "subprocess.CompletedProcess[str]":
    done = run(*arguments)
    assert "Traceback" not in done.stderr
    return done


def started(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


async def test_what_was_restored_is_equal_by_checksum(filled: str, empty: str, tmp_path: Path) -> None:
    """A person would find out on the day of the loss that the backup isn't what was lost."""
    made = await backed_up(filled, tmp_path / "b.zip")
    assert (tmp_path / "b.zip").stat().st_mode & 0o777 == 0o600
    assert made.tables["tasks"].rows == 2
    assert {"task_leases", "api_keys", "sync_sources", "text_models", "task_feedback"} <= set(made.tables)
    await put_back(tmp_path / "b.zip", empty)
    again = await backed_up(empty, tmp_path / "again.zip")
    differing = {name for name in made.tables if made.tables[name] != again.tables[name]}
    assert differing == {"projections"}  # the graph is to be built anew
    await migrate.upgrade(empty)  # the views of bound keys aren't in it
    await migrate.check(empty)


async def test_projections_are_made_anew_after_a_restore(filled: str, empty: str, tmp_path: Path) -> None:
    """Nothing would be similar to anything, and the graph would tell of what happened after the backup."""
    made = await backed_up(filled, tmp_path / "b.zip")
    assert "task_embeddings" in made.left_out
    await put_back(tmp_path / "b.zip", empty)
    waiting = "SELECT string_agg(entity_type || ' ' || entity_id, ', ' ORDER BY entity_type, entity_id) FROM"
    assert await value(empty, f"{waiting} projection_queue") == "episode e, pattern p, task t, task u"
    assert await value(empty, "SELECT to_regclass('idx_task_embedding_m')") is None
    assert await value(empty, "SELECT followed_since FROM projections WHERE projection = 'graph'") is None


async def test_vectors_that_were_paid_for_are_in_the_backup(filled: str, empty: str, tmp_path: Path) -> None:
    """A restore would cost as much as embedding everything did."""
    await execute(filled, "UPDATE embedding_models SET provider = 'openai'")
    made = await backed_up(filled, tmp_path / "b.zip")
    assert made.left_out == ()
    await put_back(tmp_path / "b.zip", empty)
    assert await value(empty, "SELECT count(*) FROM task_embeddings") == 1
    assert await value(empty, "SELECT to_regclass('idx_task_embedding_m') IS NOT NULL")


async def test_a_backup_under_writes_is_of_one_moment(filled: str, empty: str, tmp_path: Path) -> None:
    """It would hold decisions on tasks that it lacks, and couldn't be restored."""

    async def write() -> None:
        connection = await asyncpg.connect(filled)
        try:
            for number in range(10_000):
                async with connection.transaction():
                    await connection.execute(
                        "INSERT INTO tasks (id, title, status) VALUES ($1, 'more', 'pending')", f"m{number}"
                    )
                    await connection.execute(
                        "INSERT INTO routing_episodes (id, task_id) VALUES ($1, $2)", f"e{number}", f"m{number}"
                    )
        finally:
            await connection.close()

    writing = asyncio.create_task(write())
    try:
        await asyncio.sleep(0.2)
        made = await backed_up(filled, tmp_path / "b.zip")
        assert not writing.done()
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    assert made.tables["tasks"].rows - 2 == made.tables["routing_episodes"].rows - 1 > 0
    await put_back(tmp_path / "b.zip", empty)


async def backed_up_during(change: Coroutine[Any, Any, Any], url: str, path: Path) -> None:
    """A backup whose dump is written when a change of the schema begins; it has two seconds to come before the rest."""
    loop = asyncio.get_running_loop()
    begun: list[Future[Any]] = []

    def begin(_bytes: int) -> None:
        if not begun:
            begun.append(asyncio.run_coroutine_threadsafe(change, loop))
            with suppress(TimeoutError):
                begun[0].result(2)

    await asyncio.to_thread(make_backup, url, path, hopper="0.1.0", force=True, show=begin)
    await asyncio.wait_for(asyncio.wrap_future(begun[0]), 60)


async def test_a_table_that_is_rewritten_during_a_backup_is_whole_in_it(
    filled: str, empty: str, tmp_path: Path
) -> None:
    """The file would pass for whole, and on the day of the loss no database would take it."""
    rewriting = execute(filled, "ALTER TABLE task_feedback ADD COLUMN later float DEFAULT random()")
    await backed_up_during(rewriting, filled, tmp_path / "b.zip")
    await put_back(tmp_path / "b.zip", empty)
    assert await value(empty, "SELECT count(*) FROM task_feedback") == 1


async def test_a_backup_and_an_upgrade_that_overlap_both_come_to_an_end(
    empty: str, postgres_url: str, tmp_path: Path
) -> None:
    """One of them would be broken off for a deadlock, in the very night when Hopper is upgraded."""
    await migrate._with_alembic(empty, partial(migrate._upgraded, "0004"))
    await execute(empty, "INSERT INTO tasks (id, title, status) VALUES ('old', 'x', 'pending')")
    await backed_up_during(migrate.upgrade(empty), empty, tmp_path / "b.zip")
    assert await migrate.revision(empty) == migrate.HEAD
    async with fresh_database(postgres_url, "template1") as other:
        await put_back(tmp_path / "b.zip", other)
        assert await migrate.revision(other) == "0004"
        assert await value(other, "SELECT string_agg(id, ' ') FROM tasks") == "old"


@pytest.mark.parametrize("cut", [0, 100, 0.5, -1])
async def test_a_file_that_was_cut_off_is_told(filled: str, empty: str, tmp_path: Path, cut: float) -> None:
    """A full disk on the way would be noticed on the day of the loss, by half a database."""
    path = tmp_path / "b.zip"
    await backed_up(filled, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(cut * len(whole)) if isinstance(cut, float) else cut])
    with pytest.raises(BadBackup, match="isn't a whole backup"):
        await put_back(path, empty)
    assert await migrate.revision(empty) is None


async def test_one_changed_byte_is_told(filled: str, empty: str, tmp_path: Path) -> None:
    """A bad disk would change what was decided, and nobody would know."""
    path = tmp_path / "b.zip"
    await backed_up(filled, path)
    whole = path.read_bytes()
    for at in (*range(0, len(whole), len(whole) // 40), *range(len(whole) - 200, len(whole))):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
        try:
            with open_backup(path) as reader:
                reader.verify(lambda _bytes: None)
                same = reader.manifest
        except BadBackup:
            continue
        path.write_bytes(whole)
        with open_backup(path) as reader:  # a byte that says nothing, such as a time
            assert reader.manifest == same


async def test_a_manifest_of_another_shape_is_told(filled: str, tmp_path: Path) -> None:
    """A person who must restore would have a traceback to read, or a file called whole that can't be restored."""
    path = tmp_path / "b.zip"
    await backed_up(filled, path)
    with zipfile.ZipFile(path) as old:
        dump, whole = old.read("database.dump"), json.loads(old.read("manifest.json"))
    table = whole["tables"]["tasks"]

    def opened(said: Any) -> None:
        with zipfile.ZipFile(path, "w") as new:
            new.writestr("database.dump", dump)
            new.writestr("manifest.json", json.dumps(said))
        with open_backup(path) as reader:
            reader.verify(lambda _bytes: None)

    opened(whole)
    wrong_ones: tuple[Any, ...] = (
        *("a text", 1, None, [], {}),
        *({name: part for name, part in whole.items() if name != missing} for missing in whole),
        *({**whole, name: wrong} for name in whole for wrong in (None, [[1]], 1.5, {"x": 1}, "\x1b[2J")),
        *({**whole, "tables": {"tasks": wrong}} for wrong in ("x", 1, {}, {**table, "rows": "x"}, {**table, "x": 1})),
        *({**whole, "tables": {"tasks": {**table, "checksum": wrong}}} for wrong in (None, 1)),
        {**whole, "schema": 20},
        {**whole, "dump_bytes": "many"},
    )
    for said in wrong_ones:
        with pytest.raises(BadBackup, match="isn't a whole backup"):
            opened(said)
    for later in ({**whole, "format": 2, "tables": []}, {**whole, "graph": True}):
        with pytest.raises(BadBackup, match="later version"):
            opened(later)


async def test_rows_that_differ_from_the_manifest_are_not_kept(filled: str, empty: str, tmp_path: Path) -> None:
    """A dump that loses a row on its way through another version of PostgreSQL would pass for whole."""
    path = tmp_path / "b.zip"
    await backed_up(filled, path)
    with zipfile.ZipFile(path) as old:
        dump, said = old.read("database.dump"), json.loads(old.read("manifest.json"))
    said["tables"]["tasks"]["rows"] += 1
    with zipfile.ZipFile(path, "w") as new:
        new.writestr("database.dump", dump)
        new.writestr("manifest.json", json.dumps(said))
    with pytest.raises(BackupFailed, match=r"differs from the backup \(tasks\)"):
        await put_back(path, empty)
    assert await migrate.revision(empty) is None


async def test_a_database_with_data_is_only_replaced_on_demand(filled: str, postgres_url: str, tmp_path: Path) -> None:
    """A slip of the keyboard would put last week in the place of today."""
    await backed_up(filled, tmp_path / "b.zip")
    async with fresh_database(postgres_url) as other:
        await execute(other, "INSERT INTO tasks (id, title, status) VALUES ('today', 'x', 'pending')")
        with pytest.raises(Conflict, match="holds 1 tasks"):
            await put_back(tmp_path / "b.zip", other)
        assert await value(other, "SELECT count(*) FROM tasks WHERE id = 'today'") == 1
        await put_back(tmp_path / "b.zip", other, replace=True)
        assert await value(other, "SELECT string_agg(id, ' ' ORDER BY id) FROM tasks") == "t u"


async def test_others_tables_are_never_removed(filled: str, empty: str, tmp_path: Path) -> None:
    """A wrong DATABASE_URL would cost somebody else their data."""
    await backed_up(filled, tmp_path / "b.zip")
    await execute(empty, "CREATE TABLE payroll (id int)")
    with pytest.raises(Conflict, match="payroll"):
        await put_back(tmp_path / "b.zip", empty, replace=True)


async def test_what_others_keep_in_the_database_is_theirs(filled: str, postgres_url: str, tmp_path: Path) -> None:
    """Salaries would be in Hopper's backup, and because of them it could be neither made nor put back."""
    await execute(
        filled,
        """CREATE SCHEMA payroll; CREATE TABLE payroll.salaries (who text); SELECT lo_create(4711);
           INSERT INTO payroll.salaries VALUES ('the boss'); CREATE SCHEMA extensions;
           ALTER EXTENSION vector SET SCHEMA extensions;
           CREATE FUNCTION public.helper() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
           CREATE TRIGGER helped BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION public.helper();
           CREATE ROLE "a clerk" LOGIN; ALTER SCHEMA public OWNER TO "a clerk";
           GRANT SELECT ON ALL TABLES IN SCHEMA public TO "a clerk";
           GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO "a clerk";""",
    )
    try:
        await backed_up(filled.replace("postgres@", "a%20clerk@", 1), tmp_path / "b.zip")
    finally:
        await execute(filled, 'REASSIGN OWNED BY "a clerk" TO postgres; DROP OWNED BY "a clerk"; DROP ROLE "a clerk"')
    await put_back(tmp_path / "b.zip", filled, replace=True)
    assert await value(filled, "SELECT who FROM payroll.salaries") == "the boss"
    assert await value(filled, "SELECT count(*) FROM tasks") == 2
    async with fresh_database(postgres_url, "template1") as other:
        await put_back(tmp_path / "b.zip", other)
        assert await value(other, "SELECT to_regnamespace('payroll')") is None
        assert await value(other, "SELECT count(*) FROM pg_largeobject_metadata") == 0
        assert await value(other, "SELECT count(*) FROM tasks") == 2


async def test_nothing_is_put_where_no_schema_can_be_made(filled: str, empty: str, tmp_path: Path) -> None:
    """Everything would be there, without what bound keys need, and the command would say that nothing was changed."""
    await backed_up(filled, tmp_path / "b.zip")
    await execute(empty, "CREATE ROLE limited LOGIN; GRANT CREATE ON SCHEMA public TO limited; CREATE EXTENSION vector")
    url = empty.replace("postgres@", "limited@", 1)
    try:
        done = await asyncio.to_thread(run, "restore", tmp_path / "b.zip", "--database-url", url)
        assert (done.returncode, await value(empty, "SELECT to_regclass('tasks')")) == (5, None)
        assert "GRANT CREATE ON DATABASE" in done.stderr
        with pytest.raises(Unavailable, match="GRANT CREATE ON DATABASE"):
            await migrate.upgrade(url)
        assert await value(empty, "SELECT to_regclass('tasks')") is None
    finally:
        await execute(empty, "DROP OWNED BY limited; DROP ROLE limited")


async def test_a_database_that_a_server_works_on_is_left_alone(filled: str, database_url: str, tmp_path: Path) -> None:
    """The server would go on with what it remembers of a database that is gone."""
    await backed_up(filled, tmp_path / "b.zip")
    pool = await open_pool(database_url, 1)
    try:
        with pytest.raises(Conflict, match="server works on this database"):
            await put_back(tmp_path / "b.zip", database_url, replace=True)
    finally:
        await pool.close()


async def test_an_older_backup_is_brought_to_this_version(empty: str, postgres_url: str, tmp_path: Path) -> None:
    """A backup would be worth nothing once Hopper was upgraded."""
    await migrate._with_alembic(empty, lambda config: command.upgrade(config, "0010"))
    await execute(empty, "INSERT INTO tasks (id, title, status) VALUES ('old', 'x', 'pending')")
    await backed_up(empty, tmp_path / "b.zip")
    async with fresh_database(postgres_url, "template1") as other:
        done = hopper("restore", str(tmp_path / "b.zip"), "--database-url", other, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["schema"] == "0010"
        await migrate.check(other)
        assert await value(other, "SELECT string_agg(id, ' ') FROM tasks") == "old"
        assert await value(other, "SELECT count(*) FROM projection_queue") == 1


async def test_a_newer_backup_is_refused(filled: str, empty: str, tmp_path: Path) -> None:
    """This version would misread, and then overwrite, what a newer one has stored."""
    await execute(filled, "UPDATE alembic_version SET version_num = '9999'")
    await backed_up(filled, tmp_path / "b.zip")
    done = hopper("restore", str(tmp_path / "b.zip"), "--database-url", empty)
    assert done.returncode == 4
    assert "9999" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert await migrate.revision(empty) is None


async def test_a_killed_restore_leaves_the_old_state(filled: str, postgres_url: str, tmp_path: Path) -> None:
    """A power cut would leave half a database that looks like a whole one."""
    await execute(
        filled,
        """INSERT INTO tasks (id, title, description, status)
           SELECT 'k' || n, 'x', repeat(md5(n::text), 20), 'pending' FROM generate_series(1, 10000) n""",
    )
    path = tmp_path / "b.zip"
    await backed_up(filled, path)
    async with fresh_database(postgres_url) as other:
        await execute(other, "INSERT INTO tasks (id, title, status) VALUES ('today', 'x', 'pending')")
        restoring = ("restore", str(path), "--replace", "--database-url", other)
        outcomes = []
        for moment in (0.05, 0.4):
            with started(*restoring) as process:
                await _begun(other)
                await asyncio.sleep(moment)
                process.send_signal(signal.SIGKILL)
            await _alone(other)
            outcomes.append(await value(other, "SELECT count(*) FROM tasks"))
            if outcomes[-1] != 1:
                break
        assert set(outcomes) <= {1, 10_002}
        assert outcomes[0] == 1
        done = await asyncio.to_thread(hopper, *restoring)
        assert done.returncode == 0, done.stderr
        assert await value(other, "SELECT count(*) FROM tasks") == 10_002


async def _begun(url: str) -> None:
    """Wait until psql is there."""
    await _until(url, "SELECT count(*) > 0")


async def _alone(url: str) -> None:
    """Wait until PostgreSQL has noticed that psql is gone."""
    await _until(url, "SELECT count(*) = 0")


async def _until(url: str, condition: str) -> None:
    deadline = time.monotonic() + 30
    theirs = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hopper backup'"
    while not await value(url, f"{condition} {theirs}"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
async def test_a_backup_that_is_stopped_leaves_nothing(filled: str, tmp_path: Path, end: signal.Signals) -> None:
    """Half a backup would pass for one, or fill the disk night after night."""
    lock = await asyncpg.connect(filled)
    try:
        await lock.execute("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")  # so that it has to wait
        with started("backup", str(tmp_path / "b.zip"), "--database-url", filled) as process:
            await _begun(filled)
            process.send_signal(end)
            assert await asyncio.to_thread(process.wait, 20) == 130
    finally:
        await lock.close()
    assert files(tmp_path) == []


async def test_a_full_disk_leaves_nothing(filled: str, tmp_path: Path) -> None:
    """Half a backup would stand in the place of a whole one, or of yesterday's."""
    made = tmp_path / "b.zip"
    made.write_text("yesterday's")
    limited = ("bash", "-c", 'ulimit -f 8; exec "$@"', "-", *COMMAND)
    backup = (*limited, "backup", str(made), "--force", "--database-url", filled)
    done = await asyncio.to_thread(subprocess.run, backup, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, f"hopper: File too large: {made}\n")
    assert made.read_bytes() == b"yesterday's"
    assert files(tmp_path) == [made]


async def test_a_backup_is_never_overwritten_by_accident(filled: str, tmp_path: Path) -> None:
    """Yesterday's backup would be gone when today's turns out to be of an empty database."""
    made = tmp_path / "b.zip"
    assert hopper("backup", str(made), "--database-url", filled).returncode == 0
    before = made.read_bytes()
    done = hopper("backup", str(made), "--database-url", filled)
    assert (done.returncode, "--force" in done.stderr) == (4, True)
    assert made.read_bytes() == before


async def test_a_database_without_hopper_is_told(empty: str, tmp_path: Path) -> None:
    """Every night a file would be written that holds nothing, and called a backup."""
    with pytest.raises(BackupFailed, match="no Hopper"):
        await backed_up(empty, tmp_path / "b.zip")
    assert files(tmp_path) == []


def test_a_database_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    """A person would look for a mistake in the backup instead of the address."""
    done = hopper("backup", str(tmp_path / "b.zip"), "--database-url", f"postgresql://x@/y?host={tmp_path}")
    assert done.returncode == 5
    assert len(done.stderr.splitlines()) == 1
    assert "DATABASE_URL" in done.stderr


@pytest.mark.parametrize("command", [["restore"], ["backup", "--verify"]], ids=" ".join)
def test_a_missing_file_is_a_mistake_in_the_command(tmp_path: Path, command: list[str]) -> None:
    """A script would take a slip in a name for a failure, and try it again and again."""
    for file, said in ((tmp_path / "none.zip", "no file"), (tmp_path, "is a directory")):
        done = hopper(*command, str(file), "--home", str(tmp_path / "home"))
        assert (done.returncode, said in done.stderr) == (2, True)
    assert files(tmp_path) == []


async def test_an_address_that_the_server_takes_is_good_for_a_backup(
    filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that serves every day could be neither backed up nor restored, for the way its address is written."""
    said = [
        "statement_timeout=60001",
        "search_path=one%5C%20,%20public",
        "options=-c%20work_mem%3D8MB%20-c%20geqo%3Doff",
        "application_name=a%20name",
        "database=another",
    ]
    url = "&".join([filled, *said])
    await value(url, "SELECT 1")
    await backed_up(url, tmp_path / "b.zip")
    await put_back(tmp_path / "b.zip", url, replace=True)
    ask = "SELECT {}, current_database();".format(
        ", ".join(f"current_setting('{name}')" for name in ("statement_timeout", "search_path", "work_mem", "geqo"))
    )
    connection = await asyncpg.connect(url)
    try:
        theirs = list(await connection.fetchrow(ask))
    finally:
        await connection.close()
    parts = urlsplit(url)
    service = [f"{name}={text}" for name, text in parse_qsl(parts.query) if name in ("host", "port")]
    (tmp_path / "services").write_text("\n".join(["[hopper]", *service, f"dbname={parts.path[1:]}", "user=postgres"]))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    by_service = "postgresql://?" + "&".join(["service=hopper", *said[:-1]])
    for same in (url, f"postgresql://{parts.path}?user=postgres&{parts.query}", by_service):
        with Psql(same) as psql:
            assert psql.run(ask) == [theirs]
    assert theirs[1:4] == ["one\\ , public", "8MB", "off"]


def test_an_address_that_wants_tls_is_told_why_it_is_refused(tmp_path: Path) -> None:
    """A person would look for a mistake in the address, which is good for the server."""
    done = hopper("backup", str(tmp_path / "b.zip"), "--database-url", "postgresql://x@127.0.0.1:1/y?sslmode=require")
    assert (done.returncode, len(done.stderr.splitlines())) == (4, 1), done.stderr
    assert "TLS" in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:s%2Fcret@db:5432/hopper?sslmode=require&sslpassword=s%2Fcret",
        "postgresql://ann@db/hopper?password=s%2Fcret",
        "postgresql://ann:s%2Fcret@db/hopper?password=another+s%2Fcret",
    ],
)
def test_a_password_is_no_argument_of_a_program(url: str) -> None:
    """Every user of the machine could read it in the list of processes."""
    address, environment = _apart(url)
    assert "cret" not in address
    assert environment == {"PGPASSWORD": "s/cret"}
    assert address.startswith("postgresql://ann@db")
