"""A streaming replica that answers in the primary's place, as long as it can be relied upon.

Nobody waits for a replica that is known to fail: it is looked at twice a second, and used again when a look finds it
well. A connection is given out only once the replica has replayed what whoever asks must see.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

import asyncpg

from hopper.adapters.postgres.sql import ACQUIRE_SECONDS, GIVE_BACK_SECONDS, Connection, discard, translated
from hopper.ports.replica import Position, ReplicaState, ReplicaStatus

LOOK_SECONDS = 0.5

PATIENCE_SECONDS = 3.0
"""How long a statement may take at the replica before the primary is asked."""

MOST_SECONDS_BEHIND = 10.0
"""A replica that is further behind isn't used, whatever a client would be content with."""

_CATCH_UP_SECONDS = 0.02
"""So long it gets to replay what was stored just now; on a healthy one that takes a millisecond or two."""

_STEP_SECONDS = 0.002
_AFTER_VAIN_SECONDS = 1.0
"""When that was in vain nobody waits for it for a while, but takes it as it is found."""

# What is acknowledged has been flushed, unless the database acknowledges before that.
_STORED = """(CASE current_setting('synchronous_commit') WHEN 'off' THEN pg_current_wal_insert_lsn()
    ELSE pg_current_wal_flush_lsn() END - '0/0')::int8"""

_IDENTITY = """(SELECT system_identifier FROM pg_control_system()) AS system,
    (SELECT oid FROM pg_database WHERE datname = current_database()) AS database"""

_PRIMARY = f"SELECT {_STORED} AS position, {_IDENTITY}"
_REPLICA = f"""SELECT pg_is_in_recovery() AS follows, coalesce(pg_last_wal_replay_lsn() - '0/0', 0)::int8 AS position,
    {_IDENTITY}"""
_HAS = "SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() - '0/0' >= $1"


async def look_once(primary: "asyncpg.Pool[asyncpg.Record]", pool: "asyncpg.Pool[asyncpg.Record]") -> ReplicaStatus:
    """What a server that starts now would make of it. How far it is behind shows only after a while."""
    replica = PostgresReplica(primary, pool, lambda *_, **__: None)
    await replica.look()
    return replica.status


