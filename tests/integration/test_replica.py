"""Searches at a real streaming replica: held back, killed, halted and promoted, and its primary lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from urllib.parse import quote

import asyncpg
import pytest
from tests.replicas import Cluster, Clusters, clusters
from tests.steps import filed, joined

from hopper.adapters.postgres import migrate, replica, searching
from hopper.app.duplicates import likely_duplicates
from hopper.app.readiness import ReadinessWatch, State
from hopper.app.search import search
from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.domain.access import Asker
from hopper.domain.errors import Invalid, Unavailable
from hopper.domain.query import Mode
from hopper.entrypoints.doctor import database, findings
from hopper.ports import Ports
from hopper.ports.replica import ReplicaState, ReplicaStatus
from hopper.ports.repositories import TaskFilter
from hopper.ports.unit_of_work import UnitOfWork

DATABASE = "hopper"
SOON = 0.4
"""Seconds that take the place of the ten, and of the three, that Hopper has patience for."""


@pytest.fixture(scope="module")
def made() -> Iterator[Clusters]:
    with clusters() as those:
        yield those


@pytest.fixture(scope="module")
async def primary(made: Clusters) -> Cluster:
    server = made.make("primary")
    await execute(server, f"CREATE DATABASE {DATABASE}")
    await migrate.upgrade(server.url(DATABASE))
    return server


@pytest.fixture(scope="module")
def follower(made: Clusters, primary: Cluster) -> Cluster:
    return made.make("follower", primary)


@pytest.fixture
async def ports(primary: Cluster, follower: Cluster) -> AsyncIterator[Ports]:
    """Hopper over both, once the replica is used."""
    async with opened(primary, follower) as ports:
        await until(ports, ReplicaState.IN_USE)
        yield ports


@asynccontextmanager
async def opened(primary: Cluster, follower: Cluster, database: str = DATABASE) -> AsyncIterator[Ports]:
    url = primary.url(DATABASE)
    settings = load_settings(database={"postgres": {"url": url, "replica_url": follower.url(database)}})
    async with open_hopper(settings, url) as ports:
        yield ports


async def execute(server: Cluster, statement: str, database: str = "postgres") -> None:
    connection = await asyncpg.connect(server.url(database))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def cut(follower: Cluster) -> None:
    """End all connections of Hopper's to the replica."""
    await execute(
        follower, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^hopper( [0-9]+)?$'"
    )


@asynccontextmanager
async def held_back(follower: Cluster) -> AsyncIterator[None]:
    """The replica receives, and shows nothing new."""
    await execute(follower, "SELECT pg_wal_replay_pause()")
    try:
        yield
    finally:
        await execute(follower, "SELECT pg_wal_replay_resume()")


def status(ports: Ports) -> ReplicaStatus:
    assert ports.replica
    return ports.replica.status


async def position(ports: Ports) -> int:
    assert ports.replica
    return await ports.replica.position()


async def until(ports: Ports, state: ReplicaState, seconds: float = 10) -> None:
    deadline = monotonic() + seconds
    while status(ports).state is not state:
        assert monotonic() < deadline, status(ports)
        await asyncio.sleep(0.02)


async def found(word: str, ports: Ports, mode: Mode = Mode.KEYWORD) -> list[str]:
    return [hit.task.title for hit in (await search(word, mode, TaskFilter(), 20, ports=ports)).items]


async def answered_by_replica(work: Callable[[], Awaitable[object]], ports: Ports) -> bool:
    """Whether the replica took a part in it, and the primary none in its place."""
    before = status(ports)
    await work()
    after = status(ports)
    return after.answered > before.answered and after.passed_on == before.passed_on


async def until_answered_by_replica(work: Callable[[], Awaitable[object]], ports: Ports) -> None:
    """It may have to receive first what was written last: by the test, or by the primary as it started."""
    deadline = monotonic() + 10
    while not await answered_by_replica(work, ports):
        assert monotonic() < deadline, status(ports)
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("mode", Mode)
async def test_a_search_is_answered_by_the_replica(mode: Mode, ports: Ports) -> None:
    """Else a replica would take no load off the primary, whatever is set."""
    await filed(ports, "Albatross overhead")
    await until_answered_by_replica(lambda: found("albatross", ports, mode), ports)


async def test_likely_duplicates_are_looked_for_at_the_replica(ports: Ports) -> None:
    """Filing with a look at duplicates is the dearest write; its looking needn't burden the primary."""
    task = await filed(ports, "Buzzard on the mast")
    await until_answered_by_replica(lambda: likely_duplicates(task, ports=ports), ports)


