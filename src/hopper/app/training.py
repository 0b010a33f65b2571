"""Keeping the text model up with what has become known.

The model is made anew when known outcomes have grown by a fifth, from all of them; the neighbours know the newest ones
meanwhile. A correction counts like a new outcome, and so does a vector that came too late for the training. The model
is stored, so that all processes decide with the same one, and can be made again from the truth.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from math import ceil

from hopper.app.background import Log
from hopper.app.trainer import training_process
from hopper.domain.errors import Conflict, Unavailable
from hopper.ports import Ports
from hopper.ports.text_models import Learned, Mark
from hopper.routing.text_model import TextModel
from hopper.routing.training import FEWEST, Job

_TURN = "learning.text_model"
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 600.0
_AFTER_FAILURE_SECONDS = 60.0
_GROWTH = 0.2
_SMALL_GROWTH = 0.01
_QUIET = timedelta(seconds=2)
"""When nothing has become known for so long, what little is new is learned, too."""

_STEP = 10

MOST_EXAMPLES = 20_000
"""So many outcomes are learned from at most; of 50 instances that takes one to two minutes and 0.7 gigabytes."""

VERDICTS = 500


async def rebuild(*, ports: Ports) -> Learned:
    """Make the stored model again, from the same outcomes as they are known now. Raises Conflict for too few.

    As long as nobody has taken an outcome back since, the decisions stay the same.
    """
    async with ports.turns.take(_TURN, _PATIENCE_SECONDS) as taken:
        if not taken:
            raise Unavailable("Another process is learning just now. Try again in a minute.")
        async with ports.reading() as uow:
            learned = await uow.text_models.learned()
            through = learned.through if learned else await uow.text_models.last_outcome()
        made = await _made(through, ports) if through else None
    if made is None:
        raise Conflict(
            f"There is nothing to learn from yet: it takes {FEWEST} tasks with a known outcome, of two instances at "
            "least. `hopper feedback` and `hopper done` tell how one went."
        )
    return made


async def learn_if_due(*, ports: Ports, when_quiet: bool = True) -> Learned | None:
    """Make the model anew if enough has become known since, unless another process is at it.

    Little counts as enough only `when_quiet`, while nothing new comes.
    """
    if not await _is_due(ports, when_quiet):
        return None
    async with ports.turns.take(_TURN, 0) as taken:
        if not taken or not await _is_due(ports, when_quiet):
            return None
        async with ports.reading() as uow:
            through = await uow.text_models.last_outcome()
        return await _made(through, ports) if through else None


async def up_to_date(*, ports: Ports, after_all: bool = False) -> None:
    """Return when all that is due has been learned, by whichever process; `after_all`: when nothing more comes."""
    if after_all:
        await asyncio.sleep(1.5 * _QUIET.total_seconds())
    while await _is_due(ports):
        async with ports.turns.take(_TURN, _PATIENCE_SECONDS):
            pass  # whoever was at it is done
        await learn_if_due(ports=ports)
    await remember(ports)


async def remember(ports: Ports) -> None:
    """Read the stored model if it isn't the one that this process decides with."""
    memory = ports.memory
    async with ports.reading() as uow:
        learned = await uow.text_models.learned()
        if learned is None or learned.version == memory.version:
            return
        content = await uow.text_models.content()
    try:
        model = await asyncio.to_thread(TextModel.from_bytes, content) if content else None
    except ValueError:
        memory.text_model, memory.is_readable = None, False
    else:
        memory.text_model, memory.is_readable = model, True
    memory.version = learned.version


async def _is_due(ports: Ports, when_quiet: bool = True) -> bool:
    async with ports.reading() as uow:
        learned = await uow.text_models.learned()
        if learned is None:
            return await uow.text_models.newer(None, FEWEST) >= FEWEST
        if learned.version == ports.memory.version and _is_useless(ports):
            return True
        wanted = max(_STEP, ceil(learned.outcomes * _GROWTH))
        newer = await uow.text_models.newer(learned.through, wanted)
        if learned.awaited:
            newer += max(0, learned.awaited - await uow.text_models.awaited(learned.through, ports.embedder.model))
        if newer >= wanted:
            return True
        if not when_quiet or newer < max(1, ceil(learned.outcomes * _SMALL_GROWTH)):
            return False
        last = await uow.text_models.last_outcome()
        return last is None or ports.clock.now() - last.moment > _QUIET


def _is_useless(ports: Ports) -> bool:
    """Whether the stored model is another release's, or of an embedding model that isn't searched any more."""
    model = ports.memory.text_model
    return not ports.memory.is_readable or (model is not None and model.embedding_model != ports.embedder.model)


async def _made(through: Mark, ports: Ports) -> Learned | None:
    """Learn from the outcomes until then, and store what came of it; None if there is nothing to learn."""
    ports = ports.settled()
    embedding_model, count = ports.embedder.model, 0
    async with training_process() as trainer:
        async with ports.unit_of_work() as uow:
            awaited = await uow.text_models.awaited(through, embedding_model)  # first: one that comes now counts twice
            async for example in uow.text_models.examples(through, MOST_EXAMPLES, embedding_model):
                await trainer.learn_from(example)
                count += 1
            job = Job(
                examples=(),
                names=await uow.instances.names(),
                verdicts=await uow.text_models.verdicts(through, VERDICTS),
                embedding_model=embedding_model,
                dimension=ports.embedder.dimension,
            )
        content = await trainer.model(job)
    async with ports.unit_of_work() as uow:
        learned = await uow.text_models.put(content or b"", count, through, awaited)
        await uow.commit()
    await remember(ports)
    return learned if content else None


class TextModelKeeper:
    """Learns, and follows what other processes have learned, until it is stopped."""

    def __init__(self, ports: Ports, log: Log) -> None:
        self._ports = ports
        self._log = log
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        """Return at once when stopped: a training under way is given up."""
        work = asyncio.gather(self._repeated(self._follow), self._repeated(self._learn))
        await self._stopped.wait()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    async def _repeated(self, step: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                await step()
            except Exception as error:  # nothing else would ever learn
                self._log("learning the text model failed", error=type(error).__name__)
                await asyncio.sleep(_AFTER_FAILURE_SECONDS)
            await asyncio.sleep(_POLL_SECONDS)

    async def _follow(self) -> None:
        await remember(self._ports)

    async def _learn(self) -> None:
        await learn_if_due(ports=self._ports)
