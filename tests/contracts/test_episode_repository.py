"""Episodes in a store: what was decided, how it went, and what the counts say of it all."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from tests.builders import a_pattern, a_task, an_episode, an_instance, feedback_on, later
from tests.contracts.working import UnitOfWorkFactory, add, keep

from hopper.domain.decision import Alternative, Factor, FactorKind, PastTask, Strategy
from hopper.domain.episode import Episode
from hopper.domain.errors import Invalid
from hopper.domain.task import Priority, TaskStatus
from hopper.ports.repositories import Statistics
from hopper.ports.unit_of_work import UnitOfWork

PAST = PastTask(task_id="u", similarity=0.5, belonged=False)
FULL = an_episode(
    "t",
    "a",
    confidence=0.123456,
    strategy=Strategy.LEARNED_PATTERN,
    decision_factors=(
        Factor(
            kind=FactorKind.LEARNED_PATTERN,
            instance_id="a",
            contribution=-0.25,
            text="pattern “Kärten” matches",
            pattern_ids=("p1", "p2"),
        ),
        Factor(
            kind=FactorKind.SIMILAR_EPISODES,
            instance_id="b",
            contribution=1.0,
            text="x",
            task_ids=("u",),
            past_tasks=(PAST,),
        ),
    ),
    alternatives=(Alternative(instance_id="b", confidence=0.1), Alternative(instance_id="c", confidence=0.0)),
    outcome_success=False,
    outcome_instance="b",
    outcome_duration="PT90S",
    source="laptop",
    source_instance_id="by",
    routed_at=later(0.123456),
    completed_at=later(2),
    corrected_at=later(3),
    degraded=True,
)


async def test_an_episode_comes_back_as_it_was_remembered(uow: UnitOfWork) -> None:
    """A decision couldn't be explained any more once it is stored."""
    plain = an_episode("u")
    await add(uow, a_task(id="t"), a_task(id="u"), FULL, plain)
    assert await uow.episodes.latest("t") == FULL
    assert await uow.episodes.latest("u") == plain


@pytest.mark.server_only
async def test_a_decision_of_an_earlier_release_can_be_read(uow_factory: UnitOfWorkFactory, database_url: str) -> None:
    """After an upgrade no old decision could be explained: each would end in an error."""
    await keep(uow_factory, a_task(id="t"), FULL)
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE routing_episodes SET decision_factors = decision_factors #- '{1,past_tasks}'")
    await connection.close()
    async with uow_factory() as uow:
        [_, factor] = (await uow.episodes.of_task("t"))[0].decision_factors
    assert (factor.task_ids, factor.past_tasks) == (("u",), ())


async def test_an_update_stores_the_outcome_and_keeps_the_decision(uow: UnitOfWork) -> None:
    """What was learned would be lost, or the record of what was decided be rewritten afterwards."""
    no_outcome = {"outcome_success": None, "outcome_instance": None, "outcome_duration": None}
    decided = replace(FULL, **no_outcome, completed_at=None, corrected_at=None)  # type: ignore[arg-type]
    await add(uow, a_task(id="t"), decided)
    await uow.episodes.update(FULL)
    assert await uow.episodes.latest("t") == FULL
    await uow.episodes.update(replace(decided, confidence=1.0, decision_factors=(), chosen_instance="z"))
    assert await uow.episodes.latest("t") == decided


async def test_a_tasks_episodes_are_told_newest_first(uow: UnitOfWork) -> None:
    """Feedback would be counted for a decision that was long revised."""
    first, second = an_episode("t", "a", id="e1", routed_at=later(1)), an_episode("t", "b", id="e2", routed_at=later(2))
    together = an_episode("t", "c", id="e3", routed_at=later(2))
    await add(uow, a_task(id="t"), a_task(id="u"), together, first, second, an_episode("u", routed_at=later(9)))
    assert await uow.episodes.of_task("t") == (together, second, first)
    assert await uow.episodes.latest("t") == together
    assert await uow.episodes.of_task("unknown") == ()
    assert await uow.episodes.latest("unknown") is None


def an_outcome(number: int, minute: float, **fields: Any) -> Episode:
    """A decision about task `t<number>`, of which it became known at that minute that `i<number>` is right."""
    known = {"outcome_instance": f"i{number}", "completed_at": later(minute), "routed_at": later(-minute)}
    return an_episode(f"t{number}", "x", **(known | fields))


SOME_TASKS = [a_task(id=f"t{number}") for number in range(5)]


async def test_recent_outcomes_are_the_last_known_ones_the_oldest_first(uow: UnitOfWork) -> None:
    """A run of tasks would be read backwards, or be taken from the distant past."""
    await add(uow, *SOME_TASKS, *(an_outcome(number, minute=number) for number in (3, 1, 4, 2)))
    await add(uow, an_outcome(0, 9, outcome_instance=None, outcome_success=False), an_episode("t0", "x"))
    assert (await uow.episodes.recent_outcomes(10)).instances == ("i1", "i2", "i3", "i4")
    assert (await uow.episodes.recent_outcomes(2)).instances == ("i3", "i4")


async def test_recent_outcomes_of_one_moment_have_a_fixed_order(uow: UnitOfWork) -> None:
    """After an import, two servers would judge a run differently, and so decide differently."""
    await add(uow, *SOME_TASKS, *(an_outcome(number, minute=1, id=f"e{number}") for number in (2, 0, 3, 1)))
    assert (await uow.episodes.recent_outcomes(4)).instances == ("i0", "i1", "i2", "i3")
    assert (await uow.episodes.recent_outcomes(2)).instances == ("i2", "i3")


