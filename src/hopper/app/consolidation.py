"""Turning outcomes into learned patterns: on request, and by itself after enough new outcomes."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from hopper.app.background import Log, Repeating
from hopper.domain.errors import Unavailable
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.pattern import Pattern
from hopper.ports import Ports
from hopper.ports.repositories import KnownOutcome
from hopper.ports.unit_of_work import UnitOfWork
from hopper.routing.consolidation import Change, ChangeKind, Plan, permitted, planned, standing
from hopper.routing.examples import Example
from hopper.routing.mining import WINDOW, mine
from hopper.routing.rules import Rule, RuleKey

_TURN = "patterns.consolidation"
_PATIENCE_SECONDS = 30.0
_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Consolidation:
    """What was changed (or, in a dry run, would be), from so many `examples`: past tasks with a known outcome."""

    dry_run: bool
    examples: int
    made: int
    refined: int
    updated: int
    deactivated: int
    reactivated: int
    unchanged: int
    changes: tuple[Change, ...]


async def consolidate(*, ports: Ports, dry_run: bool = False) -> Consolidation:
    """Bring the learned patterns to what the outcomes say. Doing it twice does no more than doing it once.

    One process at a time does it; raises Unavailable when another one is at it for long.
    """
    async with ports.turns.take(_TURN, _PATIENCE_SECONDS) as taken:
        if not taken:
            raise Unavailable("Patterns are being consolidated already, and it takes long. Try again in a minute.")
        return _told(*await outlook(ports), dry_run=True) if dry_run else await _consolidated(ports)


async def consolidate_if_due(outcomes: int, pause: timedelta, *, ports: Ports) -> Consolidation | None:
    """Consolidate after so many new outcomes, and not before the pause has passed; None when there is no need."""
    if not await _is_due(outcomes, pause, ports):
        return None
    async with ports.turns.take(_TURN, 0) as taken:  # another process may have just done it
        return await _consolidated(ports) if taken and await _is_due(outcomes, pause, ports) else None


def consolidation_worker(
    ports: Ports, outcomes: int, pause: timedelta, log: Log, poll_seconds: float = 30
) -> Repeating:
    """Consolidates in the background, when there are so many new outcomes and after such a pause."""
    return Repeating(
        lambda: consolidate_if_due(outcomes, pause, ports=ports),
        poll_seconds,
        "consolidating patterns failed",
        log,
        first=poll_seconds,
    )


async def outlook(ports: Ports) -> tuple[Plan, int]:
    """What consolidation would do now, and from how many examples."""
    rules, examples = await _mined(ports)
    async with ports.reading() as uow:
        return await _planned(rules, await uow.patterns.for_learning(), uow, ports), examples


async def _consolidated(ports: Ports) -> Consolidation:
    began = ports.clock.now()
    rules, examples = await _mined(ports)
    async with ports.unit_of_work() as uow:
        patterns = await uow.patterns.for_learning(for_update=True)  # as people have left them by now
        plan = await _planned(rules, patterns, uow, ports)
        await _store(plan.changes, {pattern.id for pattern in patterns}, uow)
        await uow.consolidations.done(began)
        await uow.commit()
    return _told(plan, examples, dry_run=False)


async def _is_due(outcomes: int, pause: timedelta, ports: Ports) -> bool:
    async with ports.reading() as uow:
        return await uow.consolidations.due(outcomes, pause, ports.clock.now())


async def _mined(ports: Ports) -> tuple[tuple[Rule, ...], int]:
    """The rules in what is known now, found in a thread: it takes seconds, and the server goes on meanwhile."""
    with _no_collections():
        async with ports.searching() as uow:
            outcomes = await _outcomes(uow)
            patterns = await uow.patterns.for_learning()
            allowed = permitted(patterns, await uow.patterns.rejected())
            targets = tuple(await uow.instances.names())
        return await asyncio.to_thread(_found, outcomes, targets, standing(patterns), allowed), len(outcomes)


def _found(
    outcomes: Sequence[KnownOutcome],
    targets: Sequence[InstanceId],
    there: Sequence[RuleKey],
    allowed: Callable[[RuleKey], bool],
) -> tuple[Rule, ...]:
    examples = [example(outcome) for outcome in outcomes]
    return mine(examples, targets, standing=there, allowed=allowed)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep Python from looking for cycles for a few seconds.

    Mining makes none, and each search of all its objects would hold up every request for a tenth of a second.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


async def _outcomes(uow: UnitOfWork) -> Sequence[KnownOutcome]:
    """Past tasks with a known outcome, the newest first; a task that was decided about several times has one voice."""
    known: dict[TaskId, KnownOutcome] = {}
    async for outcomes in known_outcomes(uow):
        hear(outcomes, known)
        if len(known) >= WINDOW:
            break
    return list(known.values())


def hear(outcomes: Iterable[KnownOutcome], known: dict[TaskId, KnownOutcome]) -> None:
    """Add older outcomes to what is known of past tasks, of which each has one voice."""
    for outcome in outcomes:
        before = known.get(outcome.task_id)
        if before is None or (before.outcome_instance is None and outcome.outcome_instance):
            known[outcome.task_id] = outcome


async def known_outcomes(uow: UnitOfWork, *, decided: bool = False) -> AsyncIterator[tuple[KnownOutcome, ...]]:
    """The known outcomes, the newest first, in parts, so that nobody waits for the reading of thousands of rows."""
    cursor = None
    while True:
        page = await uow.episodes.known_outcomes(_PAGE, cursor, decided=decided)
        yield page.items
        cursor = page.next_cursor
        if cursor is None:
            return


def example(outcome: KnownOutcome) -> Example:
    """A past task as rules are found in it, and held against it."""
    right = outcome.outcome_instance
    return Example(
        text=f"{outcome.title}\n{outcome.description}",
        tags=outcome.tags,
        priority=outcome.priority,
        target=right,
        wrong=None if right else outcome.chosen_instance,
    )


async def _planned(rules: Sequence[Rule], patterns: Sequence[Pattern], uow: UnitOfWork, ports: Ports) -> Plan:
    derivations, names = await uow.patterns.derivations(), await uow.instances.names()
    rejected = await uow.patterns.rejected()
    return await asyncio.to_thread(planned, rules, patterns, derivations, names, ports.clock.now(), rejected)


async def _store(changes: Iterable[Change], there: set[str], uow: UnitOfWork) -> None:
    for change in changes:
        if change.pattern.id in there:
            await uow.patterns.update(change.pattern)
        else:
            await uow.patterns.add(change.pattern)
    for change in changes:
        await uow.patterns.derive(change.pattern.id, change.derived_from)


def _told(plan: Plan, examples: int, *, dry_run: bool) -> Consolidation:
    counts = Counter(change.change for change in plan.changes)
    return Consolidation(
        dry_run=dry_run,
        examples=examples,
        made=counts[ChangeKind.MADE],
        refined=counts[ChangeKind.REFINED],
        updated=counts[ChangeKind.UPDATED],
        deactivated=counts[ChangeKind.DEACTIVATED],
        reactivated=counts[ChangeKind.REACTIVATED],
        unchanged=plan.unchanged,
        changes=plan.changes,
    )
