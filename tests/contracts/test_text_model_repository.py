"""The text model in a store, and the outcomes that it is learned from."""

from typing import Any

import numpy as np
import pytest
from tests.builders import a_task, an_episode, an_instance, later
from tests.contracts.working import UnitOfWorkFactory, add

from hopper.app.projections import EMBEDDING
from hopper.domain.decision import Alternative, Strategy
from hopper.domain.episode import Episode
from hopper.domain.training import TrainingExample, Verdict
from hopper.ports.text_models import Learned, Mark
from hopper.ports.unit_of_work import UnitOfWork
from hopper.ports.vectors import StoredVector, VectorKind

MODEL = "test-embeddings"
EVER = Mark(later(10_000), "~")


def known(task: str, belongs: str | None, minute: float, **fields: Any) -> Episode:
    """A decision of which it became known at that minute where the task belonged."""
    told = {"id": f"e{minute:g}", "outcome_instance": belongs, "outcome_success": True, "completed_at": later(minute)}
    return an_episode(task, belongs, **(told | fields))


async def examples(
    uow: UnitOfWork, through: Mark = EVER, limit: int = 100, model: str = MODEL
) -> list[TrainingExample]:
    return [example async for example in uow.text_models.examples(through, limit, model)]


def said(found: list[TrainingExample]) -> list[tuple[str, str]]:
    return [(example.title, example.instance) for example in found]


SOME_TASKS = [a_task(f"T{number}", id=f"t{number}") for number in range(9)]
TEAMS = [an_instance(name) for name in ("a", "b", "c")]


async def test_a_model_takes_the_place_of_the_one_before(uow_factory: UnitOfWorkFactory) -> None:
    """Servers would go on deciding with what was learned first."""
    async with uow_factory() as uow:
        assert (await uow.text_models.learned(), await uow.text_models.content()) == (None, None)
        assert await uow.text_models.put(b"one", 20, Mark(later(1), "e1")) == Learned(1, 20, Mark(later(1), "e1"))
        await uow.commit()
    async with uow_factory() as uow:
        second = await uow.text_models.put(b"\x00two" * 100_000, 31, Mark(later(2), "e2"))
        assert second == Learned(2, 31, Mark(later(2), "e2"))
        await uow.commit()
    async with uow_factory() as uow:
        assert await uow.text_models.learned() == second
        assert await uow.text_models.content() == b"\x00two" * 100_000


async def test_a_model_that_was_not_committed_is_not_there(uow_factory: UnitOfWorkFactory) -> None:
    """A server that dies while it stores a model would leave half of one."""
    async with uow_factory() as uow:
        await uow.text_models.put(b"one", 20, Mark(later(1), "e1"))
    async with uow_factory() as uow:
        assert await uow.text_models.learned() is None


async def test_outcomes_are_counted_from_a_mark_on_and_no_further_than_asked(uow: UnitOfWork) -> None:
    """Hopper would learn anew without end, or never again; or count millions of outcomes twice a second."""
    await add(uow, *SOME_TASKS, *(known(f"t{n}", "a", minute=n) for n in (1, 2, 3, 4)))
    together = known("t5", "a", 4, id="e4b")
    await add(uow, together, an_episode("t6", "a"), known("t7", None, 9, outcome_success=False))
    count = uow.text_models.newer
    assert [await count(None, limit) for limit in (0, 3, 5, 99)] == [0, 3, 5, 5]
    assert await count(Mark(later(2), "e2"), 99) == 3
    assert await count(Mark(later(4), "e4"), 99) == 1  # of the same moment, but after it
    assert await count(Mark(later(4), "e4b"), 99) == 0


async def test_what_was_corrected_or_taken_back_counts_anew(uow: UnitOfWork) -> None:
    """What was learned wrongly would stay so, until enough other things have become known."""
    await add(uow, *SOME_TASKS, *(known(f"t{n}", "a", minute=n) for n in (1, 2, 3, 4)))
    learned = await uow.text_models.last_outcome()
    assert learned
    assert await uow.text_models.newer(learned, 99) == 0
    await uow.episodes.update(known("t1", "b", 1, corrected_at=later(6)))
    await uow.episodes.update(known("t2", None, 2, outcome_success=None, completed_at=None, corrected_at=later(5)))
    assert await uow.text_models.newer(learned, 99) == 2
    last = await uow.text_models.last_outcome()
    assert last == Mark(later(6), "e1")
    assert await uow.text_models.newer(last, 99) == 0
    await uow.episodes.update(known("t2", "a", 7, id="e2", corrected_at=later(5)))
    assert await uow.text_models.last_outcome() == Mark(later(7), "e2")


