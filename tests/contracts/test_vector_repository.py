"""Vectors in a store: kept by entity and model, and the nearest past decisions found by them."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.builders import NOW, a_pattern, a_task, an_episode, an_instance, feedback_on
from tests.contracts.working import add

from hopper.domain.episode import SimilarEpisode
from hopper.domain.errors import NotFound
from hopper.domain.ids import EpisodeId
from hopper.domain.instance import Scope
from hopper.domain.pattern import Criteria, PatternType
from hopper.domain.task import Priority, TaskStatus, embedding_text
from hopper.ports.embedder import Vector
from hopper.ports.repositories import TaskFilter
from hopper.ports.unit_of_work import UnitOfWork
from hopper.ports.vectors import EmbeddingSource, StoredVector, VectorKind

MODEL = "test-4"
EVERYTHING = TaskFilter()


@pytest.fixture
async def uow(uow: UnitOfWork) -> UnitOfWork:
    """With the instances that the episodes are about."""
    await add(uow, an_instance("a"), an_instance("b"))
    return uow


def vector(*numbers: float) -> Vector:
    return np.array(numbers, dtype=np.float32)


def at_angle(degrees: float) -> Vector:
    """A unit vector so many degrees from ASKED."""
    return vector(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0, 0)


ASKED = at_angle(0)


async def put(uow: UnitOfWork, kind: VectorKind, id: str, value: Vector, digest: str = "h", model: str = MODEL) -> None:
    await uow.vectors.put(kind, model, {id: StoredVector(value, digest)})


async def got(uow: UnitOfWork, kind: VectorKind, id: str, model: str = MODEL) -> tuple[list[float], str] | None:
    stored = await uow.vectors.get(kind, id, model)
    return (stored.vector.tolist(), stored.content_hash) if stored else None


async def remember(uow: UnitOfWork, id: EpisodeId, value: Vector, model: str = MODEL, **outcome: object) -> None:
    """An episode of that id, with its vector and the task `t-<id>`."""
    await add(uow, a_task(id=f"t-{id}"), an_episode(f"t-{id}", "a", id=id, **outcome))
    await put(uow, VectorKind.EPISODE, id, value, model=model)


async def nearest(uow: UnitOfWork, value: Vector = ASKED, limit: int = 10) -> list[str]:
    return [found.episode_id for found in await uow.vectors.similar_episodes(value, MODEL, Scope, limit)]


async def similar(
    uow: UnitOfWork, where: TaskFilter = EVERYTHING, limit: int = 10, exclude: str | None = None
) -> list[str]:
    return [id for id, _ in await uow.vectors.similar_tasks(ASKED, MODEL, where, limit, exclude)]


@pytest.mark.parametrize("kind", VectorKind)
async def test_a_vector_comes_back_as_it_was_put(kind: VectorKind, uow: UnitOfWork) -> None:
    """Similarity would be computed from other numbers than the model gave."""
    await add(uow, a_task(id="x"), an_episode("x", id="x"), a_pattern(id="x"))
    value = vector(0.1, -0.2, 1 / 3, 1e-7)
    assert await got(uow, kind, "x") is None
    await put(uow, kind, "x", value)
    assert await got(uow, kind, "x") == (value.tolist(), "h")


async def test_kinds_and_models_are_kept_apart(uow: UnitOfWork) -> None:
    """While a server changes to another model, vectors of both would be mixed up."""
    await add(uow, a_task(id="x"), an_episode("x", id="x"))
    await put(uow, VectorKind.TASK, "x", vector(1, 0, 0, 0), "one")
    await put(uow, VectorKind.EPISODE, "x", vector(0, 1, 0, 0), "two")
    await put(uow, VectorKind.TASK, "x", vector(0, 0, 1), "three", model="other-3")
    assert await got(uow, VectorKind.TASK, "x") == ([1, 0, 0, 0], "one")
    assert await got(uow, VectorKind.EPISODE, "x") == ([0, 1, 0, 0], "two")
    assert await got(uow, VectorKind.TASK, "x", "other-3") == ([0, 0, 1], "three")


async def test_a_vector_of_a_changed_text_replaces_the_old_one(uow: UnitOfWork) -> None:
    """An edited task would be routed by its old text."""
    await add(uow, a_task(id="x"), a_task(id="y"))
    await put(uow, VectorKind.TASK, "x", vector(1, 0, 0, 0), "old")
    new = StoredVector(vector(0, 1, 0, 0), "new")
    await uow.vectors.put(VectorKind.TASK, MODEL, {"y": new, "x": new})
    assert await got(uow, VectorKind.TASK, "x") == await got(uow, VectorKind.TASK, "y") == ([0, 1, 0, 0], "new")


async def test_vectors_of_what_has_gone_are_passed_over(uow: UnitOfWork) -> None:
    """One task that is deleted while a batch is embedded would make the whole batch fail."""
    await add(uow, a_task(id="x"))
    stored = StoredVector(ASKED, "h")
    await uow.vectors.put(VectorKind.TASK, MODEL, {"gone": stored, "x": stored})
    await uow.vectors.put(VectorKind.EPISODE, MODEL, {"gone": stored})
    await uow.vectors.put(VectorKind.TASK, MODEL, {})
    assert await got(uow, VectorKind.TASK, "x") is not None
    assert await got(uow, VectorKind.TASK, "gone") is None
    assert await got(uow, VectorKind.EPISODE, "gone") is None


async def test_a_vector_goes_with_its_task(uow: UnitOfWork) -> None:
    """What was deleted would go on teaching."""
    await remember(uow, "e", ASKED, outcome_instance="a")
    await put(uow, VectorKind.TASK, "t-e", ASKED)
    assert await nearest(uow) == ["e"]
    await uow.tasks.delete("t-e")
    assert await nearest(uow) == []
    assert await got(uow, VectorKind.TASK, "t-e") is None
    assert await got(uow, VectorKind.EPISODE, "e") is None


async def test_sources_are_the_texts_as_they_are_now(uow: UnitOfWork) -> None:
    """An edited task would be embedded with its old text, or an unchanged one again and again."""
    task = a_task("Lost", id="t", description="My card.", tags={"cards": True})
    await add(uow, task, an_episode("t", id="e"), an_episode(None, id="no task"))
    text = embedding_text("Lost", "My card.", {"cards": True})
    assert await uow.vectors.sources(VectorKind.TASK, ["t", "gone"], MODEL) == {"t": EmbeddingSource(text, None)}
    of_episodes = await uow.vectors.sources(VectorKind.EPISODE, ["e", "no task", "gone"], MODEL)
    assert of_episodes == {"e": EmbeddingSource(text, None)}
    await put(uow, VectorKind.TASK, "t", ASKED, "h1")
    await put(uow, VectorKind.EPISODE, "e", ASKED, "h2")
    await uow.tasks.update(a_task("Found", id="t"))
    text = embedding_text("Found", None, {})
    assert await uow.vectors.sources(VectorKind.TASK, ["t"], MODEL) == {"t": EmbeddingSource(text, "h1")}
    assert await uow.vectors.sources(VectorKind.EPISODE, ["e"], MODEL) == {"e": EmbeddingSource(text, "h2")}
    assert await uow.vectors.sources(VectorKind.TASK, ["t"], "other") == {"t": EmbeddingSource(text, None)}
    assert await uow.vectors.sources(VectorKind.TASK, [], MODEL) == {}


async def test_the_source_of_a_pattern_is_what_it_asks_for(uow: UnitOfWork) -> None:
    """A pattern would be found by what it refuses, or be embedded again with every decision that it carries."""
    pattern = a_pattern(
        id="p",
        name="Lost cards",
        pattern_type=PatternType.COMBINED,
        tag_criteria=Criteria(any=("cards", "area=abroad"), none=("spam",)),
        text_criteria=Criteria(any=("lost",), all=("my card",), none=("found",)),
    )
    await add(uow, pattern)
    text = "Lost cards\n\nlost, my card\nTags: cards, area"
    assert await uow.vectors.sources(VectorKind.PATTERN, ["p", "gone"], MODEL) == {"p": EmbeddingSource(text, None)}
    await put(uow, VectorKind.PATTERN, "p", ASKED, "h1")
    await uow.patterns.update(replace(pattern, usage_count=7, success_count=5, confidence=0.9, last_used_at=NOW))
    assert await uow.vectors.sources(VectorKind.PATTERN, ["p"], MODEL) == {"p": EmbeddingSource(text, "h1")}


async def test_the_most_alike_tasks_come_first_with_their_similarity(uow: UnitOfWork) -> None:
    """Who looks for a duplicate would be shown tasks that have little to do with it, or the task itself."""
    for degrees in (60, 10, 120, 30):
        await add(uow, a_task(id=f"t{degrees}"))
        await put(uow, VectorKind.TASK, f"t{degrees}", 3 * at_angle(degrees))
    found = await uow.vectors.similar_tasks(ASKED, MODEL, TaskFilter(), 10)
    assert [id for id, _ in found] == ["t10", "t30", "t60", "t120"]
    assert [alike for _, alike in found] == pytest.approx([math.cos(math.radians(n)) for n in (10, 30, 60, 120)])
    assert await similar(uow, limit=2) == ["t10", "t30"]
    assert await similar(uow, exclude="t10") == ["t30", "t60", "t120"]
    assert await uow.vectors.similar_tasks(ASKED, "other-4", TaskFilter(), 10) == ()
    assert await uow.vectors.similar_tasks(vector(0, 0, 0, 0), MODEL, TaskFilter(), 10) == ()


@pytest.mark.parametrize(
    "where",
    [
        TaskFilter(status=TaskStatus.DONE),
        TaskFilter(priority=Priority.HIGH),
        TaskFilter(project="p"),
        TaskFilter(instance_id="i"),
        TaskFilter(tag="cards"),
        TaskFilter(tag="area=abroad"),
        TaskFilter(source="s"),
        TaskFilter(parent_task_id="other"),
        TaskFilter(id_part="wanted"),
        TaskFilter(status=TaskStatus.DONE, tag="cards", project="p"),
    ],
)
async def test_similar_tasks_heed_every_filter(where: TaskFilter, uow: UnitOfWork) -> None:
    """Tasks of other projects or people would stand in an answer that was asked for one."""
    fields: dict[str, Any] = {
        "status": TaskStatus.DONE,
        "priority": Priority.HIGH,
        "project": "p",
        "instance_id": "i",
        "tags": {"cards": True, "area": "abroad"},
        "source": "s",
        "parent_task_id": "other",
    }
    await add(uow, an_instance("i"), a_task(id="other"), a_task(id="wanted", **fields), a_task(id="wordless", **fields))
    await put(uow, VectorKind.TASK, "other", at_angle(1))
    await put(uow, VectorKind.TASK, "wanted", at_angle(50))
    await put(uow, VectorKind.TASK, "wordless", vector(0, 0, 0, 0))
    assert await similar(uow, where=where) == ["wanted"]


async def test_only_active_patterns_are_similar(uow: UnitOfWork) -> None:
    """A rule that was switched off would go on being suggested."""
    for degrees, active in ((20, True), (10, True), (0, False)):
        await add(uow, a_pattern(id=f"p{degrees}", is_active=active))
        await put(uow, VectorKind.PATTERN, f"p{degrees}", at_angle(degrees))
    found = await uow.vectors.similar_patterns(ASKED, MODEL, 10)
    assert [id for id, _ in found] == ["p10", "p20"]
    assert found[0][1] == pytest.approx(math.cos(math.radians(10)))
    assert await uow.vectors.similar_patterns(vector(0, 0, 0, 0), MODEL, 10) == ()


async def test_the_most_alike_comes_first(uow: UnitOfWork) -> None:
    """A task would be routed by past cases that have little to do with it."""
    for degrees in (60, 10, 120, 30):
        await remember(uow, f"e{degrees}", 3 * at_angle(degrees), outcome_instance="a")
    found = await uow.vectors.similar_episodes(ASKED, MODEL, Scope, 10)
    assert [episode.episode_id for episode in found] == ["e10", "e30", "e60", "e120"]
    alike = [episode.similarity for episode in found]
    assert alike == pytest.approx([math.cos(math.radians(degrees)) for degrees in (10, 30, 60, 120)], abs=1e-6)
    assert await nearest(uow, limit=2) == ["e10", "e30"]


async def test_only_decisions_with_a_known_outcome_are_found(uow: UnitOfWork) -> None:
    """Hopper would learn from its own guesses before anybody said whether they were right."""
    await remember(uow, "unknown", at_angle(0))
    await remember(uow, "wrong", at_angle(1), outcome_success=False)
    await remember(uow, "right", at_angle(2), outcome_success=True, outcome_instance="a")
    await remember(uow, "placed by a person", at_angle(3), outcome_instance="b")
    assert await nearest(uow) == ["wrong", "right", "placed by a person"]
    assert await nearest(uow, limit=1) == ["wrong"]


async def test_vectors_of_other_models_are_not_compared(uow: UnitOfWork) -> None:
    """While a server changes to another model, likeness would be judged across models that have nothing in common."""
    await remember(uow, "e", ASKED, outcome_instance="a")
    await remember(uow, "other", ASKED, model="other-4", outcome_instance="a")
    await remember(uow, "shorter", vector(1, 0), model="other-2", outcome_instance="a")
    assert await nearest(uow) == ["e"]


async def test_a_similar_episode_tells_what_the_router_weighs(uow: UnitOfWork) -> None:
    """What a person confirmed would count no more than what was merely done, or rework no less."""
    said: dict[str, dict[str, Any]] = {
        "silent": {},
        "praised": {"was_good_match": True},
        "blamed": {"was_good_match": False},
        "corrected": {"should_have_routed_to": "b"},
        "reworked": {"required_rework": True},
        "rated": {"complexity_rating": 3, "quality_score": 0.5, "required_rework": False},
    }
    for degrees, id in enumerate(said):
        await remember(uow, id, at_angle(degrees), outcome_instance="b", outcome_success=False)
        if said[id]:
            await add(uow, feedback_on(f"t-{id}", **said[id]))
    found = await uow.vectors.similar_episodes(ASKED, MODEL, Scope, 10)
    assert [episode.episode_id for episode in found] == [*said]
    assert [episode.episode_id for episode in found if episode.confirmed] == ["praised", "blamed", "corrected"]
    assert [episode.episode_id for episode in found if episode.required_rework] == ["reworked"]
    silent = found[0]
    assert (silent.task_id, silent.chosen_instance, silent.outcome_instance) == ("t-silent", "a", "b")


async def test_an_episode_without_a_task_is_found_too(uow: UnitOfWork) -> None:
    """What another machine learned would never be used."""
    await add(uow, an_episode(None, "a", id="e", outcome_instance="a"))
    await put(uow, VectorKind.EPISODE, "e", ASKED)
    [found] = await uow.vectors.similar_episodes(ASKED, MODEL, Scope, 10)
    assert found == SimilarEpisode(
        episode_id="e",
        task_id=None,
        chosen_instance="a",
        outcome_instance="a",
        confirmed=False,
        required_rework=False,
        similarity=found.similarity,
        vector=ASKED,
    )


async def test_a_text_without_any_known_word_is_like_nothing(uow: UnitOfWork) -> None:
    """A title in an unknown script would make every decision's confidence “not a number”."""
    nothing = vector(0, 0, 0, 0)
    await remember(uow, "e", at_angle(10), outcome_instance="a")
    await remember(uow, "wordless", nothing, outcome_instance="b")
    assert await nearest(uow, nothing) == []
    found = await uow.vectors.similar_episodes(ASKED, MODEL, Scope, 10)
    assert all(math.isfinite(episode.similarity) for episode in found)
    assert found[0].episode_id == "e"


async def test_a_task_comes_with_its_text_and_the_vector_that_it_has(uow: UnitOfWork) -> None:
    """A decision would go by the vector of an older text, or embed again what is embedded."""
    now = embedding_text("Stale bread", "again", {"shop": "bakery"})
    await add(uow, a_task("Stale bread", id="t", description="again", tags={"shop": "bakery"}))
    assert await uow.vectors.of_task("t", MODEL) == (now, None)
    await put(uow, VectorKind.TASK, "t", ASKED, digest="of an older text")
    text, stored = await uow.vectors.of_task("t", MODEL)
    assert stored is not None
    assert (text, stored.content_hash) == (now, "of an older text")
    assert stored.vector.tolist() == ASKED.tolist()
    assert (await uow.vectors.of_task("t", "another"))[1] is None
    with pytest.raises(NotFound):
        await uow.vectors.of_task("gone", MODEL)
