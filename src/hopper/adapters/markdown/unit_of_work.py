"""One unit of work over a directory of files."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hopper.adapters.markdown.consolidations import MarkdownConsolidations
from hopper.adapters.markdown.delegations import MarkdownDelegations
from hopper.adapters.markdown.episodes import MarkdownEpisodes
from hopper.adapters.markdown.feedback import MarkdownFeedback
from hopper.adapters.markdown.graph import MarkdownGraph
from hopper.adapters.markdown.idempotency import MarkdownIdempotency
from hopper.adapters.markdown.instances import MarkdownInstances
from hopper.adapters.markdown.leases import MarkdownLeases
from hopper.adapters.markdown.needs_server import NeedsServer
from hopper.adapters.markdown.origins import MarkdownOrigins
from hopper.adapters.markdown.patterns import MarkdownPatterns
from hopper.adapters.markdown.projections import MarkdownProjections
from hopper.adapters.markdown.queue import MarkdownQueue, Subscriptions, enqueue
from hopper.adapters.markdown.search import MarkdownSearch
from hopper.adapters.markdown.session import Session
from hopper.adapters.markdown.tasks import MarkdownTasks
from hopper.adapters.markdown.text_models import MarkdownTextModels
from hopper.adapters.markdown.vectors import MarkdownVectors
from hopper.adapters.markdown.writing import write
from hopper.domain.errors import HopperError, Invalid, Unavailable


class MarkdownUnitOfWork:
    """Implements ports.unit_of_work.UnitOfWork.

    The store's lock is taken by the first change, or the first look for an update, and held until the unit ends: units
    that change something follow one another. `followed` says which types of entity each projection hears of.
    """

    tasks: MarkdownTasks
    instances: MarkdownInstances
    delegations: MarkdownDelegations
    leases: MarkdownLeases
    episodes: MarkdownEpisodes
    patterns: MarkdownPatterns
    feedback: MarkdownFeedback
    consolidations: MarkdownConsolidations
    idempotency: MarkdownIdempotency
    origins: MarkdownOrigins
    queue: MarkdownQueue
    search: MarkdownSearch
    vectors: MarkdownVectors
    text_models: MarkdownTextModels
    models: Any
    projections: MarkdownProjections
    sync: Any
    graph: MarkdownGraph
    graph_source: Any

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
        self.tasks = MarkdownTasks(session)
        self.instances = MarkdownInstances(session)
        self.delegations = MarkdownDelegations(session)
        self.leases = MarkdownLeases(session)
        self.episodes = MarkdownEpisodes(session)
        self.patterns = MarkdownPatterns(session)
        self.feedback = MarkdownFeedback(session)
        self.consolidations = MarkdownConsolidations(session)
        self.idempotency = MarkdownIdempotency(session)
        self.origins = MarkdownOrigins(session)
        self.queue = MarkdownQueue(session, self._followed)
        self.vectors = MarkdownVectors(session)
        self.text_models = MarkdownTextModels(session)
        self.search = MarkdownSearch(session)
        self.graph = MarkdownGraph(session)
        self.projections = MarkdownProjections()
        self.models = self.graph_source = self.sync = NeedsServer()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()
        if isinstance(error, Exception) and (known := _translated(error)):
            raise known from error

    async def commit(self) -> None:
        """Write the files, then the index: if that comes to nothing, the next unit takes the files in."""
        connection, changes = self._session.connection, self._session.changes
        if not connection.in_transaction:
            return
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
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return Unavailable("The index of the files is damaged. Remove the folder .index beside them, and try again.")
    if isinstance(error, sqlite3.OperationalError | OSError):
        return Unavailable(f"The files or their index can't be used: {error}. Nothing was stored.")
    return None
