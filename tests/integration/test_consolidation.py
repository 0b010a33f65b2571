"""Learned patterns on a real database: made from outcomes, kept up, given up, and never against a person's word."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.builders import a_pattern
from tests.steps import belongs, filed, joined, record

from hopper.app import lifecycle
from hopper.app.consolidation import Consolidation, consolidate, consolidate_if_due, consolidation_worker
from hopper.app.instances import delete_instance
from hopper.app.patterns import create_pattern, delete_pattern, edit_pattern
from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.domain.errors import Unavailable
from hopper.domain.ids import InstanceId
from hopper.domain.instance import InstanceStatus
from hopper.domain.pattern import Criteria, Pattern, PatternSource, PatternType
from hopper.ports import Ports
from hopper.routing.consolidation import ChangeKind

FILLER = ("monday", "urgently", "please", "again", "downtown", "quickly", "thanks", "regards", "today", "soon")


@pytest.fixture
async def shops(ports: Ports) -> None:
    for name in ("bakery", "garage", "office"):
        await joined(ports, name)


async def lived(ports: Ports, says: str, to: InstanceId, times: int, **fields: object) -> None:
    """So many tasks with these words and others, each of which belonged there."""
    for at in range(times):
        task = await filed(ports, f"{FILLER[at % 10]} {says} {FILLER[(at * 3 + 1) % 10]}", **fields)
        await belongs(ports, task.id, to)


async def learned(ports: Ports, **where: object) -> list[Pattern]:
    async with ports.reading() as uow:
        return list((await uow.patterns.list(200, source="learned", **where)).items)  # type: ignore[arg-type]


def counts(answer: Consolidation) -> dict[str, int]:
    """The counts that aren't zero."""
    names = (*(kind.value for kind in ChangeKind), "unchanged")
    return {name: getattr(answer, name) for name in names if getattr(answer, name)}


@pytest.fixture
async def bread(ports: Ports, shops: None) -> Pattern:
    """A learned pattern: sourdough goes to the bakery."""
    await lived(ports, "sourdough", "bakery", 12)
    await lived(ports, "brakes", "garage", 12)
    await consolidate(ports=ports)
    [found] = [p for p in await learned(ports) if p.target_instance == "bakery"]
    return found


async def test_outcomes_become_patterns_that_route(bread: Pattern, ports: Ports) -> None:
    """People would have to write every rule themselves, though their corrections say it all."""
    assert (bread.name, bread.confidence > 0.8) == ("mentions “sourdough” → bakery", True)
    assert bread.description == "All 12 past tasks that mention “sourdough” belonged to bakery."
    assert bread.text_criteria == Criteria(any=("sourdough",))
    assert bread.source is PatternSource.LEARNED
    task = await filed(ports, "Zwei Sourdough bitte")
    decision = await lifecycle.route_task(task.id, ports=ports)
    assert decision.chosen_instance == "bakery"
    assert bread.id in {id for factor in decision.decision_factors for id in factor.pattern_ids}


async def test_consolidating_again_changes_nothing(bread: Pattern, ports: Ports) -> None:
    """Every run would raise versions and wake projections, and patterns would double."""
    before = await learned(ports)
    again = await consolidate(ports=ports)
    assert counts(again) == {"unchanged": 2}
    assert await learned(ports) == before


async def test_a_dry_run_says_what_would_change_and_changes_nothing(shops: None, ports: Ports) -> None:
    """Nobody could look before letting Hopper learn."""
    await lived(ports, "sourdough", "bakery", 12)
    await lived(ports, "brakes", "garage", 12)
    told = await consolidate(ports=ports, dry_run=True)
    assert (counts(told), told.examples, told.dry_run) == ({"made": 2}, 24, True)
    assert await learned(ports) == []
    done = await consolidate(ports=ports)
    assert [change.pattern.name for change in done.changes] == [change.pattern.name for change in told.changes]


