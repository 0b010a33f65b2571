"""Making and changing the rules that people write."""

from dataclasses import dataclass, replace
from typing import Any

from hopper.app.evidence import text_of, vector_of
from hopper.app.retry import Retry
from hopper.domain.errors import Conflict, Invalid
from hopper.domain.ids import PatternId
from hopper.domain.pattern import Pattern, PatternSource, check_criteria
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.ports.unit_of_work import UnitOfWork
from hopper.routing.patterns import matching

NEAREST = 5


async def create_pattern(pattern: Pattern, *, ports: Ports, retry: Retry | None = None) -> Pattern:
    """Add a pattern; with a retry key, the one that the first try made."""
    async with ports.unit_of_work() as uow:
        if retry:
            earlier = await uow.idempotency.begin(retry.key, retry.fingerprint, pattern.id, ports.clock.now())
            if earlier:
                return await uow.patterns.get(earlier)
        pattern = _of(pattern, ports)
        await _check(pattern, uow)
        await uow.patterns.add(pattern)
        await uow.commit()
    return pattern


async def edit_pattern(
    pattern_id: PatternId, changes: dict[str, Any], *, ports: Ports, expected_version: int | None = None
) -> Pattern:
    """Change some of a pattern's fields."""
    async with ports.unit_of_work() as uow:
        before = await uow.patterns.get_for_update(pattern_id)
        after = _of(_said_by_a_person(before, changes), ports)
        if before.source is not PatternSource.NORTHBOUND:
            await _check(after, uow)
        elif changes.keys() != {"is_active"}:
            raise Conflict("It came from other Hoppers: it can be switched on and off, or removed, and no more.")
        after = await uow.patterns.update(after, expected_version)
        await uow.commit()
    return after


async def delete_pattern(pattern_id: PatternId, *, ports: Ports, expected_version: int | None = None) -> None:
    """Remove a pattern; the decisions it carried keep their factors. A rule that was learned isn't learned again."""
    async with ports.unit_of_work() as uow:
        pattern = await uow.patterns.get_for_update(pattern_id)
        if pattern.learned_key:
            await uow.patterns.reject(pattern.learned_key)
        await uow.patterns.delete(pattern_id, expected_version)
        await uow.commit()


@dataclass(frozen=True, slots=True)
class PatternMatch:
    """A pattern that speaks for a task, and why."""

    pattern: Pattern
    reason: str


@dataclass(frozen=True, slots=True)
class NearPattern:
    """A pattern and how alike its text and a task's are: cosine similarity, at most 1."""

    pattern: Pattern
    similarity: float


@dataclass(frozen=True, slots=True)
class Matched:
    """The active patterns that match a task, the surest first, and those whose texts are nearest to its own.

    `degraded` when the embedder couldn't be reached, so that nothing is known of nearness.
    """

    matches: tuple[PatternMatch, ...]
    nearest: tuple[NearPattern, ...]
    degraded: bool


async def match_patterns(task: Task, *, ports: Ports) -> Matched:
    """What the active patterns say of a task, whether or not it is stored. Changes nothing."""
    vector = await vector_of(text_of(task), ports)
    async with ports.searching() as uow:
        active = await uow.patterns.active()
        near = () if vector is None else await uow.vectors.similar_patterns(vector, ports.embedder.model, NEAREST)
    matches = [PatternMatch(match.pattern, match.reason) for match in matching(active, task)]
    by_id = {pattern.id: pattern for pattern in active}
    return Matched(
        matches=tuple(sorted(matches, key=lambda match: -match.pattern.confidence)),
        nearest=tuple(NearPattern(by_id[id], similarity) for id, similarity in near if id in by_id),
        degraded=vector is None and not ports.none_searched,
    )


def _of(pattern: Pattern, ports: Ports) -> Pattern:
    """What a bound key says counts for decisions that are made inside: it could draw others' tasks to itself."""
    within = ports.asker.within
    is_own = within and pattern.source is PatternSource.MANUAL
    return replace(pattern, source_instance_id=within) if is_own else pattern


def _said_by_a_person(pattern: Pattern, changes: dict[str, Any]) -> Pattern:
    """People have the last word on what was learned: what they change is theirs, what they switch stays so."""
    after = replace(pattern, **changes)
    if pattern.source is not PatternSource.LEARNED:
        return after
    if replace(after, is_active=pattern.is_active) != pattern:
        return replace(after, source=PatternSource.MANUAL)
    return replace(after, switched_by_person=pattern.switched_by_person or "is_active" in changes)


async def _check(pattern: Pattern, uow: UnitOfWork) -> None:
    check_criteria(pattern)
    if pattern.target_instance is None or await uow.instances.missing([pattern.target_instance]):
        raise Invalid("target_instance", f"There is no instance with the id {pattern.target_instance!r}.")
