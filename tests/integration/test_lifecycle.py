"""The way of a task, on a real database: created, routed, delegated, done, judged, and learned from."""

import asyncpg
import pytest
from tests.steps import (
    CARD,
    REFUND,
    belongs,
    delegations,
    drained,
    episodes,
    filed,
    in_triage,
    joined,
    record,
    rule,
    said,
    task_now,
)

from hopper.app import lifecycle
from hopper.app.patterns import edit_pattern
from hopper.app.tasks import edit_task
from hopper.domain.decision import Strategy
from hopper.domain.delegation import DelegationStatus, DelegationType
from hopper.domain.errors import Conflict, Invalid
from hopper.domain.instance import InstanceStatus
from hopper.domain.task import TaskStatus
from hopper.ports import Ports


@pytest.fixture
async def teams(ports: Ports) -> None:
    """Two instances to choose from: cards and refunds."""
    for name in ("cards", "refunds"):
        await joined(ports, name)


@pytest.mark.usefixtures("teams")
async def test_a_task_goes_the_whole_way(ports: Ports) -> None:
    """The product's promise: filed, sent to the right place, done, and remembered as right."""
    pattern = await rule(ports, "cards")
    task = await filed(ports)
    decision = await lifecycle.route_task(task.id, ports=ports)
    assert (decision.chosen_instance, decision.strategy) == ("cards", Strategy.MANUAL_PATTERN)
    assert 0.5 <= decision.confidence <= 1
    assert [factor.pattern_ids for factor in decision.decision_factors] == [(pattern.id,)]

    [delegation] = await delegations(ports, task.id)
    assert (delegation.source_instance_id, delegation.target_instance_id) == (None, "cards")
    assert (delegation.status, delegation.delegation_type) == (DelegationStatus.PENDING, DelegationType.ROUTED)
    assert (await task_now(ports, task.id)).instance_id == "cards"
    await lifecycle.accept_delegation(delegation.id, ports=ports)
    await lifecycle.complete_delegation(delegation.id, ports=ports)
    [delegation] = await delegations(ports, task.id)
    assert delegation.status is DelegationStatus.COMPLETED
    assert delegation.completed_at is not None
    assert (await task_now(ports, task.id)).status is TaskStatus.DONE

    await said(ports, task.id, was_good_match=True, quality_score=0.9)
    [episode] = await episodes(ports, task.id)
    assert episode.decision(task.id) == decision
    assert (episode.outcome_success, episode.outcome_instance) == (True, "cards")
    assert episode.outcome_duration is not None
    assert episode.outcome_duration.startswith("PT")
    assert await record(ports, pattern) == (1, 1, 0)


@pytest.mark.usefixtures("teams")
async def test_feedback_counts_in_the_very_next_decision(ports: Ports) -> None:
    """People would correct the same mistake again and again."""
    for title, right in ((CARD, "cards"), (REFUND, "refunds")):
        task = await filed(ports, title)
        await lifecycle.route_task(task.id, ports=ports)
        await belongs(ports, task.id, right)
        following = await lifecycle.route_task((await filed(ports, f"{title} again")).id, ports=ports)
        assert (following.chosen_instance, following.strategy) == (right, Strategy.SIMILAR_EPISODES)
        assert task.id in following.decision_factors[0].task_ids


@pytest.mark.usefixtures("teams")
async def test_a_correction_outweighs_the_choice(ports: Ports) -> None:
    """A wrong rule would go on being trusted, and its mistakes would be learned as the truth."""
    pattern = await rule(ports, "refunds")
    task = await filed(ports)
    await lifecycle.route_task(task.id, ports=ports)
    await belongs(ports, task.id, "cards")
    [episode] = await episodes(ports, task.id)
    assert (episode.outcome_success, episode.outcome_instance) == (False, "cards")
    assert await record(ports, pattern) == (1, 0, 1)

    less_sure = await lifecycle.route_task((await filed(ports)).id, ports=ports, dry_run=True)
    assert less_sure.confidence < episode.confidence
    await edit_pattern(pattern.id, {"is_active": False}, ports=ports)
    assert (await lifecycle.route_task((await filed(ports)).id, ports=ports)).chosen_instance == "cards"