class PostgresReplica:
    """Implements ports.replica.Replica. It has to be looked at every LOOK_SECONDS; `log` is told of a change."""

    def __init__(
        self, primary: "asyncpg.Pool[asyncpg.Record]", pool: "asyncpg.Pool[asyncpg.Record]", log: Callable[..., None]
    ) -> None:
        self.primary = primary
        self._pool = pool
        self._log = log
        self._state = ReplicaState.LOST
        self._told: ReplicaState | None = None
        self._trouble: str | None = None
        self._lag: float | None = None
        self._answered = 0
        self._passed_on = 0
        self._stored: deque[tuple[float, Position]] = deque(maxlen=2 * round(MOST_SECONDS_BEHIND / LOOK_SECONDS))
        self._hurried_until = 0.0

    @property
    def status(self) -> ReplicaStatus:
        return ReplicaStatus(self._state, self._lag, self._answered, self._passed_on, self._trouble)

    async def position(self) -> Position:
        try:
            async with _borrowed(self.primary, ACQUIRE_SECONDS) as connection:
                return int(await connection.fetchval(f"SELECT {_STORED}", timeout=PATIENCE_SECONDS))
        except Exception as error:
            raise (translated(error) or error) from error

    async def connection(self, since: Position | None) -> Connection | None:
        """A connection to the replica, which has replayed all until `since`; None when the primary has to answer."""
        found = None
        if self._state is ReplicaState.IN_USE:
            since = await self.position() if since is None else since
            try:
                found = await self._reached(since)
            except Exception as error:
                self.suspect(error)
        if found is None:
            self._passed_on += 1
        else:
            self._answered += 1
        return found

    async def release(self, connection: Connection, *, is_whole: bool) -> None:
        """Give it back, or away."""
        if not is_whole:
            discard(connection)
        await self._pool.release(connection, timeout=GIVE_BACK_SECONDS)

    def suspect(self, error: Exception) -> None:
        """It failed somebody: it isn't used before the next look finds it well. Logged is what that finds."""
        self._state, self._trouble = ReplicaState.LOST, f"{type(error).__name__} when it was asked"

    async def look(self) -> None:
        """Find out how the replica is, and how far behind the primary."""
        began = monotonic()
        try:
            async with _borrowed(self.primary) as connection:
                primary = await connection.fetchrow(_PRIMARY, timeout=PATIENCE_SECONDS)
        except Exception:  # the primary's failure: what is known of the replica grows older
            self._compare(None)
            return
        self._stored.append((began, primary["position"]))
        try:
            async with _borrowed(self._pool) as connection:
                replica = await connection.fetchrow(_REPLICA, timeout=PATIENCE_SECONDS)
        except Exception as error:
            self._lag = None
            self._enter(ReplicaState.LOST, f"{type(error).__name__} when it was looked at")
            return
        if (primary["system"], primary["database"]) != (replica["system"], replica["database"]):
            self._enter(ReplicaState.FOREIGN, "it holds another database than the primary")
        elif not replica["follows"]:
            self._enter(
                ReplicaState.FOREIGN, "it follows the primary no longer: it was promoted, or never was a replica"
            )
        else:
            self._compare(replica["position"])

    async def _reached(self, since: Position) -> Connection | None:
        """A connection, once the replica has come so far; None when it hasn't soon, or when all are in use."""
        if self._pool.get_size() == self._pool.get_max_size() and not self._pool.get_idle_size():
            return None
        connection = await self._pool.acquire(timeout=PATIENCE_SECONDS)
        patience = 0.0 if monotonic() < self._hurried_until else _CATCH_UP_SECONDS
        began = monotonic()
        has = False
        try:
            while not (has := await connection.fetchval(_HAS, since, timeout=PATIENCE_SECONDS)):
                if monotonic() - began >= patience:
                    break
                await asyncio.sleep(_STEP_SECONDS)
        except BaseException:
            discard(connection)
            raise
        finally:
            if not has:
                await self._pool.release(connection, timeout=GIVE_BACK_SECONDS)
        if not has and patience:
            self._hurried_until = monotonic() + _AFTER_VAIN_SECONDS
        return connection if has else None

    def _compare(self, replayed: Position | None) -> None:
        """Judge by what the primary had stored when; without a position nothing new is known of either."""
        now = monotonic()
        if replayed is None:
            self._lag = now - self._stored[-1][0] if self._stored else None
        else:
            self._lag = next((now - at for at, stored in self._stored if stored > replayed), 0.0)
        if self._lag is not None and self._lag > MOST_SECONDS_BEHIND:
            self._enter(ReplicaState.BEHIND, f"it is more than {MOST_SECONDS_BEHIND:g} seconds behind the primary")
        elif replayed is not None:
            self._enter(ReplicaState.IN_USE, None)

    def _enter(self, state: ReplicaState, trouble: str | None) -> None:
        if state is not self._told:
            event = "the replica is used" if trouble is None else "the replica isn't used; the primary answers"
            self._log(event, state=str(state), reason=trouble)
        self._state, self._told, self._trouble = state, state, trouble


@asynccontextmanager
async def _borrowed(
    pool: "asyncpg.Pool[asyncpg.Record]", patience: float = PATIENCE_SECONDS
) -> AsyncIterator[Connection]:
    """A connection that is thrown away when what is done with it fails."""
    connection = await pool.acquire(timeout=patience)
    try:
        yield connection
    except BaseException:
        discard(connection)
        raise
    finally:
        await pool.release(connection, timeout=GIVE_BACK_SECONDS)
