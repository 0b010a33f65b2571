"""Any history of pushes ends in one state on the real database: docs/sync-protocol.md names what is held here."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.sync import source_of

from hopper.app.northbound import change_source, forget_source, receive
from hopper.domain.instance import Scope
from hopper.domain.pattern import Criteria, PatternType
from hopper.ports import Ports
from hopper.sync.payload import EpisodeSummary, FeedbackStats, NorthboundPayload, PatternSync

TAGS = ("cards", "cash", "wire")
SOURCES = ("a", "b", "c")

STATE = {
    "patterns": """SELECT learned_key, name, usage_count, success_count, failure_count, confidence, source_count,
        target_scope, tag_criteria::text FROM routing_patterns WHERE source = 'northbound'""",
    "contributions": """SELECT p.learned_key, c.source_instance_id, c.usage_count, c.success_count, c.failure_count,
        c.confidence, c.sequence FROM pattern_contributions c JOIN routing_patterns p ON p.id = c.pattern_id""",
    "episodes": """SELECT summary_key, source_instance_id, tags::text, chosen_instance_scope, confidence,
        outcome_success, strategy FROM routing_episodes WHERE source = 'northbound'""",
    "feedback": """SELECT source_instance_id, sequence, total_feedback, good_matches, bad_matches, avg_quality_score
        FROM source_feedback_stats""",
    "global": """SELECT total_feedback, good_matches, bad_matches, avg_quality_score, avg_complexity
        FROM global_statistics""",
    "sources": "SELECT source_instance_id, sequence, contribution_cap, is_muted FROM sync_sources",
}
"""All that a merge leaves, without ids and times of its own."""

NOTHING: dict[str, list[tuple[Any, ...]]] = {
    **{name: [] for name in STATE},
    "global": [(0, 0, 0, None, None)],
}


async def state(url: str) -> dict[str, list[tuple[Any, ...]]]:
    connection = await asyncpg.connect(url)
    try:
        rows = {name: await connection.fetch(statement) for name, statement in STATE.items()}
    finally:
        await connection.close()
    return {name: sorted((tuple(row) for row in found), key=repr) for name, found in rows.items()}


@st.composite
def pushes(draw: st.DrawFn, source: str) -> list[NorthboundPayload]:
    """What one source has to say over time: counts grow, episodes are added, feedback is replaced."""
    records = {tag: [0, 0, 0] for tag in TAGS}
    episodes: list[EpisodeSummary] = []
    made = []
    for sequence in range(1, draw(st.integers(2, 4))):
        told = draw(st.lists(st.sampled_from(TAGS), unique=True, min_size=1))
        for tag in told:
            records[tag] = [count + draw(st.integers(0, 90)) for count in records[tag]]
        episodes += [
            EpisodeSummary(
                key=f"{sequence}-{at}",
                tags=(told[0],),
                chosen_instance_scope=Scope.PROJECT,
                confidence=0.5,
                outcome_success=draw(st.booleans()),
                strategy="text_model",
            )
            for at in range(draw(st.integers(0, 2)))
        ]
        made.append(
            NorthboundPayload(
                source_instance_id=source,
                source_instance_name=source,
                sequence=sequence,
                digest=f"{source}-{sequence}",
                patterns=tuple(a_pattern(tag, records[tag], draw(st.sampled_from([0.2, 0.5, 0.9]))) for tag in told),
                episode_summaries=(*episodes, *([replace(episodes[0], key=None)] if episodes else [])),
                feedback_stats=FeedbackStats(
                    total_feedback=draw(st.integers(2, 300)),
                    good_matches=1,
                    bad_matches=1,
                    avg_quality_score=draw(st.sampled_from([None, 0.1, 0.7])),
                ),
            )
        )
    return made


def a_pattern(tag: str, record: Sequence[int], confidence: float) -> PatternSync:
    right, wrong, still_open = record
    return PatternSync(
        name=tag,
        pattern_type=PatternType.TAG,
        tag_criteria=Criteria(any=(tag,)),
        target_scope=Scope.PROJECT,
        confidence=confidence,
        usage_count=right + wrong + still_open,
        success_count=right,
        failure_count=wrong,
    )


histories = st.tuples(*map(pushes, SOURCES)).map(lambda each: [push for of_one in each for push in of_one])


async def push(payload: NorthboundPayload, ports: Ports) -> None:
    await receive(payload, await source_of(payload.source_instance_id, ports), ports=ports)


async def broken_off(payload: NorthboundPayload, after: float, ports: Ports) -> None:
    """A push whose server is stopped so many seconds into it."""
    try:
        async with asyncio.timeout(after):
            await push(payload, ports)
    except TimeoutError:
        pass


async def start_again(ports: Ports) -> None:
    for source in SOURCES:
        await source_of(source, ports)
        await forget_source(source, ports=ports)
        await source_of(source, ports)
    await change_source("c", is_muted=True, ports=ports)
    await change_source("b", contribution_cap=7, ports=ports)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, data=st.data())
async def test_replay_reorder_duplication_concurrency_and_crash_end_in_one_state(
    history: list[NorthboundPayload], data: st.DataObject, ports: Ports, database_url: str
) -> None:
    """What is known would depend on lost answers, on which push was faster, and on when the power went."""
    await start_again(ports)
    for payload in history:
        await push(payload, ports)
    expected = await state(database_url)
    for payload in history:  # replay
        await push(payload, ports)
    assert await state(database_url) == expected

    await start_again(ports)
    again = data.draw(st.lists(st.sampled_from(history), max_size=4))
    arrived = data.draw(st.permutations([*history, *again]))  # reorder, duplication
    while arrived:
        how, some = data.draw(st.sampled_from(["alone", "at once", "broken off"])), data.draw(st.integers(2, 3))
        match how:
            case "alone":
                await push(arrived.pop(), ports)
            case "at once":
                await asyncio.gather(*(push(payload, ports) for payload in arrived[:some]))
                del arrived[:some]
            case "broken off":
                await broken_off(arrived[-1], data.draw(st.floats(0, 0.02)), ports)  # and sent again, some time
    assert await state(database_url) == expected


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, forgotten=st.sampled_from(SOURCES))
async def test_forgetting_a_source_is_as_if_it_had_never_been_heard(
    history: list[NorthboundPayload], forgotten: str, ports: Ports, database_url: str
) -> None:
    """Whoever wants to be forgotten would go on counting."""
    await start_again(ports)
    await forget_source(forgotten, ports=ports)
    for payload in history:
        if payload.source_instance_id != forgotten:
            await push(payload, ports)
    expected = await state(database_url)

    await start_again(ports)
    for payload in history:
        await push(payload, ports)
    await forget_source(forgotten, ports=ports)
    assert await state(database_url) == expected
    for source in {*SOURCES} - {forgotten}:
        await forget_source(source, ports=ports)
    assert await state(database_url) == NOTHING


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, cap=st.integers(0, 50), times=st.integers(1, 3))
async def test_bounded_weight_no_source_moves_a_total_by_more_than_its_cap(
    history: list[NorthboundPayload], cap: int, times: int, ports: Ports, database_url: str
) -> None:
    """One source with large numbers would speak for all."""
    await start_again(ports)
    for payload in history:
        await push(payload, ports)
    before = await state(database_url)
    await change_source("a", contribution_cap=cap, ports=ports)
    huge = tuple(a_pattern(tag, (10**8, 10**8, 10**8), 1.0) for tag in TAGS)
    for sequence in range(9, 9 + times):
        stats = FeedbackStats(total_feedback=10**9, good_matches=10**9, bad_matches=0, avg_quality_score=1.0)
        await push(replace(history[0], sequence=sequence, patterns=huge, feedback_stats=stats), ports)
    after = await state(database_url)
    await change_source("a", is_muted=True, ports=ports)
    muted = {row[0]: row[2:5] for row in (await state(database_url))["patterns"]}
    for row in after["patterns"]:
        assert all(0 <= now - without <= cap for now, without in zip(row[2:5], muted[row[0]], strict=True))
    assert after["global"][0][0] - (await state(database_url))["global"][0][0] <= cap
    assert len(before["patterns"]) <= len(TAGS)