async def test_new_evidence_updates_in_place_and_leaves_the_record(bread: Pattern, ports: Ports) -> None:
    """A pattern's decisions would be forgotten, or it would be made a second time."""
    task = await filed(ports, "One sourdough")
    await lifecycle.route_task(task.id, ports=ports)
    await belongs(ports, task.id, "bakery")
    assert await record(ports, bread) == (1, 1, 0)
    assert counts(await consolidate(ports=ports)) == {"updated": 1, "unchanged": 1}
    [now] = [p for p in await learned(ports) if p.target_instance == "bakery"]
    assert (now.id, now.success_count) == (bread.id, 1)
    assert now.confidence > bread.confidence
    assert "All 13 past tasks" in (now.description or "")


async def test_a_pattern_that_outcomes_contradict_is_switched_off_and_can_come_back(
    bread: Pattern, ports: Ports
) -> None:
    """A team that gave its work away would get it for ever."""
    await lived(ports, "sourdough", "office", 14)
    changed = await consolidate(ports=ports)
    assert counts(changed)["deactivated"] == 1
    assert bread.id not in {p.id for p in await learned(ports, is_active=True)}
    await lived(ports, "brakes", "garage", 40)
    await lived(ports, "sourdough", "bakery", 50)
    assert counts(await consolidate(ports=ports))["reactivated"] == 1
    assert bread.id in {p.id for p in await learned(ports, is_active=True)}


async def test_refusals_speak_against_a_pattern(bread: Pattern, ports: Ports) -> None:
    """A pattern whose every task is sent back would go on sending them, since nobody says where they belong."""
    for at in range(14):
        task = await filed(ports, f"sourdough {FILLER[at % 10]}")
        await lifecycle.delegate_task(task.id, "bakery", ports=ports)
        async with ports.reading() as uow:
            live = await uow.delegations.live(task.id)
        assert live
        await lifecycle.reject_delegation(live.id, ports=ports)
    assert counts(await consolidate(ports=ports)).get("deactivated") == 1


async def test_a_refinement_is_linked_to_what_it_refines(shops: None, ports: Ports) -> None:
    """Nobody could see why there are two rules for one thing, and the graph would lack DERIVED_FROM."""
    for _ in range(7):
        await lived(ports, "printer", "office", 4, tags={"paper": True})
        await lived(ports, "printer", "garage", 1)
        await lived(ports, "wrapping", "garage", 2, tags={"paper": True})
        await lived(ports, "bread", "bakery", 5)
    answer = await consolidate(ports=ports)
    [refined] = [change for change in answer.changes if change.change is ChangeKind.REFINED]
    [general] = [change for change in answer.changes if change.pattern.name == "mentions “printer” → office"]
    assert refined.pattern.name == "tagged “paper” and mentions “printer” → office"
    assert refined.derived_from == (general.pattern.id,)
    async with ports.reading() as uow:
        assert await uow.patterns.derivations() == {refined.pattern.id: (general.pattern.id,)}
    assert counts(await consolidate(ports=ports)) == {"unchanged": answer.made + 1}


@pytest.mark.parametrize("target", ["garage", "bakery"])
async def test_nothing_is_learned_beside_a_rule_that_a_person_wrote(target: str, shops: None, ports: Ports) -> None:
    """A person's exception would be argued with by a machine, or said twice."""
    own = await create_pattern(
        a_pattern(target, pattern_type=PatternType.TEXT, text_criteria=Criteria(all=("Sourdough",))), ports=ports
    )
    await lived(ports, "sourdough", "bakery", 12)
    await lived(ports, "brakes", "garage", 12)
    await consolidate(ports=ports)
    assert [p.target_instance for p in await learned(ports)] == ["garage"]
    async with ports.reading() as uow:
        assert await uow.patterns.get(own.id) == own
    await delete_pattern(own.id, ports=ports)
    assert counts(await consolidate(ports=ports)) == {"made": 1, "unchanged": 1}


