"""Three shops with a short history each, whose words tell where a task belongs."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from tests.builders import NOW, a_task, an_instance, feedback_on

from hopper.app.lifecycle import create_task, give_feedback, route_task
from hopper.domain.decision import Decision
from hopper.domain.ids import InstanceId, TaskId, new_id
from hopper.ports import Ports

SHOPS = {"garage": "brakes squeak on the {}", "bakery": "the {} bread is stale", "florist": "roses for the {} wilted"}
THINGS = ("red", "old", "second", "small", "new", "broken", "long", "fast", "grey", "last")
ASKED = ("squeaking brakes", "bread from yesterday", "wilted roses", "something else entirely")


class _Still:
    """A clock that stands, so that what recency says of two decisions is the same."""

    def now(self) -> datetime:
        return NOW


async def open_shops(ports: Ports) -> None:
    async with ports.unit_of_work() as uow:
        for shop in SHOPS:
            await uow.instances.add(an_instance(shop))
        await uow.commit()


async def teach(ports: Ports, things: Sequence[str] = THINGS) -> None:
    """Open the shops, and say of a task about each thing where it belongs: 30 outcomes."""
    await open_shops(ports)
    for thing in things:
        for shop, text in SHOPS.items():
            await known(ports, text.format(thing), shop)


async def known(ports: Ports, title: str, belongs: InstanceId) -> TaskId:
    """A task that was never routed, of which a person says where it belongs."""
    task = a_task(title, id=new_id(), created_at=ports.clock.now())
    await create_task(task, ports=ports)
    feedback = feedback_on(task.id, should_have_routed_to=belongs, created_at=ports.clock.now())
    await give_feedback(feedback, ports=ports)
    return task.id


async def decides_with(ports: Ports, version: int, within: float = 20.0) -> None:
    """Return when the process has read this version of the model, or a later one, by itself."""
    async with asyncio.timeout(within):
        while True:
            if ports.memory.version >= version:
                return
            await asyncio.sleep(0.02)


async def ask(ports: Ports, titles: Sequence[str] = ASKED) -> list[Decision]:
    """Who should have such tasks; nothing is remembered of it."""
    ports = replace(ports, clock=_Still())
    decisions = []
    for title in titles:
        task = a_task(title, id=new_id())
        await create_task(task, ports=ports)
        decisions.append(await route_task(task.id, ports=ports, dry_run=True))
    return decisions


def said(decisions: Sequence[Decision]) -> list[object]:
    """All that a decision says, its numbers to six places."""
    return [
        (d.chosen_instance, d.confidence, d.raw_confidence, d.strategy, d.alternatives, d.decision_factors)
        for d in decisions
    ]