@pytest.mark.usefixtures("teams")
async def test_feedback_that_is_taken_back_doesnt_count(ports: Ports) -> None:
    """A slip of the finger would spoil a rule's record for good."""
    pattern = await rule(ports, "cards")
    task = await filed(ports)
    await lifecycle.route_task(task.id, ports=ports)
    for good, expected in ((False, (1, 0, 1)), (True, (1, 1, 0)), (True, (1, 1, 0)), (None, (1, 0, 0))):
        await said(ports, task.id, was_good_match=good)
        assert await record(ports, pattern) == expected


@pytest.mark.usefixtures("teams")
async def test_who_refused_a_task_isnt_asked_again(ports: Ports) -> None:
    """A task would go back and forth between Hopper and an instance that doesn't want it."""
    pattern = await rule(ports, "cards")
    task = await filed(ports)
    await lifecycle.route_task(task.id, ports=ports)
    [delegation] = await delegations(ports, task.id)
    await lifecycle.reject_delegation(delegation.id, ports=ports)
    back = await task_now(ports, task.id)
    assert (back.status, back.instance_id) == (TaskStatus.PENDING, None)
    assert task.id in await in_triage(ports)
    [episode] = await episodes(ports, task.id)
    assert (episode.outcome_success, episode.outcome_instance) == (False, None)
    assert await record(ports, pattern) == (1, 0, 1)

    again = await lifecycle.route_task(task.id, ports=ports)
    named = {again.chosen_instance, *(alternative.instance_id for alternative in again.alternatives)}
    assert "cards" not in named
    assert "refunds" in named


@pytest.mark.usefixtures("teams")
async def test_a_task_without_evidence_waits_for_a_person(ports: Ports) -> None:
    """Hopper would guess, and people would find their tasks in the wrong place."""
    task = await filed(ports)
    decision = await lifecycle.route_task(task.id, ports=ports)
    assert (decision.chosen_instance, decision.strategy) == (None, Strategy.ABSTAIN)
    assert decision.confidence < 0.5
    assert {alternative.instance_id for alternative in decision.alternatives} == {"cards", "refunds"}
    assert await in_triage(ports) == [task.id]
    assert await delegations(ports, task.id) == ()


@pytest.mark.usefixtures("teams")
async def test_a_persons_delegation_teaches(ports: Ports) -> None:
    """People who hand tasks out by hand would have to do so for ever."""
    task = await filed(ports)
    await drained(ports)
    delegation = await lifecycle.delegate_task(task.id, "cards", ports=ports)
    assert delegation.delegation_type is DelegationType.MANUAL
    assert task.id not in await in_triage(ports)
    assert (await lifecycle.route_task((await filed(ports)).id, ports=ports)).chosen_instance == "cards"


@pytest.mark.usefixtures("teams")
async def test_a_delegation_by_hand_corrects_the_routers(ports: Ports) -> None:
    """Two instances would work on one task, and the router wouldn't hear that it was wrong."""
    pattern = await rule(ports, "refunds")
    task = await filed(ports)
    await lifecycle.route_task(task.id, ports=ports)
    await lifecycle.delegate_task(task.id, "cards", ports=ports)
    routed, by_hand = await delegations(ports, task.id)
    assert (routed.status, by_hand.status) == (DelegationStatus.RECALLED, DelegationStatus.PENDING)
    assert await record(ports, pattern) == (1, 0, 1)
    assert [episode.outcome_success for episode in await episodes(ports, task.id)] == [None, False]
    with pytest.raises(Conflict, match="recalled"):
        await lifecycle.accept_delegation(routed.id, ports=ports)
    await edit_pattern(pattern.id, {"is_active": False}, ports=ports)
    assert (await lifecycle.route_task((await filed(ports)).id, ports=ports)).chosen_instance == "cards"


