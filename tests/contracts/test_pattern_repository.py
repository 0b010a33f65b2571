"""Patterns in a store: rules and their records, kept whole."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.builders import a_pattern, later
from tests.contracts.working import UnitOfWorkFactory, add, keep, waiting, walk

from hopper.domain.errors import Conflict, NotFound, StaleVersion
from hopper.domain.pattern import Criteria, Pattern, PatternSource, PatternType
from hopper.domain.task import Priority
from hopper.ports.unit_of_work import UnitOfWork

FULL = a_pattern(
    "cards",
    id="full",
    name="Kärten “dringend”",
    description="Was nicht\nwarten kann",
    pattern_type=PatternType.COMBINED,
    tag_criteria=Criteria(any=("a", "area=ui"), all=("b",), none=("c",)),
    text_criteria=Criteria(none=("lost card",)),
    priority_criteria=Priority.URGENT,
    confidence=0.123456,
    usage_count=7,
    success_count=5,
    failure_count=2,
    is_active=False,
    source=PatternSource.LEARNED,
    source_instance_id="laptop",
    learned_key="0f" * 32,
    switched_by_person=True,
    version=3,
    created_at=later(0.123456),
    last_used_at=later(1),
    last_refined_at=later(2),
)


@pytest.mark.parametrize(
    "pattern",
    [
        FULL,
        a_pattern(),
        a_pattern(tag_criteria=Criteria()),
        a_pattern(pattern_type=PatternType.TEXT, text_criteria=Criteria(all=("x", "y"))),
        a_pattern(pattern_type=PatternType.PRIORITY, priority_criteria=Priority.LOW),
    ],
)
async def test_a_pattern_comes_back_as_it_was_made(pattern: Pattern, uow: UnitOfWork) -> None:
    """A rule would lose one of its conditions, and take tasks that it was to leave alone."""
    await add(uow, pattern)
    assert await uow.patterns.get(pattern.id) == pattern
    assert await uow.patterns.get_many_for_update([pattern.id]) == (pattern,)


async def test_an_update_stores_everything_but_the_making_time(uow: UnitOfWork) -> None:
    """An edit of a rule, or what was learned of it, would be lost."""
    await add(uow, a_pattern(id="full"))
    wanted = replace(FULL, created_at=a_pattern().created_at)
    after = await uow.patterns.update(wanted, 1)
    assert after == replace(wanted, version=2)
    assert await uow.patterns.get("full") == after
    bare = await uow.patterns.update(a_pattern(id="full", description=None))
    assert await uow.patterns.get("full") == bare
    assert bare.version == 3


async def test_a_change_to_a_version_that_has_gone_is_refused(uow: UnitOfWork) -> None:
    """Two people who edit a rule would overwrite each other unknowingly."""
    pattern = a_pattern()
    await add(uow, pattern)
    await uow.patterns.update(replace(pattern, name="theirs"))
    with pytest.raises(StaleVersion, match="version 2"):
        await uow.patterns.update(pattern, 1)
    with pytest.raises(StaleVersion, match="version 2"):
        await uow.patterns.delete(pattern.id, 1)
    assert (await uow.patterns.get(pattern.id)).name == "theirs"
    await uow.patterns.delete(pattern.id, 2)
    with pytest.raises(NotFound):
        await uow.patterns.get(pattern.id)


async def test_a_rule_may_be_rejected_more_than_once(uow: UnitOfWork) -> None:
    """A rule that was written again by hand could not be deleted again."""
    await uow.patterns.reject("one")
    await uow.patterns.reject("two")
    await uow.patterns.reject("one")
    assert await uow.patterns.rejected() == {"one", "two"}


async def test_an_unknown_pattern_is_not_found(uow: UnitOfWork) -> None:
    """Switching off a rule that isn't there would look like a success."""
    for attempt in (
        uow.patterns.get("unknown"),
        uow.patterns.get_for_update("unknown"),
        uow.patterns.update(a_pattern(id="unknown")),
        uow.patterns.update(a_pattern(id="unknown"), 1),
        uow.patterns.delete("unknown"),
        uow.patterns.delete("unknown", 1),
    ):
        with pytest.raises(NotFound) as refused:
            await attempt
        assert (refused.value.kind, refused.value.id) == ("pattern", "unknown")


async def test_a_second_pattern_with_the_same_id_is_a_conflict(uow_factory: UnitOfWorkFactory) -> None:
    """One rule would silently replace another."""
    await keep(uow_factory, a_pattern(id="p"))
    with pytest.raises(Conflict):
        await keep(uow_factory, a_pattern("loans", id="p"))


async def test_only_active_patterns_are_asked(uow: UnitOfWork) -> None:
    """A rule that was switched off would go on deciding."""
    on = [a_pattern(id="b"), a_pattern(id="a")]
    await add(uow, *on, a_pattern(is_active=False))
    assert sorted(pattern.id for pattern in await uow.patterns.active()) == ["a", "b"]
    await uow.patterns.update(replace(on[0], is_active=False))
    assert await uow.patterns.active() == (on[1],)


async def test_the_patterns_of_an_instance_are_switched_off_together(uow: UnitOfWork) -> None:
    """After an instance is removed, its rules would go on matching tasks that nobody can take."""
    first, second, other = a_pattern("a"), a_pattern("a"), a_pattern("b")
    off = a_pattern("a", is_active=False)
    await add(uow, first, second, other, off)
    await uow.patterns.deactivate_for("a")
    assert await uow.patterns.active() == (other,)
    assert await uow.patterns.get(first.id) == replace(first, is_active=False, version=2)
    assert await uow.patterns.get(off.id) == off