async def test_a_correction_is_learned_in_place_of_what_it_corrects(uow: UnitOfWork) -> None:
    """A rebuild would bring a mistake back, or lose the task."""
    await add(uow, *TEAMS, *SOME_TASKS, *(known(f"t{n}", "a", minute=n) for n in (1, 2)))
    before = await uow.text_models.last_outcome()
    assert before
    await uow.episodes.update(known("t1", "b", 1, corrected_at=later(6)))
    after = await uow.text_models.last_outcome()
    assert after
    assert said(await examples(uow, before)) == said(await examples(uow, after)) == [("T1", "b"), ("T2", "a")]


async def test_vectors_that_are_to_come_are_counted(uow: UnitOfWork) -> None:
    """What was learned without vectors, while their provider was away, would stay poorer than it has to be."""
    await add(uow, *TEAMS, *SOME_TASKS, known("t1", "a", 1), known("t2", "b", 2), known("t3", "b", 3))
    await add(uow, an_episode("t4", "a"))
    await uow.queue.enqueue([(EMBEDDING, "episode", id) for id in ("e1", "e2", "e3")])
    vector = StoredVector(np.array([1, 0], dtype=np.float32), "h")
    await uow.vectors.put(VectorKind.EPISODE, MODEL, {"e2": vector})
    await uow.vectors.put(VectorKind.EPISODE, "another", {"e1": vector})
    assert await uow.text_models.awaited(EVER, MODEL) == 2
    assert await uow.text_models.awaited(Mark(later(1), "e1"), MODEL) == 1
    await uow.vectors.put(VectorKind.EPISODE, MODEL, {"e1": vector})
    assert await uow.text_models.awaited(EVER, MODEL) == 1


async def test_the_last_outcome_is_the_newest_one_that_tells_where_a_task_belonged(uow: UnitOfWork) -> None:
    """What was known at a moment couldn't be told apart from what came later."""
    assert await uow.text_models.last_outcome() is None
    await add(uow, *SOME_TASKS, known("t1", "a", 2, id="x"), known("t2", "b", 2, id="y"), known("t3", "a", 1, id="z"))
    await add(uow, known("t4", None, 5, outcome_success=False), an_episode("t5", "a", routed_at=later(9)))
    assert await uow.text_models.last_outcome() == Mark(later(2), "y")


async def test_an_example_is_a_task_as_it_stands_and_where_it_belonged(uow: UnitOfWork) -> None:
    """Hopper would learn from something else than what people read."""
    await add(uow, *TEAMS, a_task("Ä", id="t", description="x" * 5_000, tags={"k": "v", "x": True}))
    await add(uow, known("t", "b", 1, chosen_instance="a", outcome_success=False))
    [found] = await examples(uow)
    assert (found.title, found.description, found.instance) == ("Ä", "x" * 3_000, "b")
    assert (found.tags, found.vector) == ({"k": "v", "x": True}, None)


async def test_examples_come_in_the_order_in_which_they_became_known(uow: UnitOfWork) -> None:
    """The same outcomes would give another model each time, and a rebuild other decisions."""
    await add(uow, *TEAMS, *SOME_TASKS, *(known(f"t{n}", "a", minute=n) for n in (3, 1, 2)))
    await add(uow, known("t5", "b", 2, id="e2b"), known("t4", "b", 2, id="e2a"))
    in_order = [("T1", "a"), ("T2", "a"), ("T4", "b"), ("T5", "b"), ("T3", "a")]
    assert said(await examples(uow)) == in_order
    assert said(await examples(uow, Mark(later(2), "e2a"))) == in_order[:3]


async def test_each_task_is_one_example_with_its_latest_outcome(uow: UnitOfWork) -> None:
    """A task that wandered about would count several times, and for teams that it didn't belong to."""
    await add(uow, *TEAMS, *SOME_TASKS, known("t1", "a", 1), known("t1", "b", 3), known("t2", "c", 2))
    await add(uow, known("t2", None, 4, outcome_success=False), an_episode("t3", "a"), known("t1", "c", 9))
    assert said(await examples(uow, Mark(later(5), ""))) == [("T2", "c"), ("T1", "b")]
    assert said(await examples(uow)) == [("T2", "c"), ("T1", "c")]


