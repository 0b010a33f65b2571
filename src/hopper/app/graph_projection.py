"""Keeping a graph database equal to the truth: batch by batch, or anew from nothing.

The order of things makes it exact. A batch is read from the truth only after its turn on the graph has come, and turns
come one after the other, so an older reading never overwrites a newer one. Each turn takes a number and leaves it in
the graph, and what was done is noted in the truth afterwards: a graph with a lower number than noted there was emptied,
or is an older copy; one with a higher number than was ever given out has seen a truth that is gone. Either is built
anew.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from time import monotonic, thread_time

from hopper.app.background import Log, pause, seldom_collecting
from hopper.app.projections import GRAPH, put_off, reason_of, wait_for_writers
from hopper.domain.errors import Conflict, Starting
from hopper.domain.graph import EdgeType, Label
from hopper.ports import Ports
from hopper.ports.circuit import OUTAGES, rest_after
from hopper.ports.graph import GraphLoader, GraphStore, Unit
from hopper.ports.memory import Progress
from hopper.ports.projections import ProjectionState
from hopper.ports.queue import Dirty

LABELS = {"instance": Label.INSTANCE, "pattern": Label.PATTERN, "task": Label.TASK}
"""Types of entities as the queue has them. Instances are read before what refers to them: one that is gone by then
isn't referred to afterwards."""

BATCH = 1_000
_MOST_PAIRS = 50_000
"""Pairs of tags that one transaction counts: each takes memory in the graph database until the end."""

_PAGE = 2_000
_SIDE_BY_SIDE = 2
_LEASE = timedelta(seconds=30)

_POLL_SECONDS = 2.0
_GATHER_SECONDS = 0.05
_LOOK_SECONDS = 5.0
"""How soon an idle worker notices that the graph was emptied or replaced."""

_WEIGH_SECONDS = 30.0
"""How often the weights of tags are worked out: it takes a while where many tags come together."""

_NEVER = float("-inf")

_DEFERENCE = 19.0
"""While writes keep coming the worker rests so many times as long as it worked: they go first."""

_SHORT_REST, _LONG_REST = 0.2, 10.0
_BUSY = 0.5
"""It works in the thread that answers them. It rests no longer than the first while that has little to do, and than the
second while it is busy for more than this share of the time: PostgreSQL answers meanwhile."""


class Outdated(Exception):
    """The graph isn't what was written to it last; it has to be built anew."""


class TooMuch(Exception):
    """More than one transaction on the graph should hold."""


class GraphWorker:
    """Drains the graph's queue until it is stopped. `changed` is set after a commit in this process."""

    def __init__(self, ports: Ports, changed: asyncio.Event, log: Log) -> None:
        self._ports = ports
        self._changed = changed
        self._log = log
        self._stopped = asyncio.Event()
        self._circuit = ports.circuits[GRAPH]
        self._told: set[str] = set()
        self._failures = 0
        self._looked = self._weighed = _NEVER
        self._waiting: list[asyncio.Future[None]] = []
        self._is_slow = False
        self._most = BATCH

    def stop(self) -> None:
        """Finish the batch at hand and return from run."""
        self._stopped.set()
        self._changed.set()

    async def caught_up(self, patience: float) -> None:
        """Wait until all that is committed by now is in the graph; so many seconds at most.

        Who comes while the graph is down, or keeps another one waiting for longer, doesn't wait.
        """
        if self._is_slow or self._circuit.is_resting or self._stopped.is_set():
            return
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._changed.set()
        try:
            await asyncio.wait_for(done, patience)
        except TimeoutError:
            self._is_slow = True

    async def run(self) -> None:
        """Until stop is called. Whatever fails is told by its name and tried again."""
        while not self._stopped.is_set():
            self._changed.clear()
            began, waiting, self._waiting = monotonic(), self._waiting, []
            looked_at, most = 0, self._most
            try:
                with self._circuit.watching():
                    looked_at = await self._round()
                self._works()
            except Exception as error:
                self._tell(error)
                await pause(self._stopped, rest_after(self._failures))
            finally:
                if looked_at == most:
                    self._waiting += waiting
                else:
                    _release(waiting)
            if looked_at == 0 and not self._failures:
                await self._wait_for_changes()
            elif self._changed.is_set() and not self._waiting:
                await self._let_writers_go_first(_DEFERENCE * (monotonic() - began))
        _release(self._waiting)

    async def _round(self) -> int:
        """One batch, or the graph built anew; how many entities were looked at."""
        try:
            if monotonic() - self._looked > _LOOK_SECONDS:
                await self._look()
            looked_at = await project_some(self._ports, self._most)
            if monotonic() - self._weighed > _WEIGH_SECONDS:
                await self._weigh()
            return looked_at
        except Outdated:
            self._looked = _NEVER
            if await rebuild(ports=self._ports, begun=lambda: self._log("the graph is built anew")):
                self._log("the graph is whole")
                return 1
            await pause(self._stopped, _POLL_SECONDS)  # another server is at it
            return 0

    async def _look(self) -> None:
        """See that there is a graph, and the one that was written last."""
        if self._looked == _NEVER:
            await graph_store(self._ports).prepare()
        async with self._ports.unit_of_work() as uow:
            await uow.projections.follow(GRAPH, self._ports.clock.now())
            await uow.commit()
        if not await is_whole(self._ports):
            raise Outdated
        self._looked = monotonic()

    async def _weigh(self) -> None:
        """Nothing waits for it: what fails is tried again at its next time."""
        self._weighed = monotonic()
        try:
            await graph_store(self._ports).weigh()
        except Exception as error:
            self._log("the weights of tags couldn't be worked out", reason=reason_of(error))

    def _works(self) -> None:
        self._most = min(BATCH, 2 * self._most)
        self._is_slow = False
        if self._told:
            self._log("the graph can be written again")
        self._failures = 0
        self._told.clear()

    def _tell(self, error: Exception) -> None:
        """Each reason once until it works again."""
        self._failures += 1
        self._most = max(1, self._most // 2)  # it may have been too much for it
        self._looked = _NEVER
        if not isinstance(error, Starting) and (reason := reason_of(error)) not in self._told:
            self._told.add(reason)
            self._log("the graph can't be written just now", reason=reason)

    async def _let_writers_go_first(self, longest: float) -> None:
        """Until they pause, or somebody waits for the graph."""
        began, busy = monotonic(), thread_time()
        rested = 0.0
        while (
            self._changed.is_set()
            and not (self._waiting or self._stopped.is_set())
            and rested < min(longest, _LONG_REST if thread_time() - busy > _BUSY * rested else _SHORT_REST)
        ):
            self._changed.clear()
            await pause(self._stopped, _GATHER_SECONDS)
            rested = monotonic() - began

    async def _wait_for_changes(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), _POLL_SECONDS)
            if not self._waiting:
                await pause(self._stopped, _GATHER_SECONDS)