async def test_the_oldest_pattern_is_listed_first_and_pages_lose_none(uow: UnitOfWork) -> None:
    """A person who turns pages would miss rules that were made at one moment."""
    await add(uow, a_pattern(id="new", created_at=later(1)), *(a_pattern(id=f"p{n}") for n in range(5)))
    found = await walk(lambda cursor: uow.patterns.list(2, cursor), 2)
    assert [pattern.id for pattern in found] == ["p0", "p1", "p2", "p3", "p4", "new"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"target_instance": "a"}, ["p1", "p2"]),
        ({"is_active": True}, ["p1", "p3"]),
        ({"is_active": False}, ["p2"]),
        ({"source": "learned"}, ["p3"]),
        ({"source": "manual", "is_active": False, "target_instance": "a"}, ["p2"]),
        ({"target_instance": "nobody"}, []),
        ({"id_part": "p"}, ["p1", "p2", "p3"]),
        ({"id_part": "3"}, ["p3"]),
        ({"id_part": "_3"}, []),
    ],
)
async def test_patterns_are_filtered(where: dict[str, Any], expected: list[str], uow: UnitOfWork) -> None:
    """A person couldn't tell their own rules from those that Hopper learned."""
    await add(
        uow,
        a_pattern("a", id="p1"),
        a_pattern("a", id="p2", is_active=False),
        a_pattern("b", id="p3", source=PatternSource.LEARNED),
    )
    found = await walk(lambda cursor: uow.patterns.list(1, cursor, **where), 1)
    assert [pattern.id for pattern in found] == expected


async def test_patterns_for_an_update_come_in_order_and_without_those_that_are_gone(uow: UnitOfWork) -> None:
    """Feedback on a decision whose rule was deleted since would be refused."""
    await add(uow, *(a_pattern(id=id) for id in ("c", "a", "b")))
    found = await uow.patterns.get_many_for_update(["c", "gone", "a", "c"])
    assert [pattern.id for pattern in found] == ["a", "c"]
    assert await uow.patterns.get_many_for_update(["gone"]) == ()
    assert await uow.patterns.get_many_for_update([]) == ()


async def test_counts_from_many_outcomes_at_once_add_up(uow_factory: UnitOfWorkFactory) -> None:
    """A rule's record would miss outcomes that came in at the same moment."""
    await keep(uow_factory, a_pattern(id="a"), a_pattern(id="b"))

    async def succeed(ids: list[str]) -> None:
        async with uow_factory() as uow:
            for pattern in await uow.patterns.get_many_for_update(ids):
                await uow.patterns.update(replace(pattern, success_count=pattern.success_count + 1))
            await uow.commit()

    async with asyncio.timeout(20):
        await asyncio.gather(*(succeed(["a", "b"] if n % 2 else ["b", "a"]) for n in range(20)))
    async with uow_factory() as uow:
        assert [pattern.success_count for pattern in await uow.patterns.active()] == [20, 20]


@pytest.mark.parametrize("how", ["one", "many"])
async def test_patterns_taken_for_an_update_are_not_changed_by_others(how: str, uow_factory: UnitOfWorkFactory) -> None:
    """An outcome would be counted on a record that another request is changing."""
    pattern = a_pattern()
    await keep(uow_factory, pattern)

    async def take(uow: UnitOfWork) -> Pattern:
        if how == "one":
            return await uow.patterns.get_for_update(pattern.id)
        [found] = await uow.patterns.get_many_for_update([pattern.id])
        return found

    async def uses() -> int:
        async with uow_factory() as uow:
            return (await take(uow)).usage_count

    async with uow_factory() as uow:
        assert await take(uow) == pattern
        async with waiting(uses()) as other:
            await uow.patterns.update(replace(pattern, usage_count=5))
            await uow.commit()
    assert other.result() == 5


async def test_what_a_pattern_refines_is_kept_and_replaced(uow: UnitOfWork) -> None:
    """Nobody could see which rule a refinement comes from, or an old link would stay for good."""
    await add(uow, *(a_pattern(id=id) for id in "abcd"))
    assert await uow.patterns.derivations() == {}
    await uow.patterns.derive("a", ["c", "b"])
    await uow.patterns.derive("d", ["a"])
    assert await uow.patterns.derivations() == {"a": ("b", "c"), "d": ("a",)}
    await uow.patterns.derive("a", ["b", "d"])
    await uow.patterns.derive("d", [])
    assert await uow.patterns.derivations() == {"a": ("b", "d")}
    await uow.patterns.delete("b")
    assert await uow.patterns.derivations() == {"a": ("d",)}


async def test_learning_sees_what_was_learned_and_what_people_say(uow: UnitOfWork) -> None:
    """It would write over a person's word, or make twice what it has made."""
    kinds: dict[str, dict[str, Any]] = {
        "learned": {"source": PatternSource.LEARNED, "learned_key": "1" * 64},
        "off": {"source": PatternSource.LEARNED, "is_active": False},
        "manual": {},
        "manual off": {"is_active": False},
        "taken over": {"is_active": False, "learned_key": "2" * 64},
        "northbound": {"source": PatternSource.NORTHBOUND},
    }
    await add(uow, *(a_pattern(id=id, **fields) for id, fields in kinds.items()))
    for for_update in (False, True):
        seen = [pattern.id for pattern in await uow.patterns.for_learning(for_update=for_update)]
        assert seen == ["learned", "manual", "off", "taken over"]
    assert [p.id for p in await uow.patterns.get_many(["off", "gone", "manual"])] == ["manual", "off"]


async def test_one_rule_is_learned_once(uow_factory: UnitOfWorkFactory) -> None:
    """Two processes would make the same pattern side by side."""
    await keep(uow_factory, a_pattern(learned_key="1" * 64))
    with pytest.raises(Conflict):
        await keep(uow_factory, a_pattern(learned_key="1" * 64))
