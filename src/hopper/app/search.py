"""Finding tasks: by their words, by their meaning, or by both."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from hopper.app.evidence import embed_soon, task_vector
from hopper.domain.cursors import seal, unseal
from hopper.domain.errors import Conflict, HopperError, Invalid, Unavailable
from hopper.domain.ids import TaskId
from hopper.domain.query import Mode, Query, parse
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.ports.embedder import Vector
from hopper.ports.repositories import TaskFilter
from hopper.ports.unit_of_work import UnitOfWork
from hopper.routing.fusion import fused
from hopper.routing.likeness import likeness, promising, weights

_ASKED = 16
"""Characters of the hash by which a cursor knows its search."""

_MATCHES = 1_000
_NEIGHBOURS = 200
"""How many tasks a ranker that goes by the query, and one that goes by likeness, may name."""

LEAST_ALIKE = 0.2
"""The cosine below which a task says something else than the query.

Measured with the model that comes along on 1,500 questions to a bank: of the pairs that ask the same, 92% are more
alike; of 25 queries about other things or nothing (volcano, violin, qqqqzzz) and those questions, one in 10,000.
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """A task that was found; `ranks` says by which ranker, and at which of its places.

    `similarity` is the cosine of its vector and the query's, at most 1; None when one of them has none.
    `highlight` is a part of the task with the words that were asked for between « and ».
    """

    task: Task
    highlight: str
    score: float
    ranks: dict[str, int]
    similarity: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of hits. `degraded` when the embedder couldn't be reached: then they were found by words alone."""

    items: tuple[Hit, ...]
    next_cursor: str | None
    degraded: bool


@dataclass(frozen=True, slots=True)
class SimilarTask:
    """A task and the cosine similarity of its vector, at most 1."""

    task: Task
    similarity: float


async def search(
    text: str, mode: Mode, where: TaskFilter, limit: int, cursor: str | None = None, *, ports: Ports
) -> Found:
    """The tasks that the query finds, the best first. Raises Unavailable when only an embedder could find them, and
    Conflict when only vectors could, and none are searched.

    Each ranker names a bounded number of tasks, the same for every page, and their rankings are fused: so a cursor
    goes on where the page before ended.
    """
    query = parse(text)
    vector, degraded = await _vector(query, mode, ports)
    async with ports.searching() as uow:
        alike = await _alike(vector, where, uow, ports.embedder.model)
        ranking = fused(await _rankings(query, mode, alike, where, uow))
        asked = sha256(repr((text, mode, where)).encode()).hexdigest()[:_ASKED]
        page, next_cursor = part(ranking, limit, cursor, asked)
        shown = [id for id, _, _ in page]
        marked = await uow.search.marked(query, shown)
        similarities = await _similarities(vector, shown, uow, ports.embedder.model)
    hits = [Hit(*marked[id], score, ranks, similarities.get(id)) for id, score, ranks in page if id in marked]
    return Found(tuple(hits), next_cursor, degraded)


async def similar_tasks(task_id: TaskId, where: TaskFilter, limit: int, *, ports: Ports) -> tuple[SimilarTask, ...]:
    """The tasks that mean nearly the same, the most alike first.

    Raises Unavailable when there is no vector, and Conflict where none are searched.
    """
    if ports.none_searched:
        raise Conflict(ports.none_searched)
    stored, _ = await task_vector(task_id, ports)
    if stored is None:
        raise Unavailable("The embedder can't be reached, and this task has no vector yet. Try again.")
    async with ports.searching() as uow:
        near = await uow.vectors.similar_tasks(stored.vector, ports.embedder.model, where, limit, exclude=task_id)
        tasks = {task.id: task for task in await uow.tasks.get_many([id for id, _ in near])}
    return tuple(SimilarTask(tasks[id], similarity) for id, similarity in near if id in tasks)


