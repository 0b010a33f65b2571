"""The way of a task in a local instance: the same use cases as on a server, over files."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.builders import a_task, an_instance, feedback_on
from tests.contracts.working import keep

from hopper.app.foreground import embed_waiting, prepare_decisions
from hopper.app.leases import claim_task
from hopper.app.lifecycle import complete_task, create_task, delegate_task, give_feedback, route_task
from hopper.app.search import search
from hopper.bootstrap_local import make_local, open_local
from hopper.domain.delegation import DelegationStatus
from hopper.domain.errors import Unavailable
from hopper.domain.graph import Standing
from hopper.domain.query import Mode
from hopper.domain.task import TaskStatus
from hopper.ports import Ports
from hopper.ports.repositories import TaskFilter


@pytest.fixture
async def ports(tmp_path: Path) -> Ports:
    """A directory with its own instance and two below it."""
    make_local(tmp_path, {"id": "own", "name": "Own", "scope": "PROJECT"})
    opened = open_local(tmp_path)
    await keep(opened.unit_of_work, *(an_instance(name, parent_id="own") for name in ("ovens", "till")))
    return opened


async def test_a_decision_is_learned_from(ports: Ports) -> None:
    """Hopper would ask a person about every task, for ever."""
    for n in range(4):
        for to, title in (("ovens", f"Oven {n} is cold"), ("till", f"Card {n} is declined at the till")):
            task = await create_task(a_task(title), ports=ports)
            await delegate_task(task.id, to, ports=ports)
            await complete_task(task.id, ports=ports)
    await prepare_decisions(ports)
    task = await create_task(a_task("The third oven is cold again"), ports=ports)
    decision = await route_task(task.id, ports=ports)
    assert decision.chosen_instance == "ovens"
    claim = await claim_task("ovens", "baker", timedelta(minutes=1), ports=ports)
    assert claim
    assert claim.task.id == task.id
    await complete_task(task.id, ports=ports)
    await give_feedback(feedback_on(task.id, was_good_match=True), ports=ports)
    async with ports.reading() as uow:
        episode = await uow.episodes.latest(task.id)
        assert episode
        assert (episode.outcome_success, episode.outcome_instance) == (True, "ovens")
        [delegation] = await uow.delegations.of_task(task.id)
        assert delegation.status is DelegationStatus.COMPLETED
        assert (await uow.tasks.get(task.id)).status is TaskStatus.DONE
        assert (await uow.graph.standings(["ovens", "till"]))["till"] == Standing(completed=4)


async def test_tasks_are_found_by_words_and_by_meaning(ports: Ports) -> None:
    """A person would have to read all files."""
    await keep(ports.unit_of_work, a_task("The oven is cold", id="oven"), a_task("Bread is sold out", id="bread"))
    await embed_waiting(ports)
    found = await search("stove temperature", Mode.SEMANTIC, TaskFilter(), 1, ports=ports)
    assert [hit.task.id for hit in found.items] == ["oven"]


async def test_what_needs_a_server_says_so(ports: Ports) -> None:
    """A person would see an error of the program."""
    async with ports.reading() as uow:
        with pytest.raises(Unavailable, match="server"):
            await uow.sync.identity()


async def test_long_work_is_done_by_one_at_a_time(ports: Ports) -> None:
    """Two commands would both learn from all texts, one of them for nothing."""
    async with ports.turns.take("learning", 0) as first, ports.turns.take("learning", 0.05) as second:
        assert (first, second) == (True, False)
        async with ports.turns.take("something else", 0) as other:
            assert other
    async with ports.turns.take("learning", 0) as again:
        assert again
