"""Teaching a server what a local instance has learned, and learning what others have in common.

A push is written down before it is sent, and what the server acknowledged after: whatever is interrupted in between is
sent again, byte for byte, and merged once.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hopper.app.consolidation import consolidate_if_due, known_outcomes
from hopper.domain.errors import Conflict, HopperError, Unavailable
from hopper.domain.ids import InstanceId
from hopper.domain.instance import Scope
from hopper.domain.pattern import Pattern, PatternSource, TargetLabel
from hopper.ports import Ports
from hopper.ports.repositories import KnownOutcome
from hopper.ports.teaching import Teacher, TeachingState
from hopper.ports.unit_of_work import UnitOfWork
from hopper.sync.pack import PackedPattern, PatternPack
from hopper.sync.teaching import Case, Learned, Ledger, pushes, what_leaves

_TURN = "sync"
_PATIENCE_SECONDS = 10.0
_PAGE = 500

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""A pack doesn't say when its patterns were made."""

Send = Callable[[bytes], Any]
"""Sends one push, and returns when it is merged. Raises HopperError: Unavailable if it isn't known whether it was."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The bodies that are next to be sent, those that were begun first, and how much they hold."""

    bodies: tuple[bytes, ...]
    learned: Learned


def on(state: TeachingState) -> Teacher:
    """As whom to speak. Raises Conflict unless the person has opted in."""
    teacher = state.teacher()
    if teacher is None or not teacher.is_on:
        raise Conflict("Syncing is off: nothing leaves this directory. `hopper sync on SERVER` turns it on.")
    return teacher


async def waiting(teacher: Teacher, state: TeachingState, *, ports: Ports) -> Waiting:
    """What a push would send now, byte for byte, unless something is learned in between."""
    await consolidate_if_due(1, timedelta(0), ports=ports)
    learned = await _learned(teacher, state, ports)
    ledger = state.ledger()
    begun = tuple(body for body in state.outbox() if Ledger().with_push(body).sequence > ledger.sequence)
    for body in begun:
        ledger = ledger.with_push(body)
    return Waiting((*begun, *pushes(learned, ledger, teacher.source_instance_id)), learned)


async def push(state: TeachingState, send: Send, *, ports: Ports, told: Callable[[int, int], None]) -> int:
    """Send what is new; returns how many pushes that took. `told` hears how many of how many are done.

    Raises what `send` raises. What can't be known to have arrived is kept for the next push; what the server refuses
    isn't, since it would be refused again.
    """
    teacher = on(state)
    async with ports.turns.take(_TURN, _PATIENCE_SECONDS) as taken:
        if not taken:
            raise Unavailable("Another command is syncing this directory. Try again when it has ended.")
        bodies = (await waiting(teacher, state, ports=ports)).bodies
        state.keep_outbox(bodies)
        ledger = state.ledger()
        for at, body in enumerate(bodies):
            try:
                send(body)
            except Unavailable:
                raise
            except HopperError:
                state.keep_outbox(())
                raise
            ledger = ledger.with_push(body)
            state.keep_ledger(ledger)
            told(at + 1, len(bodies))
        state.keep_outbox(())
        state.keep_teacher(replace(teacher, pushed_at=ports.clock.now()))
    return len(bodies)


async def _learned(teacher: Teacher, state: TeachingState, ports: Ports) -> Learned:
    async with ports.reading() as uow:
        targets = await _targets(uow)
        return what_leaves(
            [one for one in await uow.patterns.for_learning() if one.source is not PatternSource.NORTHBOUND],
            [case async for case in _cases(targets, uow)],
            await uow.feedback.stats(),
            targets,
            source=teacher.source_instance_id,
            naming=teacher.naming,
            private=state.private(),
        )


async def _targets(uow: UnitOfWork) -> dict[InstanceId, tuple[str, Scope]]:
    found: dict[InstanceId, tuple[str, Scope]] = {}
    cursor = None
    while True:
        page = await uow.instances.list(_PAGE, cursor)
        found |= {one.id: (one.name, one.scope) for one in page.items}
        cursor = page.next_cursor
        if cursor is None:
            return found


async def _cases(targets: dict[InstanceId, tuple[str, Scope]], uow: UnitOfWork) -> AsyncIterator[Case]:
    async for outcomes in known_outcomes(uow):
        for outcome in outcomes:
            yield _case(outcome, targets)


def _case(outcome: KnownOutcome, targets: dict[InstanceId, tuple[str, Scope]]) -> Case:
    chosen = targets.get(outcome.chosen_instance or "")
    return Case(
        episode_id=outcome.episode_id,
        text=f"{outcome.title}\n{outcome.description}",
        tags=tuple(outcome.tags),
        chosen_scope=chosen[1] if chosen else None,
        confidence=outcome.confidence,
        was_right=outcome.outcome_instance is not None and outcome.outcome_instance == outcome.chosen_instance,
        strategy=outcome.strategy.value,
    )


async def refresh_shared(state: TeachingState, *, ports: Ports) -> None:
    """Know what was pulled: before a task is routed. What can't be read is told of, and keeps nobody from deciding."""
    try:
        teacher = state.teacher()
        pack = state.pack() if teacher and teacher.is_on else None
        ports.memory.shared = () if pack is None else shared_patterns(PatternPack.read(pack))
    except HopperError as error:
        ports.memory.shared, ports.memory.unheeded = (), error.message
        return
    if teacher is None or not ports.memory.shared:
        return
    async with ports.reading() as uow:
        ports.memory.labels = {
            id: TargetLabel(scope, teacher.naming.called(name)) for id, (name, scope) in (await _targets(uow)).items()
        }


def shared_patterns(pack: PatternPack) -> tuple[Pattern, ...]:
    """The patterns of a pack that say for whom they speak, each with where it came from."""
    return tuple(_shared(one) for one in pack.patterns if one.target_scope or one.target_name)


def _shared(said: PackedPattern) -> Pattern:
    return Pattern(
        id=said.derived_from,
        name=said.name,
        pattern_type=said.pattern_type,
        target_instance=None,
        target_scope=said.target_scope,
        target_name=said.target_name,
        tag_criteria=said.tag_criteria,
        text_criteria=said.text_criteria,
        priority_criteria=said.priority_criteria,
        confidence=said.confidence,
        usage_count=said.usage_count,
        success_count=said.success_count,
        failure_count=said.failure_count,
        source=said.source,
        source_instance_id=said.source_instance_id,
        learned_key=said.key,
        created_at=_LONG_AGO,
    )
