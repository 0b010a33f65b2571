"""The text model over a real database: learned by itself, kept, shared, and made again."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from tests.builders import a_task, an_instance, feedback_on

from hopper.app.instances import edit_instance
from hopper.app.lifecycle import create_task, give_feedback, route_task
from hopper.app.training import learn_if_due, rebuild, remember, up_to_date
from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.domain.decision import Decision, FactorKind
from hopper.domain.ids import new_id
from hopper.domain.instance import InstanceStatus
from hopper.ports import Ports

SHOPS = {"garage": "brakes squeak on the {}", "bakery": "the {} bread is stale", "florist": "roses for the {} wilted"}
THINGS = ("red", "old", "second", "small", "new", "broken", "long", "fast", "grey", "last")


async def teach(ports: Ports) -> None:
    async with ports.unit_of_work() as uow:
        for shop in SHOPS:
            await uow.instances.add(an_instance(shop))
        await uow.commit()
    for thing in THINGS:
        for shop, text in SHOPS.items():
            await known(ports, text.format(thing), shop)


async def known(ports: Ports, title: str, belongs: str) -> str:
    task = a_task(title, id=new_id(), created_at=ports.clock.now())
    await create_task(task, ports=ports)
    await give_feedback(
        replace(feedback_on(task.id, should_have_routed_to=belongs), created_at=ports.clock.now()), ports=ports
    )
    return task.id


async def ask(ports: Ports, titles: Sequence[str]) -> list[Decision]:
    decisions = []
    for title in titles:
        task = a_task(title, id=new_id(), created_at=ports.clock.now())
        await create_task(task, ports=ports)
        decisions.append(await route_task(task.id, ports=ports, dry_run=True))
    return decisions


ASKED = ("squeaking brakes", "bread from yesterday", "wilted roses", "something else entirely")


def said(decisions: Sequence[Decision]) -> list[tuple[str | None, float]]:
    return [(decision.chosen_instance, round(decision.confidence, 4)) for decision in decisions]


async def test_what_became_known_is_learned_by_itself_and_can_be_learned_again(ports: Ports, database_url: str) -> None:
    """Hopper would never learn from words; or decide otherwise after a rebuild, or on another server."""
    await teach(ports)
    await up_to_date(ports=ports, after_all=True)
    learned = ports.memory.version
    assert learned >= 1
    before = await ask(ports, ASKED)
    assert [decision.chosen_instance for decision in before[:3]] == ["garage", "bakery", "florist"]
    assert any(factor.kind is FactorKind.TEXT_MODEL for factor in before[0].decision_factors)

    assert await rebuild(ports=ports)
    assert ports.memory.version == learned + 1
    assert said(await ask(ports, ASKED)) == said(before)

    async with open_hopper(load_settings(), database_url) as other:
        assert other.memory.version == learned + 1
        assert said(await ask(other, ASKED)) == said(before)


async def test_what_one_process_learned_the_other_one_follows(ports: Ports, database_url: str) -> None:
    """Whether a task is routed well would depend on the process that happens to answer."""
    async with open_hopper(load_settings(), database_url) as other:
        await teach(ports)
        await up_to_date(ports=ports, after_all=True)
        await remember(other)
        assert other.memory.version == ports.memory.version >= 1
        assert said(await ask(other, ASKED)) == said(await ask(ports, ASKED))


async def test_nothing_new_is_nothing_to_learn(ports: Ports) -> None:
    """The server would train all day long."""
    await teach(ports)
    await up_to_date(ports=ports, after_all=True)
    version = ports.memory.version
    assert await learn_if_due(ports=ports) is None
    assert ports.memory.version == version


async def test_a_correction_and_a_new_team_count_at_once(ports: Ports) -> None:
    """People would correct Hopper, and the very next task would go wrong all the same."""
    await teach(ports)
    await up_to_date(ports=ports, after_all=True)
    async with ports.unit_of_work() as uow:
        await uow.instances.add(an_instance("piano"))
        await uow.commit()
    for key in ("upright", "grand", "black", "white", "player"):
        await known(ports, f"tuning of the {key} piano", "piano")
    [decision] = await ask(ports, ["tuning of a piano"])
    assert decision.chosen_instance == "piano"


async def test_a_paused_instance_is_never_chosen_though_the_model_knows_it(ports: Ports) -> None:
    """Tasks would pile up with a team that is on holiday."""
    await teach(ports)
    await up_to_date(ports=ports, after_all=True)
    await edit_instance("garage", {"status": InstanceStatus.PAUSED}, ports=ports)
    [decision] = await ask(ports, ["squeaking brakes"])
    listed = {decision.chosen_instance, *(other.instance_id for other in decision.alternatives)}
    assert "garage" not in listed


async def test_where_all_belongs_to_one_there_is_nothing_to_learn(ports: Ports) -> None:
    """A person with a single list would have a server that tries to learn all day long."""
    async with ports.unit_of_work() as uow:
        await uow.instances.add(an_instance("mine"))
        await uow.commit()
    for number in range(25):
        await known(ports, f"chore number {number}", "mine")
    async with asyncio.timeout(20):
        await up_to_date(ports=ports, after_all=True)
    assert ports.memory.version == 0
    assert await learn_if_due(ports=ports) is None
    [decision] = await ask(ports, ["another chore"])
    assert decision.chosen_instance == "mine"
