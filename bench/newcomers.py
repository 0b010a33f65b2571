"""Ten local instances learn from slices of a data set and teach a server; what an eleventh makes of it.

The eleventh has the same instances, no history, and tasks that none of the others had. It decides, and hears after each
decision what would have been right, with the pack of the others and without.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

from bench import servers
from bench.asking import ADMIN_KEY
from bench.data import rows
from bench.figures import Figure
from hopper.adapters.http.client import HopperClient
from hopper.adapters.http.teaching import HttpTeachingServer
from hopper.app import lifecycle, teaching
from hopper.app.consolidation import consolidate
from hopper.app.foreground import prepare_decisions
from hopper.bootstrap_local import make_local, open_local
from hopper.domain.decision import Strategy
from hopper.domain.episode import Episode
from hopper.domain.ids import new_id
from hopper.domain.instance import Instance
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.ports.teaching import Teacher, TeachingState
from hopper.sync.targets import TargetNaming

TEACHERS = 10
DECISIONS = 200
_BATCH = 300
_TEAM = TargetNaming(team_key="what the team shares")


def measure(data: Path) -> list[Figure]:
    """Shares of right first choices. `data` is the directory of the data sets; banking77 is used."""
    past = rows(data / "banking77-train.jsonl.gz")
    new = rows(data / "banking77-test.jsonl.gz")
    new = new[:: len(new) // DECISIONS][:DECISIONS]
    targets = sorted({row["target"] for row in past})
    with (
        TemporaryDirectory(prefix="hopper-bench-") as place,
        servers.hopper(None, Path(place) / "server") as server,
    ):
        address = f"http://{server.host}:{server.port}"
        sent = 0
        for number in range(TEACHERS):
            ports, state = _instance(Path(place) / f"teacher-{number}", targets)
            asyncio.run(_learn(past[number::TEACHERS], ports))
            sent += _teach(address, f"teacher-{number}", ports, state)
        alone = asyncio.run(_decide(new, _instance(Path(place) / "alone", targets)[0]))
        ports, state = _instance(Path(place) / "taught", targets)
        with _registered(address, "taught", state) as taught_by:
            pack = asyncio.run(teaching.pull(taught_by, state, ports=ports))
        taught = asyncio.run(_decide(new, ports))
    return [
        Figure(name="newcomer: patterns of 3 or more of 10 sources", value=len(pack.patterns)),
        Figure(name="newcomer: what the ten sent", value=sent / 1e6, unit="MB"),
        Figure(name="newcomer: right first choices of 200, with the pack", value=taught / DECISIONS,
               goal=alone / DECISIONS),
        Figure(name="newcomer: the same without", value=alone / DECISIONS),
    ]  # fmt: skip


def _instance(place: Path, targets: Sequence[str]) -> tuple[Ports, TeachingState]:
    place.mkdir()
    make_local(place / ".hopper", {"id": "root", "name": "root", "scope": "project"})
    ports = open_local(place / ".hopper")
    asyncio.run(_populate(targets, ports))
    assert ports.teaching
    return ports, ports.teaching()


async def _populate(targets: Sequence[str], ports: Ports) -> None:
    async with ports.unit_of_work() as uow:
        for target in targets:
            made = Instance(id=target, name=target, parent_id="root", created_at=ports.clock.now())
            await uow.instances.add(made)
        await uow.commit()


async def _learn(past: Sequence[dict[str, Any]], ports: Ports) -> None:
    """Decisions that people made, in order, and patterns from them."""
    began = datetime.now(UTC) - timedelta(days=1)
    for start in range(0, len(past), _BATCH):
        async with ports.unit_of_work() as uow:
            for at, row in enumerate(past[start : start + _BATCH], start):
                now, target = began + timedelta(seconds=at), row["target"]
                task = Task(id=f"task-{token_hex(4)}", title=row["title"], created_at=now, updated_at=now)
                await uow.tasks.add(task)
                await uow.episodes.add(
                    Episode(
                        id=new_id(),
                        task_id=task.id,
                        chosen_instance=target,
                        confidence=1.0,
                        strategy=Strategy.MANUAL,
                        outcome_success=True,
                        outcome_instance=target,
                        routed_at=now,
                        completed_at=now,
                    )
                )
            await uow.commit()
    await consolidate(ports=ports)


@contextmanager
def _registered(address: str, source: str, state: TeachingState) -> Iterator[HttpTeachingServer]:
    with HopperClient(address, token=ADMIN_KEY) as client:
        token = client.post("/sync/sources", {"source_instance_id": source, "name": source})["token"]
    state.keep_teacher(Teacher(server=address, source_instance_id=source, token=token, naming=_TEAM))
    with HopperClient(address, token=token) as client:
        yield HttpTeachingServer(client)


def _teach(address: str, source: str, ports: Ports, state: TeachingState) -> int:
    with _registered(address, source, state) as server:
        asyncio.run(teaching.push(server, state, ports=ports, told=lambda done, of: None))
    return server.sent


async def _decide(new: Sequence[dict[str, Any]], ports: Ports) -> int:
    """How many first choices were right, each told before the next decision."""
    right = 0
    for row in new:
        now = ports.clock.now()
        task = Task(id=f"task-{token_hex(4)}", title=row["title"], created_at=now, updated_at=now)
        await lifecycle.create_task(task, ports=ports)
        await prepare_decisions(ports)
        decision = await lifecycle.route_task(task.id, ports=ports)
        first = decision.chosen_instance or (decision.alternatives[0].instance_id if decision.alternatives else None)
        right += first == row["target"]
        await lifecycle.delegate_task(task.id, row["target"], ports=ports)
        await lifecycle.complete_task(task.id, ports=ports)
    return right
