"""What the repositories share: cursors, filters, and telling what a refused statement means."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias, TypeVar

import asyncpg
import orjson

from hopper.domain.cursors import as_id, as_moment, seal, unseal
from hopper.domain.errors import Conflict, HopperError, Invalid, NotFound, StaleVersion, Unavailable
from hopper.ports.repositories import Page

Connection: TypeAlias = asyncpg.Connection
Row: TypeAlias = asyncpg.Record
T = TypeVar("T")

APPLICATION = "hopper"
"""What Hopper's sessions call themselves, with the newest revision that it knows from 0019 on."""

ACQUIRE_SECONDS = 15.0
"""How long a request waits for a connection before it is told to come again."""

GIVE_BACK_SECONDS = 3.0
"""How long what is under way on a connection is waited for, and undone, before it is given away instead of back."""


@dataclass(slots=True)
class Changes:
    """The entities that a unit of work has touched, by type; a delegation by its task's id."""

    touched: set[tuple[str, str]] = field(default_factory=set)

    def mark(self, entity_type: str, *ids: str) -> None:
        self.touched.update((entity_type, id) for id in ids)


@dataclass(slots=True)
class Where:
    """Conditions of a statement with their numbered parameters.

    The conditions are fixed texts of the repositories with `{}` for a parameter; values only ever become
    parameters.
    """

    parameters: list[Any] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)

    def add(self, condition: str, *values: Any) -> None:
        """Add a condition; one whose only value is None is left out."""
        if values == (None,):
            return
        numbers = []
        for value in values:
            self.parameters.append(value)
            numbers.append(f"${len(self.parameters)}")
        self.conditions.append(condition.format(*numbers))

    def __str__(self) -> str:
        return " AND ".join(self.conditions) or "true"


HAS_ID_PART = "(id ^@ {0} OR reverse(id) ^@ reverse({0}))"
"""The id begins or ends so. An operator and no LIKE, which takes the underscore for any character."""


def encode_cursor(*position: Any) -> str:
    return seal(orjson.dumps(position))


def decode_cursor(cursor: str, *types: Callable[[Any], Any]) -> list[Any]:
    """The position in a listing; raises Invalid for anything that no listing gave out."""
    try:
        position = orjson.loads(unseal(cursor))
        if not isinstance(position, list) or len(position) != len(types):
            raise ValueError(cursor)
        return [kind(value) for kind, value in zip(types, position, strict=True)]
    except (ValueError, TypeError, OverflowError):
        raise Invalid("cursor", "This cursor isn't one that a listing gave out. Start again without it.") from None


def by_time(where: Where, cursor: str | None, column: str, *, newest_first: bool) -> str:
    """Continue after the cursor in a listing by time and id; returns its ORDER BY."""
    if cursor:
        moment, id = decode_cursor(cursor, as_moment, as_id)
        where.add(f"({column}, id) {'<' if newest_first else '>'} ({{}}, {{}})", moment, id)
    direction = "DESC" if newest_first else "ASC"
    return f"{column} {direction}, id {direction}"


def page(rows: Sequence[Row], limit: int, make: Callable[[Row], T], *columns: str) -> Page[T]:
    """A page from `limit + 1` rows of a listing by these columns and id."""
    items = tuple(make(row) for row in rows[:limit])
    if len(rows) <= limit:
        return Page(items, None)
    last = rows[limit - 1]
    return Page(items, encode_cursor(*(last[column] for column in columns), last["id"]))


async def raise_not_changed(
    connection: Connection, table: str, kind: str, id: str, expected_version: int | None
) -> NoReturn:
    """Tell why an update or delete by id and version found no row: gone, or changed meanwhile."""
    current = await connection.fetchval(f"SELECT version FROM {table} WHERE id = $1", id)
    if current is None or expected_version is None:
        raise NotFound(kind, id)
    raise StaleVersion(kind, id, current)


