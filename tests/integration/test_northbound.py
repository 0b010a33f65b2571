"""What came north, and what whoever runs the server does with it."""

from dataclasses import replace

import pytest
from tests.builders import a_task
from tests.steps import drained, filed, joined
from tests.sync import source_of

from hopper.app.backtest import backtest_stored
from hopper.app.consolidation import consolidate
from hopper.app.lifecycle import route_task
from hopper.app.northbound import add_source, authenticate, change_source, pack, receive, refresh_shared, revoke_source
from hopper.app.patterns import delete_pattern, edit_pattern, match_patterns
from hopper.domain.errors import Conflict, Forbidden, Invalid, NotFound
from hopper.domain.instance import Scope
from hopper.domain.pattern import Criteria, Pattern, PatternType
from hopper.ports import Ports
from hopper.ports.vectors import VectorKind
from hopper.sync.payload import EpisodeSummary, FeedbackStats, NorthboundPayload, PatternSync


def a_push(source: str, **fields: object) -> NorthboundPayload:
    """A pattern for cards, ten times of ten right, and one summary."""
    shared = PatternSync(
        name="cards",
        pattern_type=PatternType.TEXT,
        text_criteria=Criteria(any=("card",)),
        target_scope=Scope.ORCHESTRATION,
        confidence=0.9,
        usage_count=10,
        success_count=10,
        failure_count=0,
    )
    summary = EpisodeSummary(
        key="1", chosen_instance_scope=None, confidence=0, outcome_success=None, strategy="abstain", tags=("x",)
    )
    known = {"source_instance_id": source, "source_instance_name": source, "sequence": 1, "digest": "d"}
    told = {"patterns": (shared,), "episode_summaries": (summary,), "feedback_stats": None}
    return NorthboundPayload(**{**known, **told, **fields})  # type: ignore[arg-type]


@pytest.fixture
async def shared(ports: Ports) -> Pattern:
    """The pattern that three sources share."""
    for source in "xyz":
        await receive(a_push(source), await source_of(source, ports), ports=ports)
    return await only(ports)


async def only(ports: Ports) -> Pattern:
    async with ports.reading() as uow:
        [found] = (await uow.patterns.list(10, source="northbound")).items
    return found


async def test_it_is_no_rule_here(shared: Pattern, ports: Ports) -> None:
    """A stranger's pattern would decide like a person's, or stand in the way of what is learned."""
    async with ports.reading() as uow:
        assert await uow.patterns.active() == ()
        assert await uow.patterns.for_learning() == ()
    await drained(ports)
    matched = await match_patterns(a_task("card"), ports=ports)
    assert (matched.matches, matched.nearest) == ((), ())
    assert (await consolidate(ports=ports)).changes == ()
    assert (await backtest_stored([shared.id], 10, ports=ports)).totals.changed == 0


async def test_a_decision_heeds_it_and_leaves_its_record_alone(shared: Pattern, ports: Ports) -> None:
    """What sources say would be mixed with what happens here, and their totals would be no sums any more."""
    await joined(ports, "team")
    await joined(ports, "tools", scope=Scope.ORCHESTRATION)
    await refresh_shared(ports=ports)
    task = await filed(ports, "My card is lost")
    decision = await route_task(task.id, ports=ports)
    assert decision.alternatives[0].instance_id == "tools"
    assert any(shared.id in factor.pattern_ids for factor in decision.decision_factors)
    assert await only(ports) == shared


async def test_its_words_go_to_no_provider_of_embeddings(shared: Pattern, ports: Ports) -> None:
    """What few sources share would be told to a company, for vectors that nobody looks at."""
    await drained(ports)
    async with ports.reading() as uow:
        assert await uow.vectors.sources(VectorKind.PATTERN, [shared.id], ports.embedder.model) == {}
        assert await uow.vectors.get(VectorKind.PATTERN, shared.id, ports.embedder.model) is None
        assert (await uow.models.entities())[VectorKind.PATTERN] == 0


async def test_a_person_can_switch_it_off_and_nothing_else(shared: Pattern, ports: Ports) -> None:
    """Whoever runs the server would have to forget a source to be rid of one pattern."""
    with pytest.raises(Conflict):
        await edit_pattern(shared.id, {"confidence": 1.0, "is_active": False}, ports=ports)
    await edit_pattern(shared.id, {"is_active": False}, ports=ports)
    await receive(a_push("x", sequence=2), await source_of("x", ports), ports=ports)
    assert (await only(ports)).is_active is False
    assert (await pack(ports=ports)).patterns == ()
    await refresh_shared(ports=ports)
    assert ports.memory.shared == ()


