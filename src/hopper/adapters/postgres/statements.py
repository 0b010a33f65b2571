"""Telling of each statement that was sent: its text, whose values are parameters, and never those."""

from collections.abc import Callable
from functools import lru_cache

import asyncpg

from hopper.ports.spans import Spans

_LONGEST = 2_000


def telling(spans: Spans) -> Callable[["asyncpg.connection.LoggedQuery"], None]:
    """What a connection is to call after each statement."""

    def tell(query: "asyncpg.connection.LoggedQuery") -> None:
        operation, attributes = _told(query.query)
        spans.called(operation, attributes, query.elapsed, query.exception)

    return tell


@lru_cache(512)
def _told(statement: str) -> tuple[str, dict[str, str]]:
    text = " ".join(statement.split())
    operation = text.partition(" ")[0].rstrip(";").upper()
    return operation, {"db.system.name": "postgresql", "db.operation.name": operation, "db.query.text": text[:_LONGEST]}
