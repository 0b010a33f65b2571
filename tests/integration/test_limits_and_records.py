"""What instances' limits and records do to decisions, over the real stores."""

import pytest
from tests.graphs import caught_up, following
from tests.steps import filed, joined, rule

from hopper.app.lifecycle import complete_task, delegate_task, reject_delegation, route_task
from hopper.app.standings import refresh_standings
from hopper.app.tasks import edit_task
from hopper.domain.decision import FactorKind, Strategy
from hopper.domain.graph import Standing
from hopper.domain.task import TaskStatus
from hopper.ports import Ports
from hopper.services.neo4j_keeper import GraphConnection


async def test_nothing_is_routed_to_who_is_full_until_there_is_room(ports: Ports) -> None:
    """Somebody who takes two tasks at a time would get all of them."""
    await joined(ports, "payments", config={"capacity": 2})
    await joined(ports, "loans")
    await rule(ports, "payments")
    taken = [await filed(ports) for _ in range(3)]
    chosen = [(await route_task(task.id, ports=ports)).chosen_instance for task in taken]
    assert chosen == ["payments", "payments", None]
    told = await route_task(taken[2].id, ports=ports, dry_run=True)
    assert told.strategy is Strategy.ABSTAIN
    assert [f.text for f in told.decision_factors if f.kind is FactorKind.LOAD] == ["is full: it takes 2 open tasks"]
    await complete_task(taken[0].id, ports=ports)
    assert (await route_task(taken[2].id, ports=ports)).chosen_instance == "payments"


async def test_a_task_goes_neither_back_nor_back_and_forth(ports: Ports) -> None:
    """Two instances would pass it to each other for ever."""
    for name in ("payments", "loans"):
        await joined(ports, name)
    await rule(ports, "payments")
    refused = await filed(ports)
    await route_task(refused.id, ports=ports)
    async with ports.reading() as uow:
        live = await uow.delegations.live(refused.id)
    assert live is not None
    await reject_delegation(live.id, ports=ports)
    assert (await route_task(refused.id, ports=ports)).chosen_instance != "payments"
    relieved = await filed(ports)
    for _ in range(2):
        await delegate_task(relieved.id, "payments", ports=ports)
        await edit_task(relieved.id, {"instance_id": None}, ports=ports)
    assert (await route_task(relieved.id, ports=ports)).chosen_instance != "payments"


@pytest.mark.parametrize("with_graph", [False, True])
async def test_records_come_from_whichever_store_there_is(
    with_graph: bool, database_url: str, neo4j: GraphConnection
) -> None:
    """Decisions would depend on whether a graph database runs."""
    async with following(database_url, (lambda: neo4j) if with_graph else None) as ports:
        await joined(ports, "payments")
        for _ in range(3):
            task = await filed(ports)
            delegation = await delegate_task(task.id, "payments", ports=ports)
            await reject_delegation(delegation.id, ports=ports)
        done = await filed(ports)
        await delegate_task(done.id, "payments", ports=ports)
        await edit_task(done.id, {"status": TaskStatus.DONE}, ports=ports)
        await delegate_task((await filed(ports)).id, "payments", ports=ports)
        if with_graph:
            await caught_up(ports)
        await refresh_standings(ports=ports)
        assert ports.memory.standings == {"payments": Standing(open_tasks=1, live=1, completed=1, rejected=3)}