async def test_what_is_stored_is_found_at_once(ports: Ports, follower: Cluster) -> None:
    """A user would file a task and not find it, while the replica lags behind."""
    async with held_back(follower):
        for number in range(3):
            await filed(ports, f"Cormorant {number}")
            assert f"Cormorant {number}" in await found("cormorant", ports)


async def test_with_a_position_a_replica_that_lags_answers(ports: Ports, follower: Cluster) -> None:
    """Under many writes a replica is always a little behind: clients that say what they have seen use it still."""
    await filed(ports, "Dunlin one")
    first = await position(ports)
    await until_replayed(first, ports)
    async with held_back(follower):
        await filed(ports, "Dunlin two")
        second = await position(ports)
        # That it lacks the second one proves who answered.
        assert await found("dunlin", ports.since(first)) == ["Dunlin one"]
        assert sorted(await found("dunlin", ports.since(second))) == ["Dunlin one", "Dunlin two"]
    await until_answered_by_replica(lambda: found("dunlin", ports.since(second)), ports)


async def test_the_last_of_two_positions_counts(ports: Ports, follower: Cluster) -> None:
    """What has to see everything, as learning does, would see what a client's header is content with."""
    await filed(ports, "Dunnock one")
    await until_replayed(await position(ports), ports)
    async with held_back(follower):
        await filed(ports, "Dunnock two")
        assert await found("dunnock", ports.since(0)) == ["Dunnock one"]
        assert len(await found("dunnock", ports.since(0).since(None))) == 2


async def until_replayed(position: int, ports: Ports) -> None:
    await until_answered_by_replica(lambda: found("nothing", ports.since(position)), ports)