async def test_what_a_person_removed_isnt_made_again(shared: Pattern, ports: Ports) -> None:
    """It would be back with the next push, within the hour."""
    await delete_pattern(shared.id, ports=ports)
    receipt = await receive(a_push("w"), await source_of("w", ports), ports=ports)
    assert (receipt.patterns_merged, receipt.patterns_new, receipt.patterns_unchanged) == (1, 0, 1)
    async with ports.reading() as uow:
        assert (await uow.patterns.list(10, source="northbound")).items == ()


async def test_a_confidence_is_the_median_after_each_ones_record(shared: Pattern, ports: Ports) -> None:
    """The loudest source would say what everybody's pattern is worth."""
    [told] = a_push("x").patterns
    assert shared.confidence == pytest.approx((4 * 0.9 + 10) / 14)
    bad = PatternSync(
        **{name: getattr(told, name) for name in told.__slots__} | {"success_count": 0, "failure_count": 9}
    )
    await receive(a_push("w", patterns=(bad,)), await source_of("w", ports), ports=ports)
    assert (await only(ports)).confidence == shared.confidence
    assert (await only(ports)).failure_count == 9


async def test_who_has_no_cases_doesnt_count(ports: Ports) -> None:
    """A source that has seen nothing could open what two others share, and pull down what it is worth."""
    [told] = a_push("x").patterns
    untried = replace(told, confidence=0.0, usage_count=0, success_count=0)
    stats = FeedbackStats(total_feedback=9, good_matches=9, bad_matches=0)
    for source in "xy":
        await receive(a_push(source, feedback_stats=stats), await source_of(source, ports), ports=ports)
    await receive(a_push("w", patterns=(untried,)), await source_of("w", ports), ports=ports)
    assert (await pack(ports=ports)).patterns == ()
    await receive(a_push("v", feedback_stats=stats), await source_of("v", ports), ports=ports)
    [shared] = (await pack(ports=ports)).patterns
    assert shared.sources == 3
    assert shared.confidence == pytest.approx((4 * 0.9 + 10) / 14)
    assert (await pack(ports=ports)).feedback_stats
    await change_source("v", contribution_cap=0, ports=ports)
    without = await pack(ports=ports)
    assert (without.patterns, without.feedback_stats) == ((), None)
    await refresh_shared(ports=ports)
    assert ports.memory.shared == ()


async def test_what_few_share_cant_be_read_by_its_id(ports: Ports) -> None:
    """Whoever knew the id, from when it was shared, could go on reading what one source has left to itself."""
    for source in "xyz":
        await receive(a_push(source), await source_of(source, ports), ports=ports)
    id = (await only(ports)).id
    await change_source("z", is_muted=True, ports=ports)
    async with ports.reading() as uow:
        assert await uow.patterns.get_many([id]) == ()
        with pytest.raises(NotFound):
            await uow.patterns.get(id)
    for changed in (edit_pattern(id, {"is_active": False}, ports=ports), delete_pattern(id, ports=ports)):
        with pytest.raises(NotFound):
            await changed
    with pytest.raises(Invalid):
        await backtest_stored([id], 10, ports=ports)
    await change_source("z", is_muted=False, ports=ports)
    assert (await only(ports)).is_active


async def test_a_push_that_is_refused_leaves_no_trace(ports: Ports) -> None:
    """Its episodes would be there without its patterns."""
    source = await source_of("x", ports)
    await receive(a_push("x", sequence=2), source, ports=ports)
    [told] = a_push("x").patterns
    less = PatternSync(
        **{name: getattr(told, name) for name in told.__slots__} | {"usage_count": 9, "success_count": 9}
    )
    more = tuple(
        EpisodeSummary(key=key, chosen_instance_scope=None, confidence=0, outcome_success=None, strategy="abstain")
        for key in "abc"
    )
    with pytest.raises(Invalid) as refused:
        await receive(a_push("x", sequence=3, patterns=(less,), episode_summaries=more), source, ports=ports)
    assert refused.value.field == "patterns.0.usage_count"
    async with ports.reading() as uow:
        [record] = await uow.sync.sources()
    assert (record.sequence, record.episodes) == (2, 1)
    late = await receive(a_push("x", sequence=1, patterns=(less,)), source, ports=ports)
    assert late.patterns_unchanged == 1, "an earlier push that arrives late says less, and harms nothing"


async def test_a_source_that_is_revoked_during_its_push_isnt_merged(ports: Ports) -> None:
    """A push that was under way would slip through after it was stopped."""
    token = (await add_source("x", "x", ports=ports)).token
    source = await authenticate(token, ports=ports)
    await revoke_source("x", ports=ports)
    with pytest.raises(Forbidden):
        await receive(a_push("x"), source, ports=ports)
    with pytest.raises(Forbidden):
        await authenticate(token, ports=ports)
