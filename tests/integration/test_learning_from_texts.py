"""The text model over a real database: learned by itself, kept, shared, and made again."""

from tests.builders import an_instance
from tests.shops import ask, decides_with, known, said, teach

from hopper.app.instances import edit_instance
from hopper.app.training import learn_if_due, rebuild, up_to_date
from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.domain.decision import FactorKind
from hopper.domain.instance import InstanceStatus
from hopper.ports import Ports


async def test_what_became_known_is_learned_by_itself_and_can_be_learned_again(ports: Ports, database_url: str) -> None:
    """Hopper would never learn from words; or decide otherwise after a rebuild, or on another server."""
    await teach(ports)
    await up_to_date(ports=ports, after_all=True)
    learned = ports.memory.version
    assert learned >= 1
    before = await ask(ports)
    assert [decision.chosen_instance for decision in before[:3]] == ["garage", "bakery", "florist"]
    assert any(factor.kind is FactorKind.TEXT_MODEL for factor in before[0].decision_factors)

    assert await rebuild(ports=ports)
    assert ports.memory.version == learned + 1
    assert said(await ask(ports)) == said(before)

    async with open_hopper(load_settings(), database_url) as other:
        assert other.memory.version == learned + 1
        assert said(await ask(other)) == said(before)


async def test_what_one_process_learned_the_other_one_follows(ports: Ports, database_url: str) -> None:
    """Whether a task is routed well would depend on the process that happens to answer."""
    async with open_hopper(load_settings(), database_url) as other:
        await teach(ports)
        await up_to_date(ports=ports, after_all=True)
        assert ports.memory.version >= 1
        await decides_with(other, ports.memory.version, within=1)
        assert said(await ask(other)) == said(await ask(ports))


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
    version = ports.memory.version
    title = "squeaking brakes on the bread van"
    [before] = await ask(ports, [title])
    assert before.chosen_instance == "garage"
    await known(ports, title, "bakery")
    [after] = await ask(ports, [title])
    assert ports.memory.version == version
    assert after.chosen_instance != "garage"
    odds = {other.instance_id: other.confidence for other in after.alternatives}
    assert after.chosen_instance == "bakery" or odds["bakery"] > odds["garage"]

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
    assert "garage" in ports.memory.text_model.instances  # type: ignore[union-attr]
    [decision] = await ask(ports, ["squeaking brakes"])
    listed = {decision.chosen_instance, *(other.instance_id for other in decision.alternatives)}
    assert "garage" not in listed