async def test_a_task_that_was_decided_several_times_counts_once_as_its_last_outcome(uow: UnitOfWork) -> None:
    """One task that wandered about would look like a run, or its outdated outcome like the present one."""
    await add(
        uow,
        *SOME_TASKS,
        an_outcome(1, minute=1, outcome_instance="outdated"),
        an_outcome(2, minute=2),
        an_outcome(1, minute=3),
    )
    assert (await uow.episodes.recent_outcomes(10)).instances == ("i2", "i1")


async def test_an_episode_may_have_no_task(uow: UnitOfWork) -> None:
    """What another machine learned couldn't be taken in, as its task stays there."""
    learned = {"outcome_success": True, "outcome_instance": "a"}
    await add(uow, *(an_episode(None, "a", completed_at=later(minute), **learned) for minute in (1, 2)))
    assert (await uow.episodes.recent_outcomes(5)).instances == ("a", "a")


async def test_an_episode_of_a_task_that_is_not_there_is_refused(uow_factory: UnitOfWorkFactory) -> None:
    """A decision on a task that was deleted meanwhile would be remembered for ever."""
    with pytest.raises(Invalid, match="nobody") as refused:
        await keep(uow_factory, an_episode("nobody", "a"))
    assert refused.value.field == "task_id"


async def test_the_statistics_of_an_empty_store_are_zero(uow: UnitOfWork) -> None:
    """A new server's statistics would end in a division by zero."""
    assert await uow.episodes.statistics() == Statistics(
        tasks=0,
        open_tasks=0,
        in_triage=0,
        instances=0,
        episodes=0,
        abstained=0,
        known_outcomes=0,
        successes=0,
        accuracy=None,
        feedback=0,
        patterns=0,
        by_strategy={},
        queue={},
    )


async def test_the_statistics_count_what_is_there_and_judge_hoppers_own_choices_only(uow: UnitOfWork) -> None:
    """A person would judge Hopper by figures that are made up, or by what people chose themselves."""
    await add(
        uow,
        an_instance("a"),
        a_task(id="t"),
        a_task(id="busy", status=TaskStatus.IN_PROGRESS, instance_id="a"),
        a_task(id="done", status=TaskStatus.DONE),
        a_pattern(),
        a_pattern(is_active=False),
        feedback_on("done"),
        an_episode("t"),
        an_episode("t", "a", strategy=Strategy.MANUAL, outcome_instance="a", outcome_success=True),
        an_episode("t", strategy=Strategy.FEEDBACK, outcome_instance="a"),
        *(an_episode("t", "a", outcome_success=success) for success in (True, True, False, None)),
        an_episode("t", "a", strategy=Strategy.MANUAL_PATTERN, outcome_success=True),
    )
    assert await uow.episodes.statistics() == Statistics(
        tasks=3,
        open_tasks=2,
        in_triage=1,
        instances=1,
        episodes=8,
        abstained=1,
        known_outcomes=4,
        successes=3,
        accuracy=0.75,
        feedback=1,
        patterns=2,
        by_strategy={"similar_episodes": 4, "abstain": 1, "feedback": 1, "manual": 1, "manual_pattern": 1},
        queue={},
    )


async def test_known_outcomes_come_with_their_tasks_the_newest_first(uow: UnitOfWork) -> None:
    """Hopper would learn from guesses, or from the oldest tasks only."""
    await add(uow, a_task("Paint", id="t", description="x" * 9000, tags={"a": "b"}, priority=Priority.LOW))
    known = [
        an_episode("t", "a", id="right", outcome_success=True, outcome_instance="a", completed_at=later(1)),
        an_episode("t", "a", id="wrong", outcome_success=False, completed_at=later(3), source_instance_id="by"),
        an_episode("t", "b", id="own", strategy=Strategy.MANUAL, outcome_instance="b", completed_at=later(2)),
        an_episode("t", "a", id="open"),
        an_episode(None, "a", id="summary", outcome_success=True, outcome_instance="a", completed_at=later(4)),
    ]
    await add(uow, *known)
    first = await uow.episodes.known_outcomes(2)
    rest = await uow.episodes.known_outcomes(2, first.next_cursor)
    assert [one.episode_id for one in (*first.items, *rest.items)] == ["wrong", "own", "right"]
    assert rest.next_cursor is None
    wrong = first.items[0]
    assert (wrong.title, len(wrong.description), wrong.tags, wrong.priority) == ("Paint", 4000, {"a": "b"}, "low")
    assert (wrong.chosen_instance, wrong.outcome_instance, wrong.decided_by) == ("a", None, "by")
    decided = await uow.episodes.known_outcomes(9, decided=True)
    assert [one.episode_id for one in decided.items] == ["right"]


async def test_consolidation_is_due_after_enough_new_outcomes(uow: UnitOfWork) -> None:
    """Learning would never begin, or never rest."""

    async def due(outcomes: int, at: float) -> bool:
        return await uow.consolidations.due(outcomes, timedelta(minutes=10), later(at))

    await add(uow, a_task(id="t"), *(an_episode("t", "a", completed_at=later(n)) for n in range(5)), an_episode("t"))
    assert [await due(5, 5), await due(6, 5)] == [True, False]
    await uow.consolidations.done(later(2))
    assert [await due(2, 12), await due(3, 12), await due(2, 11)] == [True, False, False]
    await uow.consolidations.done(later(4))
    assert not await due(1, 100)
