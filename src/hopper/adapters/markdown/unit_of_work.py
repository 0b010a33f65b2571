"""One unit of work over a directory of files."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hopper.adapters.markdown.needs_server import NeedsServer
from hopper.adapters.markdown.queue import Subscriptions, enqueue
from hopper.adapters.markdown.schema import is_damage
from hopper.adapters.markdown.session import Session
from hopper.domain.errors import HopperError, Invalid, Unavailable
from hopper.ports.tally import Counted

if TYPE_CHECKING:
    from hopper.adapters.markdown.consolidations import MarkdownConsolidations
    from hopper.adapters.markdown.delegations import MarkdownDelegations
    from hopper.adapters.markdown.episodes import MarkdownEpisodes
    from hopper.adapters.markdown.feedback import MarkdownFeedback
    from hopper.adapters.markdown.graph import MarkdownGraph
    from hopper.adapters.markdown.idempotency import MarkdownIdempotency
    from hopper.adapters.markdown.instances import MarkdownInstances
    from hopper.adapters.markdown.leases import MarkdownLeases
    from hopper.adapters.markdown.origins import MarkdownOrigins
    from hopper.adapters.markdown.patterns import MarkdownPatterns
    from hopper.adapters.markdown.projections import MarkdownProjections
    from hopper.adapters.markdown.queue import MarkdownQueue
    from hopper.adapters.markdown.search import MarkdownSearch
    from hopper.adapters.markdown.tasks import MarkdownTasks
    from hopper.adapters.markdown.text_models import MarkdownTextModels
    from hopper.adapters.markdown.vectors import MarkdownVectors

_ELSEWHERE = {"models", "graph_source", "retention", "sync", "keys", "audit"}
"""What only a server has."""


class MarkdownUnitOfWork:
    """Implements ports.unit_of_work.UnitOfWork.

    The store's lock is taken by the first change, or the first look for an update, and held until the unit ends: units
    that change something follow one another. `followed` says which types of entity each projection hears of.
    """

    tasks: "MarkdownTasks"
    instances: "MarkdownInstances"
    delegations: "MarkdownDelegations"
    leases: "MarkdownLeases"
    episodes: "MarkdownEpisodes"
    patterns: "MarkdownPatterns"
    feedback: "MarkdownFeedback"
    consolidations: "MarkdownConsolidations"
    idempotency: "MarkdownIdempotency"
    origins: "MarkdownOrigins"
    queue: "MarkdownQueue"
    search: "MarkdownSearch"
    vectors: "MarkdownVectors"
    text_models: "MarkdownTextModels"
    models: Any
    projections: "MarkdownProjections"
    sync: Any
    retention: Any
    graph: "MarkdownGraph"
    graph_source: Any
    keys: Any
    audit: Any

    def __init__(self, directory: Path, followed: Subscriptions, committed: Callable[[], None] = lambda: None) -> None:
        self._directory = directory
        self._followed = followed
        self._committed = committed

    async def __aenter__(self) -> Self:
        self._session = session = Session(self._directory, self._followed)
        try:
            await session.open()
        except Exception as error:
            raise (_translated(error) or error) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if is_damage(error):
            await self._session.discard()
        self._session.close()
        if isinstance(error, Exception) and (known := _translated(error)):
            raise known from error

    def __getattr__(self, name: str) -> Any:
        """A repository, loaded when it is first asked for: a command needs two or three of them."""
        if name not in type(self).__annotations__:
            raise AttributeError(name)
        if name in _ELSEWHERE:
            repository: Any = NeedsServer()
        elif name == "projections":
            repository = import_module("hopper.adapters.markdown.projections").MarkdownProjections()
        else:
            module = import_module(f"hopper.adapters.markdown.{name}")
            made = getattr(module, f"Markdown{name.title().replace('_', '')}")
            repository = made(self._session, self._followed) if name == "queue" else made(self._session)
        setattr(self, name, repository)
        return repository

    def count(self, what: Counted, kind: str = "") -> None:
        """Nobody watches over files."""

    async def commit(self) -> None:
        """Write the files, then the index: if that comes to nothing, the next unit takes the files in."""
        connection, changes = self._session.connection, self._session.changes
        if not connection.in_transaction:
            return
        from hopper.adapters.markdown.writing import write

        if changes.paths:
            self._session.place.require_writing()
        enqueue(connection, self._followed, changes.touched)
        write(connection, self._directory, changes.paths)
        with suppress(sqlite3.Error):  # the files are written; the next unit takes them in
            connection.execute("COMMIT")
        self._session.close()
        if changes.touched:
            self._committed()


def _translated(error: Exception) -> HopperError | None:
    """The error in the domain's words; None for one that is a bug."""
    if isinstance(error, UnicodeEncodeError):
        return Invalid("request", "It holds a character that can't be stored.")
    if is_damage(error):
        return Unavailable("The index of the files was damaged; it will be made anew. Nothing was stored; try again.")
    if isinstance(error, sqlite3.DatabaseError | OSError):
        return Unavailable(f"The files or their index can't be used: {error}. Nothing was stored.")
    return None