def _release(waiting: Sequence["asyncio.Future[None]"]) -> None:
    for done in waiting:
        if not done.done():
            done.set_result(None)


async def project_some(ports: Ports, limit: int = BATCH) -> int:
    """Bring some of what waits into the graph; returns how many entities were looked at.

    Raises Unavailable and Misconfigured while the graph can't be written, and Outdated when it has to be built anew.
    """
    async with ports.unit_of_work() as uow:
        batch = await uow.queue.claim(GRAPH, limit, _LEASE)
        await uow.commit()
    if batch:
        await _settle(batch, ports)
    return len(batch)


async def project_one(label: Label, id: str, *, ports: Ports) -> None:
    """Bring one entity into the graph now, whether or not it waits. Raises as `project_some`."""
    position = await _write({label: [id]}, ports)
    async with ports.unit_of_work() as uow:
        await uow.projections.applied(GRAPH, position)
        await uow.commit()
    await graph_store(ports).weigh()


async def _settle(batch: Sequence[Dirty], ports: Ports) -> None:
    """Write a batch and take it off the queue. One that is refused is halved, and what is refused alone is put off."""
    failure: Exception | None = None
    position = 0
    try:
        position = await _write(_by_label(batch), ports)
    except (*OUTAGES, Outdated) as error:
        failure = error
    except Exception as error:
        if len(batch) > 1:
            half = len(batch) // 2
            await _settle(batch[:half], ports)
            await _settle(batch[half:], ports)
            return
        failure = error
    async with ports.unit_of_work() as uow:
        if failure is None:
            await uow.projections.applied(GRAPH, position)
            await uow.queue.done(GRAPH, batch)
        else:
            # A graph that is built anew is no reason to wait longer afterwards.
            wait = timedelta(0) if isinstance(failure, Outdated) else put_off(batch, failure)
            await uow.queue.failed(GRAPH, batch, reason_of(failure), wait)
        await uow.commit()
    if isinstance(failure, (*OUTAGES, Outdated)):
        raise failure


async def _write(wanted: Mapping[Label, Sequence[str]], ports: Ports) -> int:
    """Make the graph equal to the truth for these entities, as it stands when their turn has come.

    Returns the number that was left. It is taken within the turn, so that numbers have the order of turns, and after a
    look at the last one.
    """
    async with graph_store(ports).writing() as graph:
        async with ports.unit_of_work() as uow:
            state = await uow.projections.state(GRAPH)
            if state.rebuilding or not _follows(graph.position, state, state):
                raise Outdated
            position = await uow.projections.reserve(GRAPH)
            await uow.commit()
        async with ports.reading() as uow:
            found = {label: await uow.graph_source.units(label, ids) for label, ids in wanted.items()}
        units = [unit for those in found.values() for unit in those.values()]
        if len(units) > 1 and sum(_pairs(unit) for unit in units) > _MOST_PAIRS:
            raise TooMuch
        for label, ids in wanted.items():
            gone = [id for id in ids if id not in found[label]]
            if gone:
                await graph.remove(label, gone)
        if units:
            await graph.put(units)
        await graph.leave(position)
    return position


