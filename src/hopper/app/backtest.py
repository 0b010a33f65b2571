"""Trying patterns on the past: what they would have changed in decisions whose right outcome is known by now."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from hopper.app.consolidation import known_outcomes, outlook
from hopper.domain.errors import Invalid, Unavailable
from hopper.domain.ids import InstanceId, PatternId
from hopper.domain.pattern import Pattern, PatternSource, check_criteria
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.ports.repositories import KnownOutcome
from hopper.ports.unit_of_work import UnitOfWork
from hopper.routing.backtest import PastDecision, Replayed, Totals, replay
from hopper.routing.consolidation import ChangeKind

_TURN = "patterns.backtest"
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """Every decision before and after, the newest first, and what that comes to; `patterns` is what was tried."""

    totals: Totals
    patterns: tuple[Pattern, ...]
    episodes: tuple[Replayed, ...]


async def backtest_patterns(patterns: Sequence[Pattern], limit: int, *, ports: Ports) -> Backtest:
    """Try patterns that aren't stored. Raises Invalid, naming the one that can't be used by its position."""
    for at, pattern in enumerate(patterns):
        try:
            check_criteria(pattern)
        except Invalid as error:
            raise Invalid(f"patterns.{at}.{error.field}", error.message) from None
    async with ports.reading() as uow:
        missing = await uow.instances.missing([p.target_instance for p in patterns if p.target_instance])
    for at, pattern in enumerate(patterns):
        if pattern.target_instance is None or pattern.target_instance in missing:
            said = f"There is no instance with the id {pattern.target_instance!r}."
            raise Invalid(f"patterns.{at}.target_instance", said)
    return await _backtest(patterns, limit, ports)


async def backtest_stored(pattern_ids: Sequence[PatternId], limit: int, *, ports: Ports) -> Backtest:
    """Try stored patterns, switched off ones included. Raises Invalid, naming the position of one that isn't there."""
    async with ports.reading() as uow:
        found = {pattern.id: pattern for pattern in await uow.patterns.get_many(pattern_ids)}
    for at, id in enumerate(pattern_ids):
        if id not in found:
            raise Invalid(f"pattern_ids.{at}", f"There is no pattern with the id {id!r}.")
    return await _backtest(list(found.values()), limit, ports)


async def backtest_consolidation(limit: int, *, ports: Ports) -> Backtest:
    """Try what consolidation would make, change or switch on again. It has learned from the same past, mostly."""
    plan, _ = await outlook(ports)
    kept = [change.pattern for change in plan.changes if change.change is not ChangeKind.DEACTIVATED]
    return await _backtest(kept, limit, ports)


async def _backtest(patterns: Sequence[Pattern], limit: int, ports: Ports) -> Backtest:
    async with ports.searching() as uow:
        past = await _past(limit, uow)
        deciders = {one.decided_by for one in past}
        candidates = {by: tuple(await uow.instances.routable_from(by)) for by in deciders}
        active = await uow.patterns.active()
    tried = {pattern.id for pattern in patterns}
    others = [p for p in active if p.source is PatternSource.MANUAL and p.id not in tried]
    # Thousands of comparisons: in a thread, so that the server goes on meanwhile, and one at a time.
    async with ports.turns.take(_TURN, _PATIENCE_SECONDS) as taken:
        if not taken:
            raise Unavailable("Another backtest is under way, and it takes long. Try again in a minute.")
        episodes, totals = await asyncio.to_thread(replay, past, patterns, others, candidates, ports.policy)
    return Backtest(totals=totals, patterns=tuple(patterns), episodes=episodes)


async def _past(limit: int, uow: UnitOfWork) -> list[PastDecision]:
    past: list[PastDecision] = []
    async for outcomes in known_outcomes(uow, decided=True):
        past += [_past_decision(outcome, outcome.outcome_instance) for outcome in outcomes if outcome.outcome_instance]
        if len(past) >= limit:
            break
    return past[:limit]


def _past_decision(outcome: KnownOutcome, right: InstanceId) -> PastDecision:
    return PastDecision(
        episode_id=outcome.episode_id,
        task=Task(
            id=outcome.task_id,
            title=outcome.title,
            description=outcome.description,
            tags=outcome.tags,
            priority=outcome.priority,
            created_at=outcome.completed_at,
            updated_at=outcome.completed_at,
        ),
        chosen_instance=outcome.chosen_instance,
        confidence=outcome.confidence,
        decided_by=outcome.decided_by,
        outcome_instance=right,
    )