async def test_passing_a_task_on_says_nothing_against_the_holder(ports: Ports) -> None:
    """A team that hands its tasks to its members would look as if it never was the right one."""
    for name, parent in (("team", None), ("member", "team"), ("other", None)):
        await joined(ports, name, parent_id=parent)
    pattern = await rule(ports, "team")
    task = await filed(ports)
    await lifecycle.route_task(task.id, ports=ports)
    await lifecycle.delegate_task(task.id, "member", ports=ports)
    first, second = await delegations(ports, task.id)
    assert (first.status, second.source_instance_id) == (DelegationStatus.COMPLETED, "team")
    await lifecycle.complete_delegation(second.id, ports=ports)
    assert await record(ports, pattern) == (1, 1, 0)


@pytest.mark.usefixtures("teams")
async def test_feedback_without_a_decision_teaches(ports: Ports) -> None:
    """Tasks that came in before Hopper couldn't be used to teach it."""
    task = await filed(ports)
    await drained(ports)
    await belongs(ports, task.id, "cards")
    assert (await lifecycle.route_task((await filed(ports)).id, ports=ports)).chosen_instance == "cards"


@pytest.mark.usefixtures("teams")
async def test_a_task_that_waits_for_others_isnt_done_by_mistake(ports: Ports) -> None:
    """A person would believe that all is done while a part of it is still open."""
    first = await filed(ports, "First")
    for finish in ("task", "delegation", "edit"):
        second = await filed(ports, f"Second: {finish}", depends_on=(first.id,))
        delegation = await lifecycle.delegate_task(second.id, "cards", ports=ports)
        with pytest.raises(Conflict, match=first.id):
            if finish == "task":
                await lifecycle.complete_task(second.id, ports=ports)
            elif finish == "delegation":
                await lifecycle.complete_delegation(delegation.id, ports=ports)
            else:
                await edit_task(second.id, {"status": TaskStatus.DONE}, ports=ports)
        assert (await task_now(ports, second.id)).status is TaskStatus.PENDING
    forced = await lifecycle.complete_task(second.id, ports=ports, force=True)
    assert forced.status is TaskStatus.DONE
    third = await filed(ports, "Third", depends_on=(first.id,))
    await lifecycle.complete_task(first.id, ports=ports)
    assert (await lifecycle.complete_task(third.id, ports=ports)).status is TaskStatus.DONE


async def test_dependencies_that_come_with_the_end_count(ports: Ports) -> None:
    """One edit could both add what a task waits for and call it done, or not drop what no longer matters."""
    first = await filed(ports, "First")
    second = await filed(ports, "Second")
    with pytest.raises(Conflict, match=first.id):
        await edit_task(second.id, {"depends_on": (first.id,), "status": TaskStatus.DONE}, ports=ports)
    waiting = await filed(ports, "Third", depends_on=(first.id,))
    done = await edit_task(waiting.id, {"depends_on": (), "status": TaskStatus.DONE}, ports=ports)
    assert done.status is TaskStatus.DONE


@pytest.mark.usefixtures("teams")
async def test_an_answer_given_twice_changes_nothing(ports: Ports) -> None:
    """Whoever repeats a request over a bad line would get an error, or count twice."""
    pattern = await rule(ports, "cards")
    answers = (lifecycle.accept_delegation, lifecycle.reject_delegation, lifecycle.complete_delegation)
    for answer in answers:
        task = await filed(ports)
        await lifecycle.route_task(task.id, ports=ports)
        [delegation] = await delegations(ports, task.id)
        await answer(delegation.id, ports=ports)
        once = await task_now(ports, task.id), await delegations(ports, task.id), await record(ports, pattern)
        await answer(delegation.id, ports=ports)
        assert once == (await task_now(ports, task.id), await delegations(ports, task.id), await record(ports, pattern))
    # The last one is completed; it can't be taken back.
    with pytest.raises(Conflict, match="completed"):
        await lifecycle.reject_delegation(delegation.id, ports=ports)


@pytest.mark.usefixtures("teams")
async def test_a_dry_run_stores_nothing(ports: Ports, database_url: str) -> None:
    """Somebody who only looks would move tasks and teach the router."""
    await rule(ports, "cards")
    task = await filed(ports)
    await drained(ports)
    before = await everything(database_url)
    decision = await lifecycle.route_task(task.id, ports=ports, dry_run=True)
    assert (decision.chosen_instance, decision.episode_id) == ("cards", None)
    assert await everything(database_url) == before