async def test_one_that_is_too_far_behind_is_not_used(
    ports: Ports, follower: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers would be hours old, and nobody would know."""
    monkeypatch.setattr(replica, "MOST_SECONDS_BEHIND", SOON)
    async with held_back(follower):
        await filed(ports, "Egret")
        await until(ports, ReplicaState.BEHIND)
        assert await found("egret", ports.since(0)) == ["Egret"]
        assert (status(ports).lag_seconds or 0) > SOON
    await until(ports, ReplicaState.IN_USE)


async def test_a_quiet_database_is_not_behind(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time since the last transaction is no lag: at night the replica would be left unused."""
    monkeypatch.setattr(replica, "MOST_SECONDS_BEHIND", SOON)
    await asyncio.sleep(3 * SOON)
    assert status(ports).state is ReplicaState.IN_USE


async def test_losing_it_fails_no_search(ports: Ports, follower: Cluster) -> None:
    """A machine that is there to help would take the service down with it."""
    await filed(ports, "Fulmar")
    stopped = asyncio.Event()

    async def searching_on() -> int:
        times = 0
        while not stopped.is_set():
            assert await found("fulmar", ports) == ["Fulmar"]
            times += 1
        return times

    searches = [asyncio.create_task(searching_on()) for _ in range(4)]
    await asyncio.sleep(0.2)
    follower.kill()
    await until(ports, ReplicaState.LOST)
    assert not await answered_by_replica(lambda: found("fulmar", ports), ports)
    ready = await ReadinessWatch(ports, lambda *_, **__: None).look()
    assert ready.is_ready
    assert ready.parts["replica"].state is State.DEGRADED
    await asyncio.to_thread(follower.start)
    await until(ports, ReplicaState.IN_USE)
    await until_answered_by_replica(lambda: found("fulmar", ports), ports)
    stopped.set()
    assert all(times > 3 for times in await asyncio.gather(*searches))


async def test_a_search_goes_on_where_its_connection_was_cut(ports: Ports, follower: Cluster) -> None:
    """A replica cancels what stands in the way of its replay: a search under way would end in an error."""
    task = await filed(ports, "Gannet")
    async with ports.searching() as uow:
        assert (await uow.tasks.get(task.id)).title == "Gannet"
        assert status(ports).state is ReplicaState.IN_USE
        await cut(follower)
        assert (await uow.tasks.get(task.id)).title == "Gannet"
    await until(ports, ReplicaState.IN_USE)


async def test_a_bound_key_sees_no_more_where_the_primary_goes_on(ports: Ports, follower: Cluster) -> None:
    """Losing the replica at the right moment would open everybody's tasks to a key for one team's."""
    ours, theirs = await joined(ports, "ours"), await joined(ports, "theirs")
    mine = await filed(ports, "Hobby of ours", instance_id=ours.id)
    await filed(ports, "Hobby of theirs", instance_id=theirs.id)
    bound = ports.asked_by(Asker(key_id="k", within=ours.id))
    await until_answered_by_replica(lambda: found("hobby", bound), ports)
    async with bound.searching() as uow:
        assert status(ports).state is ReplicaState.IN_USE
        assert [task.id for task in (await uow.tasks.list(TaskFilter(), 10)).items] == [mine.id]
        await cut(follower)
        assert [task.id for task in (await uow.tasks.list(TaskFilter(), 10)).items] == [mine.id]
        assert status(ports).state is ReplicaState.LOST
    assert await found("hobby", bound) == ["Hobby of ours"]
    await until(ports, ReplicaState.IN_USE)
    assert await found("hobby", bound) == ["Hobby of ours"]


async def test_a_search_that_neither_can_answer_says_so(
    ports: Ports, follower: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client would be told of a fault in Hopper, and wouldn't try again."""
    monkeypatch.setattr(searching, "ACQUIRE_SECONDS", SOON)
    ours = await joined(ports, "those of the kite")
    bound = ports.asked_by(Asker(key_id="k", within=ours.id))
    await until_answered_by_replica(lambda: found("kite", bound), ports)
    async with AsyncExitStack() as busy:
        with pytest.raises(Unavailable):
            async with bound.searching() as uow:
                await taken(ports.reading, busy)
                await cut(follower)
                await uow.tasks.list(TaskFilter(), 10)
    await until(ports, ReplicaState.IN_USE)


async def test_a_replica_that_is_busy_keeps_nobody(ports: Ports) -> None:
    """Under load each further search would wait for seconds, and the replica be given up as lost."""
    await filed(ports, "Linnet")
    await until_answered_by_replica(lambda: found("linnet", ports), ports)
    async with AsyncExitStack() as busy:
        await taken(ports.since(0).searching, busy)
        began = monotonic()
        assert await found("linnet", ports.since(0)) == ["Linnet"]
        assert monotonic() - began < 1
        assert status(ports).state is ReplicaState.IN_USE


async def taken(open_: Callable[[], UnitOfWork], busy: AsyncExitStack) -> None:
    """Open as many units of work as there are connections."""
    for _ in range(load_settings().database.postgres.pool_size):
        await busy.enter_async_context(open_())


async def test_what_nobody_could_answer_says_nothing_of_the_replica(ports: Ports) -> None:
    """One client's odd request would keep all others from the replica."""
    with pytest.raises(Invalid):
        async with ports.searching() as uow:
            await uow.tasks.get("a\0")
    assert status(ports).state is ReplicaState.IN_USE


async def test_one_that_hangs_holds_up_nobody_for_long(
    ports: Ports, follower: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each search would wait for ever, or each would wait its patience out."""
    for module in (replica, searching):
        monkeypatch.setattr(module, "PATIENCE_SECONDS", SOON)
    await filed(ports, "Heron")
    with follower.halted():
        began = monotonic()
        assert await found("heron", ports) == ["Heron"]
        assert monotonic() - began < 10 * SOON
        await until(ports, ReplicaState.LOST)
        began = monotonic()
        for _ in range(5):
            assert await found("heron", ports) == ["Heron"]
        assert monotonic() - began < 4 * SOON  # less than if each had waited
    await until(ports, ReplicaState.IN_USE)


async def test_a_server_starts_without_its_replica(primary: Cluster, follower: Cluster) -> None:
    """A restart during the replica's upkeep would leave no service at all."""
    follower.kill()
    async with opened(primary, follower) as ports:
        assert status(ports).state is ReplicaState.LOST
        await filed(ports, "Ibis")
        assert await found("ibis", ports) == ["Ibis"]
        await asyncio.to_thread(follower.start)
        await until(ports, ReplicaState.IN_USE)


async def test_a_promoted_one_is_not_used_and_not_written(made: Clusters, primary: Cluster, follower: Cluster) -> None:
    """Two databases would answer, each with a truth of its own."""
    other = made.make("promoted", primary)
    async with opened(primary, other) as ports:
        await until(ports, ReplicaState.IN_USE)
        other.promote()
        await filed(ports, "Jackdaw")
        assert await found("jackdaw", ports.since(0)) == ["Jackdaw"]
        await until(ports, ReplicaState.FOREIGN)
        assert await found("jackdaw", ports) == ["Jackdaw"]
        pool = await replica_pool(other)
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await pool.execute("DELETE FROM tasks")
        await pool.close()
    other.stop()


async def replica_pool(server: Cluster) -> "asyncpg.Pool[asyncpg.Record]":
    from hopper.adapters.postgres.unit_of_work import open_replica_pool

    return await open_replica_pool(server.url(DATABASE), 1)


async def test_another_database_is_not_taken_for_a_replica(primary: Cluster, follower: Cluster) -> None:
    """A slip in the settings would have searches answered from somebody else's tasks."""
    await execute(primary, "CREATE DATABASE elsewhere")
    await execute(primary, "CREATE EXTENSION vector", "elsewhere")
    async with opened(primary, follower, "elsewhere") as ports:
        await until(ports, ReplicaState.FOREIGN)
        await filed(ports, "Kestrel")
        assert await found("kestrel", ports.since(0)) == ["Kestrel"]


async def test_the_doctor_says_what_a_server_would_make_of_it(
    ports: Ports, primary: Cluster, follower: Cluster
) -> None:
    """A slip in the settings would show only in the load on the primary, weeks later."""

    def found(primary_url: str, replica_url: str) -> findings.Finding:
        chosen = load_settings(database={"postgres": {"url": primary_url, "replica_url": replica_url}})
        examined = findings.Examination({"replica": lambda: database.replica(chosen)}, 30)
        (finding,) = [one for _, one in examined.findings()]
        return finding

    def told(primary_url: str, replica_url: str) -> Awaitable[findings.Finding]:
        return asyncio.to_thread(found, primary_url, replica_url)

    nowhere = "postgresql://postgres@127.0.0.1:9/nowhere"
    assert (await told(primary.url(DATABASE), follower.url(DATABASE))).state is findings.State.OK
    slip = await told(primary.url(DATABASE), primary.url(DATABASE))
    assert slip.state is findings.State.WRONG
    assert "never was a replica" in slip.message
    gone = await told(primary.url(DATABASE), nowhere)
    assert gone.state is findings.State.WARNING
    assert "replica_url" in (gone.advice or "")
    assert (await told(nowhere, follower.url(DATABASE))).state is findings.State.WARNING


async def test_without_the_primary_it_is_told_plainly(ports: Ports, primary: Cluster) -> None:
    """Answers that may be old would pass for new ones, or requests would hang; and it must come back by itself."""
    await filed(ports, "Lapwing")
    await until_replayed(await position(ports), ports)
    primary.kill()
    with pytest.raises(Unavailable):
        await found("lapwing", ports)
    with pytest.raises(Unavailable):
        await filed(ports, "Lapwing again")
    assert await found("lapwing", ports.since(0)) == ["Lapwing"]  # who is content with it may have it
    await asyncio.to_thread(primary.start)
    assert await found("lapwing", ports) == ["Lapwing"]
    await until(ports, ReplicaState.IN_USE)
    await until_answered_by_replica(lambda: found("lapwing", ports), ports)


async def test_after_a_failover_the_new_primary_is_found(made: Clusters, primary: Cluster) -> None:
    """A failover in the night would end in a server that refuses everything until somebody starts it again.

    The last test of this module: it leaves no primary.
    """
    second = made.make("second", primary)
    hosts = ",".join(quote(str(server.data)) for server in (primary, second))
    both = f"postgresql://postgres@/{DATABASE}?host={hosts}&port=5432,5432&target_session_attrs=read-write"
    settings = load_settings(database={"postgres": {"url": both, "replica_url": second.url(DATABASE)}})
    async with open_hopper(settings, both) as ports:
        await until(ports, ReplicaState.IN_USE)
        await filed(ports, "Merlin before")
        await until_replayed(await position(ports), ports)
        primary.kill()
        second.promote()
        await eventually(lambda: filed(ports, "Merlin after"))
        assert sorted(await found("merlin", ports)) == ["Merlin after", "Merlin before"]
        await until(ports, ReplicaState.FOREIGN)


async def eventually(work: Callable[[], Awaitable[object]]) -> None:
    deadline = monotonic() + 20
    while True:
        try:
            await work()
        except Unavailable:
            assert monotonic() < deadline
            await asyncio.sleep(0.05)
        else:
            return
