"""Making and changing the rules that people write."""

from dataclasses import replace
from typing import Any

from hopper.app.retry import Retry
from hopper.domain.errors import Invalid
from hopper.domain.ids import PatternId
from hopper.domain.pattern import Pattern, check_criteria
from hopper.ports import Ports
from hopper.ports.unit_of_work import UnitOfWork


async def create_pattern(pattern: Pattern, *, ports: Ports, retry: Retry | None = None) -> Pattern:
    """Add a pattern; with a retry key, the one that the first try made."""
    async with ports.unit_of_work() as uow:
        if retry:
            earlier = await uow.idempotency.begin(retry.key, retry.fingerprint, pattern.id, ports.clock.now())
            if earlier:
                return await uow.patterns.get(earlier)
        await _check(pattern, uow)
        await uow.patterns.add(pattern)
        await uow.commit()
    return pattern


async def edit_pattern(
    pattern_id: PatternId, changes: dict[str, Any], *, ports: Ports, expected_version: int | None = None
) -> Pattern:
    """Change some of a pattern's fields."""
    async with ports.unit_of_work() as uow:
        after = replace(await uow.patterns.get_for_update(pattern_id), **changes)
        await _check(after, uow)
        after = await uow.patterns.update(after, expected_version)
        await uow.commit()
    return after


async def delete_pattern(pattern_id: PatternId, *, ports: Ports, expected_version: int | None = None) -> None:
    """Remove a pattern; the decisions it carried keep their factors."""
    async with ports.unit_of_work() as uow:
        await uow.patterns.delete(pattern_id, expected_version)
        await uow.commit()


async def _check(pattern: Pattern, uow: UnitOfWork) -> None:
    check_criteria(pattern)
    if await uow.instances.missing([pattern.target_instance]):
        raise Invalid("target_instance", f"There is no instance with the id {pattern.target_instance!r}.")
