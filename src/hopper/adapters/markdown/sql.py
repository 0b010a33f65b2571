"""What the repositories share: values in SQLite, filters, cursors, and pages."""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from hopper.domain.cursors import as_moment, seal, unseal
from hopper.domain.errors import Invalid
from hopper.ports.repositories import Page

Row = sqlite3.Row
T = TypeVar("T")

AMONG = "IN (SELECT value FROM json_each({}))"
"""The parameter is a list."""

HAS_ID_PART = "(substr(id, 1, length({0})) = {0} OR substr(id, -length({0})) = {0})"


def bound(value: Any) -> Any:
    """A value as SQLite keeps it: times as texts that sort, what is nested as JSON."""
    if value is None or type(value) in (str, int, float, bytes):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return int(value)
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(type(value))


def moment(stored: str | None) -> Any:
    """A time from the index; None for none."""
    return datetime.fromisoformat(stored) if stored else None


def flag(stored: int | None) -> Any:
    """True, false, or None for unknown."""
    return None if stored is None else bool(stored)


def insert(connection: sqlite3.Connection, table: str, values: Mapping[str, Any]) -> None:
    """Add a row. The names are the repositories' own. Raises sqlite3.IntegrityError for one that is there."""
    columns, places = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", [bound(one) for one in values.values()])


@dataclass(slots=True)
class Where:
    """Conditions of a statement with their parameters.

    The conditions are fixed texts of the repositories with `{}` for a parameter; values only ever become parameters.
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
            numbers.append(f"?{len(self.parameters)}")
        self.conditions.append(condition.format(*numbers))

    def __str__(self) -> str:
        return " AND ".join(self.conditions) or "true"


def as_id(value: Any) -> str:
    """An id in a cursor; people may give longer ones than a server. Raises ValueError for what no row can have."""
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(value)
    return value


def decode_cursor(cursor: str, *types: Callable[[Any], Any]) -> list[Any]:
    """The position in a listing; raises Invalid for anything that no listing gave out."""
    try:
        position = json.loads(unseal(cursor))
        if not isinstance(position, list) or len(position) != len(types):
            raise ValueError(cursor)
        return [kind(value) for kind, value in zip(types, position, strict=True)]
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise Invalid("cursor", "This cursor isn't one that a listing gave out. Start again without it.") from None


def by_time(where: Where, cursor: str | None, column: str, *, newest_first: bool) -> str:
    """Continue after the cursor in a listing by time and id; returns its ORDER BY."""
    if cursor:
        position = decode_cursor(cursor, as_moment, as_id)
        where.add(f"({column}, id) {'<' if newest_first else '>'} ({{}}, {{}})", *position)
    direction = "DESC" if newest_first else "ASC"
    return f"{column} {direction}, id {direction}"


def page(rows: Sequence[Row], limit: int, make: Callable[[Row], T], *columns: str) -> Page[T]:
    """A page from `limit + 1` rows of a listing by these columns and id."""
    items = tuple(make(row) for row in rows[:limit])
    if len(rows) <= limit:
        return Page(items, None)
    last = rows[limit - 1]
    return Page(items, seal(json.dumps([*(last[column] for column in columns), last["id"]]).encode()))