async def delete_versioned(
    connection: Connection, table: str, kind: str, id: str, expected_version: int | None
) -> None:
    """Remove the row with this id, if it is still at the expected version. Raises NotFound, StaleVersion."""
    status = await connection.execute(
        f"DELETE FROM {table} WHERE id = $1 AND ($2::int IS NULL OR version = $2)", id, expected_version
    )
    if status == "DELETE 0":
        await raise_not_changed(connection, table, kind, id, expected_version)


_FOREIGN_KEY = re.compile(r"Key \((?P<column>\w+)\)=\((?P<id>.*)\) is not present in table")
_STILL_USED = re.compile(r"is still referenced from table \"(?P<table>\w+)\"")


def discard(connection: Connection) -> None:
    """End a connection whose state isn't known; an answer that is still to come would be waited for, be it for ever."""
    with suppress(asyncpg.InterfaceError):  # a pool has parted with one that was lost
        connection.terminate()


BROKEN = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What giving back a connection that has broken off may end in, and harms nobody: the pool drops it."""


def translated(error: Exception) -> HopperError | None:
    """The error in the domain's words; None for one that is a bug."""
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        return _foreign_key(error.detail or "")
    for kinds, known in _KNOWN:
        if isinstance(error, kinds):
            return known()
    if isinstance(error, asyncpg.InterfaceError) and any(part in str(error) for part in _OF_A_LOST_CONNECTION):
        return _unreachable()
    if isinstance(error, asyncpg.PostgresError) and getattr(error, "severity_en", None) in _ENDS_THE_CONNECTION:
        return _unreachable()
    return None


_ENDS_THE_CONNECTION = {"FATAL", "PANIC"}
"""Why ever: a full disk, say, keeps a session from starting with an internal error."""

_OF_A_LOST_CONNECTION = ("closed", "closing", "released back to the pool")
"""A pool takes a connection back as soon as it breaks off, from whoever uses it."""


def _foreign_key(detail: str) -> HopperError:
    absent = _FOREIGN_KEY.search(detail)
    if absent:
        column = "depends_on" if absent["column"] == "depends_on_id" else absent["column"]
        return Invalid(column, f"There is nothing with the id {absent['id']!r}.")
    used = _STILL_USED.search(detail)
    return Conflict(f"It can't be removed while {used['table'] if used else 'others'} still refer to it.")


def _unreachable() -> HopperError:
    return Unavailable("The database can't be reached just now. Try again.")


_KNOWN: tuple[tuple[tuple[type[Exception], ...], Callable[[], HopperError]], ...] = (
    (
        (asyncpg.UniqueViolationError,),
        lambda: Conflict("There is one with this id already, or another request has just done the same."),
    ),
    (
        (asyncpg.SerializationError, asyncpg.DeadlockDetectedError),
        lambda: Conflict("Another request changed the same at the same moment. Try again."),
    ),
    (
        (asyncpg.DataError, asyncpg.CharacterNotInRepertoireError),
        lambda: Invalid("request", "It holds a value that can't be stored: a character, a number or a time."),
    ),
    (
        (asyncpg.DiskFullError,),
        lambda: Unavailable("The database's disk is full. Nothing was stored; make room and try again."),
    ),
    (
        (asyncpg.ReadOnlySQLTransactionError,),
        lambda: Unavailable("The database is read-only just now. Nothing was stored."),
    ),
    (
        (
            asyncpg.PostgresConnectionError,
            asyncpg.InvalidAuthorizationSpecificationError,
            asyncpg.InvalidCatalogNameError,
            asyncpg.CannotConnectNowError,
            asyncpg.TooManyConnectionsError,
            asyncpg.AdminShutdownError,
            asyncpg.CrashShutdownError,
            asyncpg.InternalClientError,  # what a connection that broke off at the wrong moment ends in
            ConnectionError,
            TimeoutError,
            FileNotFoundError,
        ),
        _unreachable,
    ),
)
