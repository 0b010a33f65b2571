"""Wires a local instance's adapters to ports. Imports little: a command is waited for by a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopper.adapters.clock import SystemClock
from hopper.adapters.markdown.schema import Unread
from hopper.adapters.markdown.unit_of_work import MarkdownUnitOfWork
from hopper.adapters.markdown.upkeep import FileIntake, FileTurns, NoVectorIndexes
from hopper.ports import Ports
from hopper.ports.embedder import Embedder, Vector
from hopper.ports.vectors import VectorKind
from hopper.routing.policy import Policy

if TYPE_CHECKING:
    from hopper.ports.teaching import TeachingState

LOCAL_SUBSCRIPTIONS: Mapping[str, Mapping[str, str]] = {"embedding": {kind.value: kind.value for kind in VectorKind}}
"""As app.projections.SUBSCRIPTIONS, without the graph."""


@dataclass(slots=True)
class LazyEmbedder:
    """The offline embedder, which is imported when it is needed."""

    model: str = "wordllama-256"
    dimension: int = 256
    _made: Embedder | None = None

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        if self._made is None:
            from hopper.adapters.embeddings.wordllama import WordLlamaEmbedder

            self._made = WordLlamaEmbedder(self.dimension)
        return await self._made.embed(texts)


def open_local(directory: Path) -> Ports:
    """Hopper over a local instance's directory (that which holds `tasks/`), with nothing in the background.

    Nothing is opened before the first unit of work, and nothing has to be closed.
    """

    def unit_of_work() -> MarkdownUnitOfWork:
        return MarkdownUnitOfWork(directory, LOCAL_SUBSCRIPTIONS)

    def teaching() -> "TeachingState":
        from hopper.adapters.markdown.teaching_state import FileTeachingState

        return FileTeachingState(directory)

    return Ports(
        unit_of_work=unit_of_work,
        reading=unit_of_work,
        searching=unit_of_work,
        intake=FileIntake(unit_of_work),
        embedder=LazyEmbedder(),
        vector_indexes=NoVectorIndexes(),
        turns=FileTurns(directory),
        clock=SystemClock(),
        policy=Policy(),
        teaching=teaching,
    )


def make_local(directory: Path, instance: Mapping[str, Any]) -> bool:
    """Make a local instance in a directory; False when there is one. `instance` has its `id`, `name` and `scope`."""
    from hashlib import sha256

    from hopper.adapters.markdown.emit import block
    from hopper.adapters.markdown.journal import Change, apply
    from hopper.adapters.markdown.layout import ATTRIBUTES, BOTH_SIDES, CONFIG, TASKS, is_instance

    if is_instance(directory):
        return False
    config = directory / CONFIG
    there = config.read_bytes() if config.exists() else None  # other settings
    others = there.rstrip(b"\n") + b"\n" if there else b""
    before = None if there is None else sha256(there).hexdigest()
    if not (directory / ATTRIBUTES).exists():
        apply(directory, [Change(ATTRIBUTES, None, BOTH_SIDES)])
    apply(directory, [Change(CONFIG, before, others + block({"instance": instance}).encode())])
    (directory / TASKS).mkdir(exist_ok=True)
    return True


def unread_files(directory: Path) -> tuple[Unread, ...]:
    """The files that couldn't be understood when the last command looked, with line and problem."""
    from hopper.adapters.markdown.schema import unread

    return unread(directory)