async def test_a_learned_pattern_makes_way_for_a_persons_rule(bread: Pattern, ports: Ports) -> None:
    """A rule written against what was learned would find the learned one still speaking."""
    own = a_pattern("office", pattern_type=PatternType.TEXT, text_criteria=Criteria(any=("sourdough", "rye")))
    await create_pattern(own, ports=ports)
    assert counts(await consolidate(ports=ports)) == {"deactivated": 1, "unchanged": 1}


async def test_what_a_person_switched_off_stays_off(bread: Pattern, ports: Ports) -> None:
    """Whoever switches a bad pattern off would find it on again the next morning."""
    off = await edit_pattern(bread.id, {"is_active": False}, ports=ports)
    assert (off.source, off.switched_by_person) == (PatternSource.LEARNED, True)
    await lived(ports, "sourdough", "bakery", 5)
    assert counts(await consolidate(ports=ports)) == {"unchanged": 2}
    assert [p.target_instance for p in await learned(ports, is_active=True)] == ["garage"]


async def test_what_a_person_deleted_isnt_learned_again(bread: Pattern, ports: Ports) -> None:
    """A rule that somebody threw out would be back within minutes, and again the next time."""
    await delete_pattern(bread.id, ports=ports)
    assert counts(await consolidate(ports=ports, dry_run=True)) == {"unchanged": 1}
    await lived(ports, "sourdough", "bakery", 5)
    assert counts(await consolidate(ports=ports)).keys() <= {"updated", "unchanged"}
    assert [pattern.target_instance for pattern in await learned(ports)] == ["garage"]


async def test_what_a_person_changed_and_then_deleted_isnt_learned_again(bread: Pattern, ports: Ports) -> None:
    """To make a learned rule one's own before throwing it out would bring it back."""
    await edit_pattern(bread.id, {"text_criteria": Criteria(any=("rye",))}, ports=ports)
    await delete_pattern(bread.id, ports=ports)
    assert counts(await consolidate(ports=ports)) == {"unchanged": 1}


async def test_a_rule_that_is_deleted_during_a_consolidation_stays_away(bread: Pattern, ports: Ports) -> None:
    """Rules are mined for seconds; what a person does meanwhile would be undone."""
    await asyncio.gather(consolidate(ports=ports), delete_pattern(bread.id, ports=ports))
    assert [pattern.target_instance for pattern in await learned(ports)] == ["garage"]


async def test_what_a_person_switched_on_stays_on(bread: Pattern, ports: Ports) -> None:
    """A person's word would hold in one direction only."""
    await edit_pattern(bread.id, {"is_active": False}, ports=ports)
    await edit_pattern(bread.id, {"is_active": True}, ports=ports)
    await lived(ports, "sourdough", "office", 14)
    assert "deactivated" not in counts(await consolidate(ports=ports))
    assert bread.id in {p.id for p in await learned(ports, is_active=True)}


async def test_what_a_person_changed_is_theirs(bread: Pattern, ports: Ports) -> None:
    """An improved pattern would be changed back, or what it was before would be learned again beside it."""
    mine = await edit_pattern(bread.id, {"text_criteria": Criteria(any=("sourdough bread",))}, ports=ports)
    assert mine.source is PatternSource.MANUAL
    assert counts(await consolidate(ports=ports)) == {"unchanged": 1}
    async with ports.reading() as uow:
        assert await uow.patterns.get(bread.id) == mine


async def test_patterns_for_an_instance_that_has_gone_are_not_made(bread: Pattern, ports: Ports) -> None:
    """Learned patterns would point to nobody."""
    async with ports.reading() as uow:
        ids = [task.id for task in (await uow.tasks.triage(200)).items]
    assert ids
    await delete_instance("bakery", ports=ports)
    assert counts(await consolidate(ports=ports)) == {"unchanged": 2}
    assert [p.target_instance for p in await learned(ports, is_active=True)] == ["garage"]


