"""Finding out whether a task was filed before, and filing it with that in mind.

One score serves it all: the mean of three likenesses, from 0 to 1 (`domain.duplicate.Likeness`, ADR 0025). Only
open tasks count: what is done may well come up again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hopper.app.evidence import text_of, vector_of
from hopper.app.lifecycle import create_task
from hopper.app.retry import Retry
from hopper.domain.duplicate import Duplicate, DuplicateTask, Likeness, OnDuplicate
from hopper.domain.ids import TaskId
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.ports.embedder import Vector
from hopper.ports.repositories import TaskFilter
from hopper.ports.search import NOTHING_SHARED
from hopper.ports.unit_of_work import UnitOfWork
from hopper.routing.likeness import likeness, promising, weights

LIKELY = 0.5
"""From this score on a task is told of."""

SURE = 0.8
"""From this score on a task is rejected or linked: it says the same, save a few words."""

_TOLD = 5
_CANDIDATES = 60
"""Tasks that are compared for the sake of their words, their title's words, and their meaning: so many each."""

_OPEN = TaskFilter(is_open=True)


async def file_task(
    task: Task, on_duplicate: OnDuplicate, *, ports: Ports, retry: Retry | None = None
) -> tuple[Task, tuple[Duplicate, ...]]:
    """File a task and tell which ones it probably repeats, the likeliest first.

    One that is surely there already is, as asked, refused (raises DuplicateTask) or linked to that one. Two that are
    filed at the same moment don't see each other.
    """
    earlier = await _filed_before(task, ports, retry) if retry else None
    if earlier:
        return earlier, await likely_duplicates(earlier, ports=ports)
    found = await likely_duplicates(task, ports=ports)
    sure = [duplicate for duplicate in found if duplicate.score >= SURE]
    if sure and on_duplicate is OnDuplicate.REJECT:
        raise DuplicateTask(sure)
    if sure and on_duplicate is OnDuplicate.LINK:
        task = replace(task, duplicate_of=sure[0].duplicate_of or sure[0].task_id)
    return await create_task(task, ports=ports, retry=retry), found


async def likely_duplicates(task: Task, *, ports: Ports) -> tuple[Duplicate, ...]:
    """The open tasks that the task probably repeats, the likeliest first."""
    return tuple(found for found in await most_alike(task, _TOLD, ports=ports) if found.score >= LIKELY)


async def most_alike(task: Task, limit: int, *, ports: Ports) -> tuple[Duplicate, ...]:
    """The open tasks that are most like the task, whether or not it is stored."""
    vector = await vector_of(text_of(task), ports)  # without one, words alone count
    async with ports.searching() as uow:
        likenesses = await _compared(task, vector, uow, ports.embedder.model)
        best = sorted(likenesses, key=lambda id: (likenesses[id].score, id), reverse=True)[:limit]
        tasks = {found.id: found for found in await uow.tasks.get_many(best)}
    return tuple(_duplicate(tasks[id], likenesses[id]) for id in best if id in tasks)


async def _compared(task: Task, vector: Vector | None, uow: UnitOfWork, model: str) -> dict[TaskId, Likeness]:
    """The tasks that share words or meaning with the task, and how much."""
    said = await uow.search.occurrences(task.title, task.description, _OPEN)
    weighed = weights(said.frequencies, said.tasks)
    near: Sequence[tuple[TaskId, float]] = ()
    if vector is not None:
        near = await uow.vectors.similar_tasks(vector, model, _OPEN, _CANDIDATES, exclude=task.id)
    by_words = promising(said.postings, weighed, _CANDIDATES)
    by_title = promising({word: said.postings[word] for word in said.title.words}, weighed, _CANDIDATES)
    ids = [id for id in dict.fromkeys([*by_words, *by_title, *(id for id, _ in near)]) if id != task.id]
    meanings = dict(near)
    if vector is not None:
        meanings |= await uow.vectors.similarities(vector, model, [id for id in ids if id not in meanings])
    wordings = await uow.search.wordings(ids, list(said.asked.words))
    texts = [wordings.get(id, NOTHING_SHARED) for id in ids]
    words = likeness(said.asked, [text.words for text in texts], weighed)
    titles = likeness(said.title, [text.title for text in texts], weighed)
    return {
        id: Likeness(words=word, title=title, meaning=_share(meanings, id))
        for id, word, title in zip(ids, words, titles, strict=True)
    }


def _share(meanings: Mapping[TaskId, float], id: TaskId) -> float | None:
    return max(0.0, meanings[id]) if id in meanings else None


async def _filed_before(task: Task, ports: Ports, retry: Retry) -> Task | None:
    """The task that the first try made."""
    async with ports.unit_of_work() as uow:  # undone at its end: the key is claimed when the task is filed
        earlier = await uow.idempotency.begin(retry.key, retry.fingerprint, task.id, ports.clock.now())
        return await uow.tasks.get(earlier) if earlier else None


def _duplicate(task: Task, alike: Likeness) -> Duplicate:
    return Duplicate(
        task_id=task.id,
        title=task.title,
        status=task.status,
        duplicate_of=task.duplicate_of,
        score=alike.score,
        words=alike.words,
        title_words=alike.title,
        meaning=alike.meaning,
    )