async def _alike(vector: Vector | None, where: TaskFilter, uow: UnitOfWork, model: str) -> tuple[TaskId, ...]:
    """The tasks that mean what the query means, the most alike first."""
    near = () if vector is None else await uow.vectors.similar_tasks(vector, model, where, _NEIGHBOURS)
    return tuple(id for id, similarity in near if similarity >= LEAST_ALIKE)


async def _similarities(
    vector: Vector | None, ids: Sequence[TaskId], uow: UnitOfWork, model: str
) -> dict[TaskId, float]:
    """How alike each of these is, also what only its words have found."""
    found = {} if vector is None else await uow.vectors.similarities(vector, model, ids)
    return {id: min(1.0, similarity) for id, similarity in found.items()}


async def _rankings(
    query: Query, mode: Mode, alike: tuple[TaskId, ...], where: TaskFilter, uow: UnitOfWork
) -> dict[str, tuple[TaskId, ...]]:
    """What each ranker names, the best first; nothing of it has what the query excludes."""
    rankings: dict[str, tuple[TaskId, ...]] = {}
    if mode is not Mode.SEMANTIC:
        rankings["keyword"] = await uow.search.matching(query, where, _MATCHES)
    if mode is Mode.HYBRID:
        rankings["words"] = await _by_words(query, where, uow)
    if alike:
        rankings["semantic"] = alike
    allowed = await uow.search.without(query, list(dict.fromkeys(id for ids in rankings.values() for id in ids)))
    return {ranker: tuple(id for id in ids if id in allowed) for ranker, ids in rankings.items()}


async def _by_words(query: Query, where: TaskFilter, uow: UnitOfWork) -> tuple[TaskId, ...]:
    """The tasks that have any of the words, those first that have most of what matters."""
    said = await uow.search.occurrences(query.wanted, None, where)
    weighed = weights(said.frequencies, said.tasks)
    ids = promising(said.postings, weighed, _NEIGHBOURS)
    wordings = await uow.search.wordings(ids, list(said.asked.words))
    alike = likeness(said.asked, [wording.words for wording in wordings.values()], weighed)
    scores = {id: score or 0.0 for id, score in zip(wordings, alike, strict=True)}
    return tuple(sorted(scores, key=lambda id: (scores[id], id), reverse=True))


async def _vector(query: Query, mode: Mode, ports: Ports) -> tuple[Vector | None, bool]:
    """The query's vector, and whether it is missing because no provider answers; a semantic search can't do without."""
    if mode is Mode.KEYWORD or not query.wanted:
        return None, False
    try:
        vector = await embed_soon(query.wanted, ports)
    except Conflict:
        if mode is Mode.SEMANTIC:
            raise
        return None, False
    except HopperError as error:
        if mode is Mode.SEMANTIC:
            raise Unavailable(
                "The embedder can't be reached, and mode=semantic can't do without. Try again, or use mode=keyword."
            ) from error
        return None, True
    return vector, False


Ranking = Sequence[tuple[TaskId, float, dict[str, int]]]


def part(ranking: Ranking, limit: int, cursor: str | None, asked: str) -> tuple[Ranking, str | None]:
    """A page of a ranking, and the cursor that goes on after it; `asked` tells what the ranking answers."""
    start = _place(cursor, ranking, asked) if cursor else 0
    page = ranking[start : start + limit]
    if start + limit >= len(ranking):
        return page, None
    id, score, _ = page[-1]
    return page, seal(f"{asked}:{score!r}:{id}".encode())


def _place(cursor: str, ranking: Ranking, asked: str) -> int:
    """Where the page after the cursor begins. Raises Invalid for a cursor that this search didn't give out."""
    try:
        of, score, id = unseal(cursor).decode().split(":", 2)
        after = (float(score), id)
    except ValueError:
        raise Invalid("cursor", "This cursor isn't one that a search gave out. Start again without it.") from None
    if of != asked:
        raise Invalid("cursor", "This cursor is of another search. Keep q, mode and filters, or start without it.")
    return sum((score, id) >= after for id, score, _ in ranking)