async def test_a_paused_instance_keeps_its_patterns_and_gets_nothing(bread: Pattern, ports: Ports) -> None:
    """After a holiday everything would have to be learned again; or tasks would go to whoever is away."""
    from hopper.app.instances import edit_instance

    await edit_instance("bakery", {"status": InstanceStatus.PAUSED}, ports=ports)
    assert counts(await consolidate(ports=ports)) == {"unchanged": 2}
    decision = await lifecycle.route_task((await filed(ports, "sourdough")).id, ports=ports)
    assert decision.chosen_instance != "bakery"


@pytest.fixture
async def second(database_url: str, ports: Ports) -> AsyncIterator[Ports]:
    """Another server process's view of the same database."""
    async with open_hopper(load_settings(), database_url) as opened:
        yield opened


async def test_several_processes_make_each_pattern_once(shops: None, ports: Ports, second: Ports) -> None:
    """Two servers on one database would double every pattern, or fail."""
    await lived(ports, "sourdough", "bakery", 12)
    await lived(ports, "brakes", "garage", 12)
    answers = await asyncio.gather(*(consolidate(ports=one) for one in (ports, second, ports, second)))
    assert sum(answer.made for answer in answers) == 2
    assert len(await learned(ports)) == 2


async def test_a_second_process_waits_its_turn_and_then_says_so(
    monkeypatch: pytest.MonkeyPatch, shops: None, ports: Ports, second: Ports
) -> None:
    """A request would hang for ever behind a stuck process, or hold the connections that the other one needs."""
    monkeypatch.setattr("hopper.app.consolidation._PATIENCE_SECONDS", 0.5)
    async with ports.turns.take("patterns.consolidation", 0) as taken:
        assert taken
        with pytest.raises(Unavailable, match="already"):
            await consolidate(ports=second)
        assert await consolidate_if_due(1, timedelta(0), ports=second) is None
    assert counts(await consolidate(ports=second)) == {}


async def test_it_happens_by_itself_after_enough_outcomes(shops: None, ports: Ports) -> None:
    """Nothing would be learned unless somebody remembers to ask for it."""
    logged: list[str] = []
    worker = consolidation_worker(
        ports, 24, timedelta(0), lambda event, **_fields: logged.append(event), poll_seconds=0.02
    )
    await lived(ports, "sourdough", "bakery", 12)
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(0.2)
    assert await learned(ports) == []
    await lived(ports, "brakes", "garage", 12)
    for _ in range(500):
        if len(await learned(ports)) == 2:
            break
        await asyncio.sleep(0.02)
    worker.stop()
    await running
    assert (len(await learned(ports)), logged) == (2, [])


async def test_corrections_bring_it_about_like_new_outcomes(bread: Pattern, ports: Ports) -> None:
    """A rule that people have shown to be wrong would stay until much else has happened."""
    async with ports.reading() as uow:
        past = (await uow.episodes.known_outcomes(24)).items
    assert await consolidate_if_due(5, timedelta(0), ports=ports) is None
    for outcome in [outcome for outcome in past if outcome.outcome_instance == "bakery"][:5]:
        await belongs(ports, outcome.task_id, "office")
    assert await consolidate_if_due(5, timedelta(0), ports=ports)


async def test_it_doesnt_happen_more_often_than_the_pause_allows(bread: Pattern, ports: Ports) -> None:
    """A busy server would do nothing but learn."""
    await lived(ports, "sourdough", "bakery", 2)
    assert await consolidate_if_due(2, timedelta(minutes=5), ports=ports) is None
    assert await consolidate_if_due(3, timedelta(0), ports=ports) is None
    done = await consolidate_if_due(2, timedelta(0), ports=ports)
    assert done
    assert done.updated == 1
    assert await consolidate_if_due(1, timedelta(0), ports=ports) is None