async def test_a_limit_takes_from_those_that_have_most(uow: UnitOfWork) -> None:
    """A team that gets a task once a year would be forgotten for the sake of one that gets hundreds a day."""
    await add(uow, *TEAMS, *SOME_TASKS, known("t0", "c", 0))
    await add(uow, *(known(f"t{n}", "b" if n == 2 else "a", minute=n) for n in range(1, 8)))
    assert said(await examples(uow, limit=4)) == [("T0", "c"), ("T2", "b"), ("T6", "a"), ("T7", "a")]
    assert await examples(uow, limit=0) == []


async def test_what_belongs_to_nobody_who_is_there_teaches_nothing(uow: UnitOfWork) -> None:
    """Tasks would be drawn to a team that was dissolved, or learning would fail for want of its name."""
    await add(uow, an_instance("a"), *SOME_TASKS, known("t1", "gone", 1), known("t2", "a", 2), known(None, "a", 3))  # type: ignore[arg-type]
    found = await examples(uow)
    assert said(found) == [("T2", "a")]
    assert {example.instance for example in found} <= (await uow.instances.names()).keys()


async def test_examples_bring_the_vectors_of_the_model_that_was_asked_for(uow: UnitOfWork) -> None:
    """The numbers of two embedding models would be mixed, and mean nothing."""
    vector = np.array([0.6, 0.8] + [0.0] * 254, dtype=np.float32)
    await add(uow, *TEAMS, *SOME_TASKS, known("t1", "a", 1), known("t2", "b", 2))
    await uow.vectors.put(VectorKind.EPISODE, MODEL, {"e1": StoredVector(vector, "h")})
    await uow.vectors.put(VectorKind.EPISODE, "another", {"e2": StoredVector(-vector, "h")})
    with_vector, without = await examples(uow)
    assert with_vector.vector == pytest.approx(vector, abs=1e-3)
    assert without.vector is None
    assert [example.vector is None for example in await examples(uow, model="another")] == [True, False]


def guessed(task: str, chosen: str | None, minute: float, raw: float, **fields: Any) -> Episode:
    others = tuple(Alternative(instance_id=id, confidence=0.1) for id in ("b", "c"))
    decided = {"chosen_instance": chosen, "raw_confidence": raw, "alternatives": others}
    return known(task, "b", minute, **(decided | fields))


async def test_verdicts_judge_the_best_guess_the_oldest_first(uow: UnitOfWork) -> None:
    """Hopper would think too well of itself, or too little, and abstain or act at the wrong times."""
    await add(
        uow,
        *SOME_TASKS,
        guessed("t3", None, 3, 0.3),  # abstained, and its first alternative was right
        guessed("t1", "a", 1, 0.9, outcome_success=False),
        guessed("t2", "b", 2, 0.8),
        guessed("t4", None, 4, 0.2, outcome_instance="c"),
        guessed("t5", None, 5, 0.1, alternatives=()),
    )
    all_five = [Verdict(0.9, False), Verdict(0.8, True), Verdict(0.3, True), Verdict(0.2, False), Verdict(0.1, False)]
    assert await uow.text_models.verdicts(EVER, 9) == all_five
    assert await uow.text_models.verdicts(EVER, 2) == all_five[-2:]
    assert await uow.text_models.verdicts(Mark(later(3), "e3"), 2) == all_five[1:3]


async def test_a_choice_that_was_refused_was_wrong_whoever_was_right(uow: UnitOfWork) -> None:
    """Mistakes that nobody corrects would not count, and Hopper would stay as sure as before."""
    await add(uow, *SOME_TASKS, guessed("t1", "a", 1, 0.9, outcome_instance=None, outcome_success=False))
    assert await uow.text_models.verdicts(EVER, 9) == [Verdict(0.9, False)]


async def test_what_people_decided_or_what_is_open_is_no_verdict(uow: UnitOfWork) -> None:
    """Hopper would take credit for people's choices."""
    await add(
        uow,
        *SOME_TASKS,
        known("t1", "a", 1, strategy=Strategy.MANUAL),
        known("t2", "a", 2, strategy=Strategy.MANUAL_PATTERN),
        known("t3", "a", 3, chosen_instance=None, strategy=Strategy.FEEDBACK),
        guessed("t4", "b", 4, 0.9, outcome_instance=None, outcome_success=None, completed_at=None),
    )
    assert await uow.text_models.verdicts(EVER, 9) == []
