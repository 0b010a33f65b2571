"""Collecting what is known about where a task might belong."""

from collections.abc import Sequence
from hashlib import sha256

from hopper.domain.errors import Unavailable
from hopper.domain.instance import Instance
from hopper.domain.task import Task, embedding_text
from hopper.ports import Ports
from hopper.ports.unit_of_work import UnitOfWork
from hopper.ports.vectors import StoredVector
from hopper.routing.evidence import Evidence, distinct
from hopper.routing.patterns import matching
from hopper.routing.recency import WINDOW
from hopper.routing.router import NEIGHBOURS


def content_hash(text: str) -> str:
    """Tells whether a text has changed since it was embedded."""
    return sha256(text.encode()).hexdigest()


async def vector_of(task: Task, stored: StoredVector | None, ports: Ports) -> StoredVector | None:
    """The task's vector as its text is now; None while the provider can't make one."""
    text = embedding_text(task.title, task.description, task.tags)
    digest = content_hash(text)
    if stored and stored.content_hash == digest:
        return stored
    try:
        [vector] = await ports.embedder.embed([text])
    except Unavailable:
        return None
    return StoredVector(vector, digest)


async def gather_evidence(
    task: Task, candidates: Sequence[Instance], vector: StoredVector | None, uow: UnitOfWork, ports: Ports
) -> Evidence:
    """Everything that the router weighs for this task."""
    if not candidates:
        return Evidence()
    similar = await uow.vectors.similar_episodes(vector.vector, ports.embedder.model, NEIGHBOURS) if vector else ()
    return Evidence(
        matches=matching(await uow.patterns.active(), task),
        similar=distinct(similar),
        recent=await uow.episodes.recent_outcomes(WINDOW),
    )
