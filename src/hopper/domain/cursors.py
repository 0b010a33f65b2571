"""Cursors on the wire: a position, sealed so that a URL can carry it and nobody is tempted to write one."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any


def seal(position: bytes) -> str:
    return urlsafe_b64encode(position).decode().rstrip("=")


def unseal(cursor: str) -> bytes:
    """Raises ValueError for what can't have been sealed; what comes out may still be anything."""
    return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))


def as_moment(value: Any) -> datetime:
    """A time in a cursor. Raises ValueError, TypeError or OverflowError for what no row can have."""
    moment = datetime.fromisoformat(value).astimezone(UTC)
    if not 1900 <= moment.year < 2200:
        raise ValueError(value)
    return moment


def as_urgency(value: Any) -> int:
    """A task's urgency in a cursor. Raises ValueError for what no row can have."""
    if value not in range(1, 6):
        raise ValueError(value)
    return int(value)


def as_id(value: Any) -> str:
    """An id in a cursor. Raises ValueError for what no row can have."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > 36:
        raise ValueError(value)
    return value
