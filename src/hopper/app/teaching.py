"""Teaching a server what a local instance has learned, and learning what others have in common.

A push is written down before it is sent, and what the server acknowledged after: whatever is interrupted in between is
sent again, byte for byte, and merged once.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from hopper.app.consolidation import consolidate_if_due, example, hear, known_outcomes
from hopper.app.instances import all_instances
from hopper.domain.errors import Conflict, HopperError, Unavailable
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.instance import Scope
from hopper.domain.pattern import Pattern, PatternSource, TargetLabel
from hopper.ports import Ports
from hopper.ports.repositories import KnownOutcome
from hopper.ports.teaching import Outbox, Teacher, TeachingServer, TeachingState
from hopper.ports.unit_of_work import UnitOfWork
from hopper.routing.cases import with_cases
from hopper.sync.pack import PackedPattern, PatternPack
from hopper.sync.teaching import Case, Learned, Ledger, number_of, pushes, what_leaves

_TURN = "sync"
_PATIENCE_SECONDS = 10.0
_BUSY = "Another command is syncing this directory. Try again when it has ended."

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""A pack doesn't say when its patterns were made."""

_REFUSED = ("invalid", "too-large")
"""Problems of a push that it would have again."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The bodies that are next to be sent, those that were begun first, and how much they hold.

    `ledger` is what is acknowledged so far, and `settings` tell under which all this was made.
    """

    bodies: tuple[bytes, ...]
    learned: Learned
    ledger: Ledger
    settings: str


def on(state: TeachingState) -> Teacher:
    """As whom to speak. Raises Conflict unless the person has opted in."""
    teacher = state.teacher()
    if teacher is None or not teacher.is_on:
        raise Conflict("Syncing is off: nothing leaves this directory. `hopper sync on SERVER` turns it on.")
    return teacher


async def turn_on(wanted: Teacher, server: TeachingServer, state: TeachingState, *, ports: Ports) -> Teacher:
    """Opt in; returns as whom. What another server, or somebody else, was told is kept no longer."""
    async with _alone(ports):
        source, sequence = server.source()
        wanted = replace(wanted, source_instance_id=source, is_on=True)
        before = state.teacher()
        if before is None or (before.server, before.source_instance_id) != (wanted.server, source):
            state.forget()
        state.keep_ledger(state.ledger().heard_until(sequence, state.outbox().bodies))
        state.keep_outbox(Outbox())
        state.keep_teacher(wanted)
    return wanted


async def turn_off(state: TeachingState, *, ports: Ports) -> bool:
    """Opt out: a push under way sends nothing more. Returns whether it has ended, too."""
    teacher = state.teacher()
    if teacher and teacher.is_on:
        state.keep_teacher(replace(teacher, is_on=False))
    async with ports.turns.take(_TURN, _PATIENCE_SECONDS) as taken:
        return taken


async def waiting(teacher: Teacher, server: TeachingServer, state: TeachingState, *, ports: Ports) -> Waiting:
    """What a push would send now, byte for byte, unless something is learned in between.

    What was begun and may have arrived is sent again as it was. If what has to stay private has changed since, the
    server is asked instead how much of it has arrived.
    """
    await consolidate_if_due(1, timedelta(0), ports=ports)
    learned = await _learned(teacher, state, ports)
    ledger, outbox, settings = state.ledger(), state.outbox(), _settings(teacher, state)
    begun = tuple(body for body in outbox.bodies if number_of(body) > ledger.sequence)
    if begun and outbox.settings != settings:
        ledger, begun = ledger.heard_until(server.source()[1], begun), ()
    after = ledger
    for body in begun:
        after = after.with_push(body)
    return Waiting((*begun, *pushes(learned, after, teacher.source_instance_id)), learned, ledger, settings)


def _settings(teacher: Teacher, state: TeachingState) -> str:
    """The same as long as what may leave is filtered and named alike."""
    said = [asdict(teacher.naming), sorted(state.private())]
    return sha256(json.dumps(said).encode()).hexdigest()


async def push(server: TeachingServer, state: TeachingState, *, ports: Ports, told: Callable[[int, int], None]) -> int:
    """Send what is new; returns how many pushes that took. `told` hears how many of how many are done.

    Raises what `merge` raises, and Conflict when it is turned off meanwhile. What may have arrived is kept for the next
    push; what the server refuses for what it says isn't, since it would be refused again.
    """
    async with _alone(ports):
        teacher = on(state)
        found = await waiting(teacher, server, state, ports=ports)
        ledger = found.ledger
        state.keep_ledger(ledger)
        state.keep_outbox(Outbox(found.bodies, found.settings))
        for at, body in enumerate(found.bodies):
            on(state)
            try:
                server.merge(body)
            except HopperError as error:
                if error.slug in _REFUSED:
                    state.keep_outbox(Outbox())
                raise
            ledger = ledger.with_push(body)
            state.keep_ledger(ledger)
            told(at + 1, len(found.bodies))
        if found.bodies:
            state.keep_ledger(replace(ledger, pushed_at=ports.clock.now()))
        state.keep_outbox(Outbox())
    return len(found.bodies)


async def pull(server: TeachingServer, state: TeachingState, *, ports: Ports) -> PatternPack:
    """Fetch what others share, for the decisions to come."""
    async with _alone(ports):
        on(state)
        pack = server.pack()
        state.keep_pack(asdict(pack), ports.clock.now())
    return pack


async def forget(teacher: Teacher, server: TeachingServer, state: TeachingState, *, ports: Ports) -> None:
    """Have the server remove all that came from here, and keep nothing of it."""
    await turn_off(state, ports=ports)
    async with _alone(ports):
        try:
            server.forget(teacher.source_instance_id)
        except Unavailable as error:
            raise Unavailable(
                f"Syncing is off now, but what was sent is on the server still: {error.message} Then run `hopper sync "
                "forget` again."
            ) from None
        state.forget()


@asynccontextmanager
async def _alone(ports: Ports) -> AsyncIterator[None]:
    async with ports.turns.take(_TURN, _PATIENCE_SECONDS) as taken:
        if not taken:
            raise Unavailable(_BUSY)
        yield


async def _learned(teacher: Teacher, state: TeachingState, ports: Ports) -> Learned:
    async with ports.reading() as uow:
        targets = await _targets(uow)
        outcomes = [outcome async for some in known_outcomes(uow) for outcome in some]
        past: dict[TaskId, KnownOutcome] = {}
        hear(outcomes, past)
        patterns = [one for one in await uow.patterns.for_learning() if one.source is not PatternSource.NORTHBOUND]
        return what_leaves(
            with_cases(patterns, map(example, past.values())),
            [_case(outcome, targets) for outcome in outcomes],
            await uow.feedback.stats(),
            targets,
            source=teacher.source_instance_id,
            naming=teacher.naming,
            private=state.private(),
        )


async def _targets(uow: UnitOfWork) -> dict[InstanceId, tuple[str, Scope]]:
    return {one.id: (one.name, one.scope) for one in await all_instances(uow)}


def _case(outcome: KnownOutcome, targets: dict[InstanceId, tuple[str, Scope]]) -> Case:
    chosen = targets.get(outcome.chosen_instance or "")
    return Case(
        episode_id=outcome.episode_id,
        task_id=outcome.task_id,
        text=f"{outcome.title}\n{outcome.description}",
        tags=tuple(name for name, value in outcome.tags.items() if value is True),
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
