"""A client with the methods of the one for servers, which answers from a directory by itself."""

from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson

from hopper.adapters.http.api import Api, Entity, Query
from hopper.bootstrap_local import open_local, unread_files
from hopper.domain.errors import Unavailable
from hopper.entrypoints.local.calls import Call
from hopper.entrypoints.local.routes import ROUTES, file_task

if TYPE_CHECKING:
    from hopper.domain.task import Task

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def without_waiting(work: Coroutine[Any, Any, Any]) -> Any:
    """What listing or filing comes to: they wait for nothing but the disk, so they need no event loop to be loaded."""
    try:
        work.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("It waits for something.")


class LocalClient(Api):
    """The instance in `directory`; paths, bodies and answers are those of the API below /api/v1."""

    page_size = 1_000_000  # each page is a look at all files

    def __init__(self, directory: Path, tell: Callable[[str], None], run: Run | None = None) -> None:
        """`tell` hears of what can't be understood; `run` does what is to be done, by itself an event loop."""
        self.address = str(directory)
        self._directory = directory
        self._tell = tell
        self.ports = open_local(directory)
        self._runner = None
        if run is None:
            import asyncio

            self._runner = asyncio.Runner()
            run = self._runner.run
        self._run = run

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner:
            self._runner.close()
        if self.ports.memory.unheeded:
            self._tell(self.ports.memory.unheeded)
        for unread in unread_files(self._directory):
            self._tell(f"{self._directory / unread.path}:{unread.line}: {unread.problem}. It is left alone.")

    def get(self, path: str, **query: Query) -> Any:
        return self._answer("GET", path, query)

    def create(self, path: str, body: Entity) -> Any:
        return self._answer("POST", path, {}, body)

    def post(
        self, path: str, body: Entity | None = None, *, repeatable: bool = False, long: bool = False, **query: Query
    ) -> Any:
        return self._answer("POST", path, query, body)

    def put(self, path: str, body: Entity) -> Any:
        return self._answer("PUT", path, {}, body)

    def patch(self, path: str, body: Entity, *, version: int | None = None) -> Any:
        return self._answer("PATCH", path, {}, body, version)

    def delete(self, path: str) -> Any:
        return self._answer("DELETE", path, {})

    def own_key(self) -> None:
        """Whoever may write the files may do all."""

    def import_lines(self, lines: Iterable[bytes], *, atomic: bool = False, dry_run: bool = False) -> Entity:
        report: Entity = self._answer("POST", "/tasks/bulk", {"atomic": atomic, "dry_run": dry_run}, lines)
        return report

    def _needs_server(self) -> Unavailable:
        return Unavailable(
            f"The local instance in {self.address} can't do this: it takes a server. "
            "Name one with --server or HOPPER_SERVER."
        )

    def _answer(
        self, method: str, path: str, query: dict[str, Query], body: Any = None, version: int | None = None
    ) -> Any:
        found = ROUTES.find(method, path)
        if found is None:
            raise self._needs_server()
        answer, id = found
        asked = {name: value for name, value in query.items() if value is not None}
        call = Call(self.ports, unquote(id), asked, body, version)
        return self._as_json(answer(call))

    def file(self, task: "Task") -> Entity:
        """File a task that is known to be right, and neither routed nor compared with others."""
        filed: Entity = self._as_json(file_task(task, self.ports))
        return filed

    def _as_json(self, work: Coroutine[Any, Any, Any]) -> Any:
        return orjson.loads(orjson.dumps(self._run(work)))