async def everything(url: str) -> dict[str, list[str]]:
    """All rows of all tables."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {
            name: [row["row"] for row in await connection.fetch(f"SELECT t::text AS row FROM {name} t ORDER BY 1")]
            for (name,) in tables
        }
    finally:
        await connection.close()


@pytest.mark.parametrize("status", [status for status in InstanceStatus if status is not InstanceStatus.RUNNING])
async def test_an_instance_that_isnt_running_is_never_chosen(ports: Ports, status: InstanceStatus) -> None:
    """Tasks would pile up where nobody works, rule or no rule."""
    await joined(ports, "away", status=status)
    await joined(ports, "here")
    await rule(ports, "away")
    taught = await filed(ports)
    await lifecycle.route_task(taught.id, ports=ports)
    await belongs(ports, taught.id, "away")
    decision = await lifecycle.route_task((await filed(ports)).id, ports=ports)
    assert decision.chosen_instance is None
    assert [alternative.instance_id for alternative in decision.alternatives] == ["here"]


@pytest.mark.parametrize(
    ("by", "below"),
    [(None, {"top", "middle", "leaf", "outside"}), ("top", {"middle", "leaf"}), ("middle", {"leaf"}), ("leaf", set())],
)
async def test_an_instance_delegates_only_to_those_below_it(ports: Ports, by: str | None, below: set[str]) -> None:
    """A project could push its work onto another project, or up to its own parent."""
    for name, parent in (("top", None), ("middle", "top"), ("leaf", "middle"), ("outside", None)):
        await joined(ports, name, parent_id=parent)
    task = await filed(ports)
    decision = await lifecycle.route_task(task.id, ports=ports, by=by)
    assert {alternative.instance_id for alternative in decision.alternatives} == below
    held = await filed(ports, instance_id=by)
    decision = await lifecycle.route_task(held.id, ports=ports)
    assert {alternative.instance_id for alternative in decision.alternatives} == below


@pytest.mark.usefixtures("teams")
async def test_an_unknown_decider_is_refused(ports: Ports) -> None:
    """A mistyped `by` would look like a router that knows nobody, and leave a decision of nobody's behind."""
    task = await filed(ports)
    with pytest.raises(Invalid) as refused:
        await lifecycle.route_task(task.id, ports=ports, by="nobody")
    assert refused.value.field == "by"


@pytest.mark.usefixtures("teams")
@pytest.mark.parametrize("wait", [True, False], ids=["later", "at once"])
async def test_feedback_is_about_the_text_that_was_routed(ports: Ports, wait: bool) -> None:
    """Someone who rewords a task after it was routed would teach Hopper the wrong words."""
    task = await filed(ports)
    await lifecycle.route_task(task.id, ports=ports)
    if wait:
        await drained(ports)
    await edit_task(task.id, {"title": "Order more paper for the printer"}, ports=ports)
    await drained(ports)
    await belongs(ports, task.id, "cards")
    assert (await lifecycle.route_task((await filed(ports)).id, ports=ports)).chosen_instance == "cards"


@pytest.mark.usefixtures("teams")
async def test_reopening_and_handing_over_in_one_edit_delegates(ports: Ports) -> None:
    """A task that is reopened for another team would be held by it, and nobody would have told it."""
    task = await filed(ports)
    await edit_task(task.id, {"status": TaskStatus.DONE}, ports=ports)
    after = await edit_task(task.id, {"status": TaskStatus.PENDING, "instance_id": "cards"}, ports=ports)
    assert (after.status, after.instance_id) == (TaskStatus.PENDING, "cards")
    assert [delegation.target_instance_id for delegation in await delegations(ports, task.id)] == ["cards"]


@pytest.mark.usefixtures("teams")
async def test_a_task_that_is_taken_back_waits_in_triage(ports: Ports) -> None:
    """Work that was begun and taken back would stand in no list, and be forgotten."""
    task = await filed(ports)
    await lifecycle.delegate_task(task.id, "cards", ports=ports)
    await edit_task(task.id, {"status": TaskStatus.IN_PROGRESS}, ports=ports)
    after = await edit_task(task.id, {"instance_id": None}, ports=ports)
    assert (after.status, after.instance_id) == (TaskStatus.PENDING, None)
