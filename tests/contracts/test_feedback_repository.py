"""Feedback in a store: one a task, replaced as a whole."""

import pytest
from tests.builders import a_task, feedback_on, later
from tests.contracts.working import UnitOfWorkFactory, add, keep

from hopper.domain.errors import Invalid, NotFound
from hopper.domain.feedback import Feedback
from hopper.ports.unit_of_work import UnitOfWork
from hopper.sync.payload import FeedbackStats

FULL = feedback_on(
    "t",
    was_good_match=False,
    routing_feedback="Gehört zu\n“Karten”",
    should_have_routed_to="cards",
    quality_score=0.123456,
    complexity_rating=5,
    required_rework=True,
    source="cli",
    source_instance_id="laptop",
    created_at=later(0.123456),
)


@pytest.mark.parametrize("feedback", [FULL, feedback_on("t"), feedback_on("t", was_good_match=True, quality_score=0.0)])
async def test_feedback_comes_back_as_it_was_given(feedback: Feedback, uow: UnitOfWork) -> None:
    """What a person said would be lost, or no answer be taken for “no”."""
    await add(uow, a_task(id="t"), feedback)
    assert await uow.feedback.get("t") == feedback
    assert await uow.feedback.find("t") == feedback


async def test_later_feedback_replaces_all_that_was_said(uow: UnitOfWork) -> None:
    """A correction that somebody took back would stand on beside what they said later."""
    later_on = feedback_on("t", was_good_match=True, created_at=later(9))
    await add(uow, a_task(id="t"), FULL, later_on)
    assert await uow.feedback.get("t") == later_on
    assert (await uow.episodes.statistics()).feedback == 1


async def test_a_task_without_feedback_has_none(uow: UnitOfWork) -> None:
    """A task that nobody spoke of would seem to have been judged."""
    await add(uow, a_task(id="t"), a_task(id="u"), FULL)
    with pytest.raises(NotFound) as refused:
        await uow.feedback.get("u")
    assert refused.value.id == "u"
    assert await uow.feedback.find("u") is None


async def test_feedback_on_a_task_that_is_not_there_is_refused(uow_factory: UnitOfWorkFactory) -> None:
    """Feedback with a mistyped id would vanish without a word."""
    with pytest.raises(Invalid, match="nobody") as refused:
        await keep(uow_factory, feedback_on("nobody"))
    assert refused.value.field == "task_id"


async def test_feedback_adds_up(uow: UnitOfWork) -> None:
    """A server would be told another number of good decisions than people gave."""
    assert await uow.feedback.stats() == FeedbackStats(total_feedback=0, good_matches=0, bad_matches=0)
    given = (True, 0.5, 2), (True, None, None), (False, 0.0, 5), (None, None, 5)
    for at, (good, quality, complexity) in enumerate(given):
        said = feedback_on(f"t{at}", was_good_match=good, quality_score=quality, complexity_rating=complexity)
        await add(uow, a_task(id=f"t{at}"), said)
    assert await uow.feedback.stats() == FeedbackStats(
        total_feedback=4, good_matches=2, bad_matches=1, avg_quality_score=0.25, avg_complexity=4.0
    )
