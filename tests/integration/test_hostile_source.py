"""A source that wants everybody's tasks to go elsewhere: bounded, told, and taken back."""

import pytest
from tests.builders import an_instance
from tests.steps import belongs, drained, filed
from tests.sync import source_of

from hopper.app.instances import create_instance
from hopper.app.lifecycle import route_task
from hopper.app.northbound import change_source, forget_source, pack, receive, refresh_shared
from hopper.app.training import rebuild, remember
from hopper.domain.decision import Decision
from hopper.domain.instance import Scope
from hopper.domain.pattern import Criteria, PatternType
from hopper.ports import Ports
from hopper.sync.payload import EpisodeSummary, FeedbackStats, NorthboundPayload, PatternSync

AREAS = {
    "payments": ("card is declined", Scope.PROJECT),
    "loans": ("loan is not paid out", Scope.PROJECT),
    "branch": ("branch is closed", Scope.ORCHESTRATION),
    "mine": ("calendar has a gap", Scope.GLOBAL),
}
PLACES = ("Lisbon", "Porto", "Faro", "Braga", "Evora")
WORDS = sorted({word for text, _ in AREAS.values() for word in text.split()} | {place.lower() for place in PLACES})
TASKS = [f"{text} in {place} {number}" for text, _ in AREAS.values() for place in PLACES for number in range(10)]


def a_pattern(word: str, scope: Scope, *, right: int, wrong: int = 0) -> PatternSync:
    return PatternSync(
        name=word,
        pattern_type=PatternType.TEXT,
        text_criteria=Criteria(any=(word,)),
        target_scope=scope,
        confidence=1.0 if right > wrong else 0.0,
        usage_count=right + wrong,
        success_count=right,
        failure_count=wrong,
    )


def a_push(source: str, sequence: int, *patterns: PatternSync) -> NorthboundPayload:
    most = 10**9 if source.startswith("hostile") else 10
    episode = EpisodeSummary(
        tags=("cards",), chosen_instance_scope=Scope.GLOBAL, confidence=1, outcome_success=True, strategy="manual"
    )
    return NorthboundPayload(
        source_instance_id=source,
        source_instance_name=source,
        sequence=sequence,
        digest=str(sequence),
        patterns=patterns,
        episode_summaries=(episode,) * 200,
        feedback_stats=FeedbackStats(total_feedback=most, good_matches=0, bad_matches=most, avg_quality_score=0),
    )


async def push(ports: Ports, payload: NorthboundPayload) -> None:
    await receive(payload, await source_of(payload.source_instance_id, ports), ports=ports)


def honest(source: str) -> NorthboundPayload:
    """What three others found, and found to be right."""
    told = [(word, scope) for text, scope in AREAS.values() for word in text.split() if len(word) > 3]
    return a_push(source, 1, *(a_pattern(word, scope, right=40, wrong=2) for word, scope in told))


def hostile(source: str, sequence: int) -> NorthboundPayload:
    """Every word belongs to GLOBAL, with all the weight that can be written down; what others say is wrong."""
    lies = [a_pattern(word, Scope.GLOBAL, right=5 * 10**8) for word in WORDS]
    slander = [
        a_pattern(word, scope, right=0, wrong=5 * 10**8)
        for word in WORDS
        for scope in (Scope.PROJECT, Scope.ORCHESTRATION)
    ]
    return a_push(source, sequence, *lies, *slander)


@pytest.fixture
async def instances(ports: Ports) -> None:
    for name, (_, scope) in AREAS.items():
        await create_instance(an_instance(name, scope=scope), ports=ports)


@pytest.fixture
async def tasks(instances: None, ports: Ports) -> list[str]:
    """What a server hasn't decided yet that has seen twelve tasks of each instance go well."""
    for name, (text, _) in AREAS.items():
        for number in range(12):
            await belongs(ports, (await filed(ports, f"{text} {number}")).id, name)
    new = [(await filed(ports, title)).id for title in TASKS]
    await drained(ports)
    await rebuild(ports=ports)  # or it would be learned between two looks
    await remember(ports)
    return new


async def top_choices(ports: Ports, tasks: list[str]) -> list[str]:
    """Who comes first for each task, chosen or not, by what is shared now."""
    await refresh_shared(ports=ports)
    decisions = [await route_task(task, ports=ports, dry_run=True) for task in tasks]
    return [first(decision) for decision in decisions]


def first(decision: Decision) -> str:
    return decision.chosen_instance or decision.alternatives[0].instance_id


def changed(before: list[str], after: list[str]) -> float:
    return sum(one != other for one, other in zip(before, after, strict=True)) / len(before)


async def test_a_hostile_source_changes_less_than_one_in_a_hundred_choices(ports: Ports, tasks: list[str]) -> None:
    """Whoever has one token could send everybody's work where they like."""
    for source in ("x", "y", "z"):
        await push(ports, honest(source))
    before = await top_choices(ports, tasks)
    assert len(ports.memory.shared) == 7
    assert changed(before, [name for name in AREAS for _ in range(50)]) < 0.1, "it has learned what belongs where"
    for sequence in range(1, 6):
        await push(ports, hostile("hostile", sequence))
    assert changed(before, await top_choices(ports, tasks)) < 0.01
    async with ports.reading() as uow:
        listed = {one.source_instance_id: one for one in await uow.sync.sources()}
        own = await uow.episodes.statistics()
    assert listed["hostile"].patterns > 3 * listed["x"].patterns
    assert own.by_strategy.keys() <= {"feedback", "manual"}, "strangers' decisions aren't this server's"
    stats = (await pack(ports=ports)).feedback_stats
    assert stats
    assert stats.total_feedback == 3 * 10 + 100


async def test_a_hostile_source_doesnt_lead_a_newcomer_astray(instances: None, ports: Ports) -> None:
    """Who knows nothing yet, and so needs the others most, would learn from the loudest."""
    tasks = [(await filed(ports, title)).id for title in TASKS]
    unaided = await top_choices(ports, tasks)
    for source in ("x", "y", "z"):
        await push(ports, honest(source))
    before = await top_choices(ports, tasks)
    assert changed(unaided, before) > 0.2, "others are of use to it"
    for sequence in range(1, 4):
        await push(ports, hostile("hostile", sequence))
    assert changed(before, await top_choices(ports, tasks)) < 0.01


async def test_even_three_hostile_sources_change_less_than_one_in_a_hundred(ports: Ports, tasks: list[str]) -> None:
    """With as many tokens as make a pattern count, one's own evidence would count for nothing."""
    before = await top_choices(ports, tasks)
    for source in ("hostile-1", "hostile-2", "hostile-3"):
        await push(ports, hostile(source, 1))
    assert changed(before, await top_choices(ports, tasks)) < 0.01
    assert len(ports.memory.shared) > len(WORDS), "they are heard"
    await change_source("hostile-3", is_muted=True, ports=ports)
    await refresh_shared(ports=ports)
    assert ports.memory.shared == ()
    for source in ("hostile-1", "hostile-2", "hostile-3"):
        await forget_source(source, ports=ports)
    async with ports.reading() as uow:
        assert not (await uow.patterns.list(10, source="northbound")).items
    assert await top_choices(ports, tasks) == before