def _pairs(unit: Unit) -> int:
    tags = sum(edge.type is EdgeType.HAS_TAG for edge in unit.edges)
    return tags * (tags - 1) // 2


async def is_whole(ports: Ports) -> bool:
    """Whether the graph is the one that was written last, and isn't being built."""
    async with ports.reading() as uow:
        before = await uow.projections.state(GRAPH)
    position = await graph_store(ports).position()
    async with ports.reading() as uow:
        after = await uow.projections.state(GRAPH)
    return not before.rebuilding and _follows(position, before, after)


def _follows(position: int | None, before: ProjectionState, after: ProjectionState) -> bool:
    """What was noted as done before the graph was asked is in it; what it has was given out before it answered."""
    return position is not None and before.applied <= position <= after.reserved


async def ask_for_rebuild(*, ports: Ports) -> None:
    """Have a server's worker build the graph anew; it starts within seconds."""
    graph_store(ports)
    async with ports.unit_of_work() as uow:
        await uow.projections.begin_rebuilding(GRAPH)
        await uow.projections.count_change()
        await uow.commit()


async def forget(*, ports: Ports) -> None:
    """Follow the graph no longer; a server that has a graph database begins anew within seconds."""
    async with ports.unit_of_work() as uow:
        await uow.projections.unfollow(GRAPH)
        await uow.commit()


async def rebuild(*, ports: Ports, begun: Callable[[], None] = lambda: None) -> bool:
    """Build the graph from nothing while writes go on; False when another server is at it.

    What is written meanwhile waits in the queue. Broken off, it begins anew at the next round of any worker.
    """
    store = graph_store(ports)
    async with ports.turns.take("graph.rebuild", 0) as mine:
        if not mine:
            return False
        if await is_whole(ports):
            return True  # another one has just done it
        begun()
        async with ports.unit_of_work() as uow:
            await uow.projections.begin_rebuilding(GRAPH)
            number = await uow.projections.reserve(GRAPH)
            await uow.queue.clear(GRAPH)
            last = await uow.projections.last_writer()
            total = sum([await uow.graph_source.count(label) for label in LABELS.values()])
            await uow.projections.count_change()
            await uow.commit()
        # A transaction that began before the graph was followed may still commit without a row in the queue.
        await wait_for_writers(last, ports)
        progress = Progress(total=total)
        ports.memory.graph_rebuild = progress
        try:
            async with store.writing():
                pass  # whoever was writing has ended, and whoever comes now sees that it is being built anew
            await store.clear(number)
            ports.circuits[GRAPH].works()  # what it failed with before isn't the news while it is filled
            with seldom_collecting():
                await _load(store.loading(number), progress, ports)
        finally:
            ports.memory.graph_rebuild = None
        async with ports.unit_of_work() as uow:
            await uow.projections.rebuilt(GRAPH, number)
            await uow.projections.count_change()
            await uow.commit()
    return True


async def _load(graph: GraphLoader, progress: Progress, ports: Ports) -> None:
    """Add page after page; one is read and prepared while another is written."""

    async def add(units: Sequence[Unit]) -> None:
        await graph.add(units)
        progress.done += len(units)

    under_way: list[asyncio.Future[None]] = []
    try:
        async for units in _pages(ports):
            if len(under_way) == _SIDE_BY_SIDE:
                await under_way.pop(0)
            under_way.append(asyncio.ensure_future(add(units)))
        await asyncio.gather(*under_way)
    finally:
        for writing in under_way:
            writing.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
    await graph.finish()


async def _pages(ports: Ports) -> AsyncIterator[Sequence[Unit]]:
    for label in LABELS.values():
        after = ""
        while True:
            async with ports.reading() as uow:
                units = await uow.graph_source.page(label, after, _PAGE)
            if not units:
                break
            yield units
            after = units[-1].node.id


def graph_store(ports: Ports) -> GraphStore:
    if ports.graph_store is None:
        raise Conflict("This server has no graph database. Start it with --with-graph, or set NEO4J_URL.")
    return ports.graph_store


def _by_label(batch: Sequence[Dirty]) -> dict[Label, list[str]]:
    ids: dict[str, list[str]] = defaultdict(list)
    for item in batch:
        ids[item.entity_type].append(item.entity_id)
    return {label: ids[entity_type] for entity_type, label in LABELS.items() if entity_type in ids}
