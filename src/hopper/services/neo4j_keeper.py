"""Keeps an embedded Neo4j running in the background: nothing in Hopper waits for it or ends with it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from hopper.domain.errors import HopperError
from hopper.services.neo4j import Cancelled, EmbeddedNeo4j

_WATCH_SECONDS = 1.0
_LOOK_EVERY = 10
_LONGEST_PAUSE = 60.0
_STOP_SECONDS = 45.0


@dataclass(frozen=True, slots=True)
class GraphConnection:
    """Where a Neo4j is, and who may use it."""

    url: str
    username: str
    password: str = field(repr=False)


class Neo4jKeeper:
    """An embedded Neo4j under `home`, started in a thread, watched, and started again when it has died.

    `tell` hears, in sentences and from that thread, when it is ready, why it isn't, and why starting takes long.
    Nothing is raised: a graph that can't be had is one that isn't ready yet.
    """

    def __init__(self, home: Path, tell: Callable[[str], None]) -> None:
        self._ending = threading.Event()
        self._neo4j = EmbeddedNeo4j(home, progress=tell, cancelled=self._ending.is_set)
        self._tell = tell
        self._told = ""
        self._looks = 0
        self._connection: GraphConnection | None = None
        self._thread = threading.Thread(target=self._keep, name="neo4j", daemon=True)

    def connection(self) -> GraphConnection | None:
        """Where it is; None while it isn't ready. A moment after its death this may still say where it was."""
        return self._connection

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop Neo4j, unless somebody else still uses it; a fetch or a start under way is broken off."""
        self._ending.set()
        self._thread.join(_STOP_SECONDS)

    def _keep(self) -> None:
        pause = 0.0
        while not self._ending.wait(pause):
            pause = _WATCH_SECONDS if self._is_kept() else min(2 * pause + _WATCH_SECONDS, _LONGEST_PAUSE)
        self._connection = None
        try:
            self._neo4j.stop()
        except HopperError as error:
            self._tell(error.message)

    def _is_kept(self) -> bool:
        """Whether Neo4j is ready, after starting it if it wasn't."""
        try:
            if self._connection and self._neo4j.is_running():
                self._mend()
                return True
            if self._connection:
                self._connection = None
                self._say("Neo4j has ended; starting it again. The graph catches up when it is back.")
            self._neo4j.start()
            self._connection = GraphConnection(self._neo4j.url, self._neo4j.username, self._neo4j.password)
            self._say(f"Neo4j is ready at {self._neo4j.url}.")
        except Cancelled:
            return False
        except HopperError as error:
            self._say(f"The graph isn't available: {error.message}")
        except Exception as error:  # whatever it is, the server has to go on
            self._say(f"The graph isn't available: {type(error).__name__}: {error}")
        return self._connection is not None

    def _mend(self) -> None:
        """Now and then see whether it works, and not only runs."""
        self._looks += 1
        if self._looks % _LOOK_EVERY == 0 and self._neo4j.is_broken():
            self._say("Neo4j has stopped working, as it does when its disk was full; starting it again.")
            self._connection = None
            self._neo4j.restart()
            self._connection = GraphConnection(self._neo4j.url, self._neo4j.username, self._neo4j.password)
            self._say(f"Neo4j is ready at {self._neo4j.url}.")

    def _say(self, sentence: str) -> None:
        """Once: a reason that stays the same isn't told with each attempt."""
        if sentence != self._told:
            self._told = sentence
            self._tell(sentence)
