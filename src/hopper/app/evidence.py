"""Collecting what is known about where a task might belong.

What computes is imported where it is used: who files or edits a task needn't wait for numpy.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

from hopper.domain.episode import SimilarEpisode
from hopper.domain.errors import Conflict, HopperError, Unavailable
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.instance import Scope
from hopper.domain.pattern import PatternSource
from hopper.domain.task import Task, embedding_text
from hopper.ports import Ports
from hopper.ports.circuit import PATIENCE_SECONDS
from hopper.ports.embedder import Vector
from hopper.ports.repositories import Candidate
from hopper.ports.unit_of_work import UnitOfWork
from hopper.ports.vectors import StoredVector, VectorKind
from hopper.routing.evidence import Evidence, distinct
from hopper.routing.patterns import Match, matching

if TYPE_CHECKING:
    from hopper.routing.text_model import TextEvidence


def text_of(task: Task) -> str:
    """The text that a task's vector is made from."""
    return embedding_text(task.title, task.description, task.tags)


def content_hash(text: str) -> str:
    """Tells whether a text has changed since it was embedded."""
    return sha256(text.encode()).hexdigest()


def is_stale(kind: VectorKind, stored_hash: str | None, text: str) -> bool:
    """Whether there is a vector, and of another text.

    An episode's is that of its decision: a task that changed since then doesn't make it stale.
    """
    return kind is not VectorKind.EPISODE and stored_hash not in (None, content_hash(text))


def is_of(vector: StoredVector, task: Task) -> bool:
    """Whether the vector was made from the task's text as it stands here."""
    return vector.content_hash == content_hash(text_of(task))


async def task_vector(task_id: TaskId, ports: Ports) -> tuple[StoredVector | None, bool]:
    """The vector of a task's present text, and whether it was made just now; None if there is none to be had soon."""
    async with ports.reading() as uow:
        text, stored = await uow.vectors.of_task(task_id, ports.embedder.model)
    hashed = content_hash(text)
    if stored and stored.content_hash == hashed:
        return stored, False
    vector = await vector_of(text, ports)
    return (None, False) if vector is None else (StoredVector(vector, hashed), True)


async def vector_of(text: str, ports: Ports) -> Vector | None:
    """A new vector of a text; None while no provider answers."""
    try:
        return await embed_soon(text, ports)
    except HopperError:  # the worker meets it as well, and tells
        return None


async def embed_soon(text: str, ports: Ports) -> Vector:
    """The vector of a text that somebody waits for.

    Raises what `Embedder.embed` raises; Unavailable after two seconds, and at once while the provider is known
    to fail; Conflict where no vectors are searched.
    """
    import asyncio

    if ports.none_searched:
        raise Conflict(ports.none_searched)
    circuit = ports.circuits[ports.embedder.model]
    if not circuit.admits():
        raise Unavailable("The provider of embeddings doesn't answer just now.")
    with circuit.watching():
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                [vector] = await ports.embedder.embed([text])
        except TimeoutError:
            raise Unavailable(f"The provider of embeddings took longer than {PATIENCE_SECONDS:g} seconds.") from None
    return vector


async def gather_evidence(
    task: Task,
    candidates: Mapping[InstanceId, Candidate],
    vector: StoredVector | None,
    uow: UnitOfWork,
    ports: Ports,
    *,
    by: InstanceId | None = None,
) -> Evidence:
    """Everything that the router weighs when `by` decides."""
    import asyncio

    from hopper.routing.recency import WINDOW

    if not candidates:
        return Evidence()
    similar, text = await asyncio.gather(_similar(vector, candidates, uow, ports), _read(task, vector, ports))
    recent = await uow.episodes.recent_outcomes(WINDOW)
    return Evidence(
        matches=await _heeded(matching(await uow.patterns.active(), task), by, uow),
        similar=distinct(similar),
        recent=recent.instances,
        idle=recent.idle(ports.clock.now()),
        text=text,
        degraded=vector is None and not ports.none_searched,
        standings=ports.memory.standings,
        full=await _full(candidates, uow),
        shared=matching(ports.memory.shared, task),
        labels=ports.memory.labels,
    )


async def _heeded(matches: tuple[Match, ...], by: InstanceId | None, uow: UnitOfWork) -> tuple[Match, ...]:
    """Without the rules of keys that are bound elsewhere: those count for what is decided where they are bound."""
    if not any(_bound_to(match) for match in matches):
        return matches
    above = {instance.id for instance in await uow.instances.hierarchy(by)} if by else set()
    return tuple(match for match in matches if (_bound_to(match) or by) in {by, *above})


def _bound_to(match: Match) -> InstanceId | None:
    return match.pattern.source_instance_id if match.pattern.source is PatternSource.MANUAL else None


async def _full(candidates: Mapping[InstanceId, Candidate], uow: UnitOfWork) -> Mapping[InstanceId, int]:
    """Who of these holds all the open tasks that they take. Nothing is asked where nobody has a limit."""
    limits = {id: candidate.capacity for id, candidate in candidates.items() if candidate.capacity is not None}
    held = await uow.instances.open_tasks(list(limits)) if limits else {}
    return {id: capacity for id, capacity in limits.items() if held[id] >= capacity}


async def _similar(
    vector: StoredVector | None, candidates: Mapping[InstanceId, Candidate], uow: UnitOfWork, ports: Ports
) -> tuple[SimilarEpisode, ...]:
    from hopper.routing.neighbours import NEIGHBOURS

    if vector is None:
        return ()
    scopes = frozenset[Scope]().union(*(candidate.scopes for candidate in candidates.values()))
    return await uow.vectors.similar_episodes(vector.vector, ports.embedder.model, scopes, NEIGHBOURS)


async def _read(task: Task, vector: StoredVector | None, ports: Ports) -> "TextEvidence | None":
    """What the text model says; only computing, done while the database looks for neighbours."""
    from hopper.routing.text_model import read

    model = ports.memory.text_model
    return read(task, vector.vector if vector else None, model, ports.embedder.model) if model else None
