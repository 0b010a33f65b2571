"""When learning from texts goes wrong, or there is nothing to learn: all else goes on, and it is tried again."""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic

import asyncpg
import pytest
import uvloop
from tests.shops import SHOPS, THINGS, ask, decides_with, known, open_shops, teach
from tests.steps import belongs, drained, filed, joined

from hopper.app import training
from hopper.app.trainer import Trainer, training_process
from hopper.app.training import learn_if_due, rebuild, up_to_date
from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.domain.errors import Conflict, Unavailable
from hopper.domain.training import TrainingExample
from hopper.ports import Ports
from hopper.routing.training import FEWEST, Job, train

EXAMPLES = [
    TrainingExample(title=text.format(thing), description=None, tags={}, instance=shop, vector=None)
    for thing in THINGS
    for shop, text in SHOPS.items()
]


def trainers() -> Iterator[int]:
    """The training processes of this one."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            for child in (thread / "children").read_text().split():
                with suppress(OSError):
                    if b"hopper.app.trainer" in Path(f"/proc/{child}/cmdline").read_bytes():
                        yield int(child)


async def at_work() -> int:
    """A training process, as soon as there is one."""
    async with asyncio.timeout(20):
        while True:
            for found in trainers():
                return found
            await asyncio.sleep(0.005)


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """What was given to training processes."""
    given: list[Job] = []
    examples: dict[Trainer, list[TrainingExample]] = {}
    learn_from, model = Trainer.learn_from, Trainer.model

    async def learned_from(trainer: Trainer, example: TrainingExample) -> None:
        examples.setdefault(trainer, []).append(example)
        await learn_from(trainer, example)

    async def modelled(trainer: Trainer, job: Job) -> bytes | None:
        given.append(replace(job, examples=examples.get(trainer, [])))
        return await model(trainer, job)

    monkeypatch.setattr(Trainer, "learn_from", learned_from)
    monkeypatch.setattr(Trainer, "model", modelled)
    return given


async def trained(job: Job) -> bytes | None:
    """What a training process makes of it."""
    async with training_process() as trainer:
        for example in job.examples:
            await trainer.learn_from(example)
        return await trainer.model(replace(job, examples=()))


async def test_a_training_process_that_is_killed_is_started_again(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the machine had been short of memory, Hopper would never learn again, or not answer any more."""
    monkeypatch.setattr(training, "_AFTER_FAILURE_SECONDS", 0.2)
    await teach(ports, THINGS[:7])
    killed = await at_work()
    os.kill(killed, signal.SIGKILL)
    [decision, *_] = await ask(ports)
    assert decision.chosen_instance == "garage"  # by its neighbours
    await decides_with(ports, 1)
    assert (await ask(ports))[0].chosen_instance == "garage"


async def test_the_training_process_learns_what_this_one_would() -> None:
    """What is measured and tested would be another model than the one that decides."""
    job = Job(examples=EXAMPLES, names={shop: shop for shop in SHOPS}, verdicts=(), embedding_model="m", dimension=2)
    model = train(job)
    assert model
    assert await trained(job) == model.to_bytes()
    assert await trained(replace(job, examples=EXAMPLES[:3])) is None


def test_a_training_process_ends_with_the_one_that_started_it() -> None:
    """Beside a server that was killed and is back, one would go on learning from half of the examples, for nobody."""
    left = subprocess.run(
        [sys.executable, "-m", "hopper.app.trainer"],
        check=False,
        input=b"".join(map(pickle.dumps, EXAMPLES)),
        capture_output=True,
        timeout=60,
    )
    assert left.returncode
    assert not left.stdout


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_training_process_that_has_died_is_told(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Who asks for a rebuild while the machine is short of memory would be told of a bug in Hopper."""

    async def killed() -> None:
        async with training_process() as trainer:
            os.kill(await at_work(), signal.SIGKILL)
            await asyncio.sleep(0.5)  # its end is noticed, and the pipe to it closed
            with pytest.raises(Unavailable):
                await trainer.model(Job(examples=(), names={}, verdicts=(), embedding_model="m", dimension=2))

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(killed())


async def test_hopper_stops_at_once_while_it_learns(database_url: str) -> None:
    """Ctrl-C would seem to do nothing, and a training process would go on without its server."""
    async with open_hopper(load_settings(), database_url) as ports:
        await teach(ports, THINGS[:7])
        learning = await at_work()
        began = monotonic()
    assert monotonic() - began < 1.5
    assert learning not in trainers()
    async with open_hopper(load_settings(), database_url) as ports:
        await up_to_date(ports=ports)
        assert ports.memory.text_model is not None


async def test_one_team_alone_is_nothing_to_learn_and_is_not_tried_without_end(ports: Ports, tries: list[Job]) -> None:
    """A server of one team would start a process twice a second, for ever; or not notice when there are two."""
    await open_shops(ports)
    for n in range(FEWEST):
        await known(ports, f"brakes squeak {n}", "garage")
    await up_to_date(ports=ports)
    assert len(tries) == 1
    assert await learn_if_due(ports=ports) is None
    assert (len(tries), ports.memory.text_model) == (1, None)
    assert (await ask(ports))[0].chosen_instance == "garage"
    with pytest.raises(Conflict, match="nothing to learn from yet"):
        await rebuild(ports=ports)

    await known(ports, "the bread is stale", "bakery")
    await up_to_date(ports=ports, after_all=True)
    assert ports.memory.text_model
    assert ports.memory.text_model.instances == ("bakery", "garage")


async def test_teams_that_are_gone_are_forgotten(ports: Ports, database_url: str, tries: list[Job]) -> None:
    """What belonged to teams that don't exist any more would be learned over and over, and always in vain."""
    await teach(ports, THINGS[:7])
    await up_to_date(ports=ports)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("DELETE FROM hopper_instances WHERE id <> 'garage'")
    finally:
        await connection.close()
    for n in range(10):
        await known(ports, f"brakes squeak {n}", "garage")
    await up_to_date(ports=ports)
    made = len(tries)
    assert ports.memory.text_model is None
    assert await learn_if_due(ports=ports) is None
    assert len(tries) == made
    assert (await ask(ports))[0].chosen_instance == "garage"


async def test_a_stored_model_that_cannot_be_read_is_made_again(ports: Ports, database_url: str) -> None:
    """After an upgrade, or an accident, Hopper wouldn't start any more for the sake of something it can make anew."""
    await teach(ports, THINGS[:7])
    await up_to_date(ports=ports)
    async with ports.unit_of_work() as uow:
        learned = await uow.text_models.learned()
        assert learned
        await uow.text_models.put(b"of another release", learned.outcomes, learned.through)
        await uow.commit()
    async with open_hopper(load_settings(), database_url) as other:
        assert (await ask(other))[0].chosen_instance == "garage"
        await up_to_date(ports=other)
        assert other.memory.text_model
        assert other.memory.version > learned.version + 1


async def test_a_model_of_another_embedding_model_is_made_anew(ports: Ports) -> None:
    """After search has moved to a better embedding model, decisions would be made with words alone for months."""
    await teach(ports, THINGS[:7])
    await up_to_date(ports=ports)
    model = ports.memory.text_model
    assert model
    async with ports.unit_of_work() as uow:
        learned = await uow.text_models.learned()
        assert learned
        older = replace(model, embedding_model="older", positions={})
        await uow.text_models.put(older.to_bytes(), learned.outcomes, learned.through)
        await uow.commit()
    await training.remember(ports)
    await up_to_date(ports=ports)
    assert ports.memory.text_model
    assert ports.memory.text_model.embedding_model == ports.embedder.model


async def test_whoever_contradicts_himself_is_taken_at_his_last_word(ports: Ports, tries: list[Job]) -> None:
    """A slip of the tongue would be learned beside its correction, and count as much."""
    await open_shops(ports)
    moods = ("garage", "bakery", "garage", "florist")
    for thing in THINGS:
        task = await known(ports, f"brakes squeak on the {thing}", moods[0])
        for mood in moods[1:]:
            await belongs(ports, task, mood)
        await known(ports, f"the {thing} bread is stale", "bakery")
    await up_to_date(ports=ports)
    assert sorted(example.instance for example in tries[-1].examples) == ["bakery"] * 10 + ["florist"] * 10
    assert (await ask(ports))[0].chosen_instance == "florist"


async def test_a_correction_of_an_old_outcome_is_learned(ports: Ports, tries: list[Job]) -> None:
    """A mistake that was learned would go on deciding until much else has become known."""
    await teach(ports)
    task = await known(ports, "brakes squeak on the van", "bakery")
    await up_to_date(ports=ports, after_all=True)
    version = ports.memory.version
    assert [example.instance for example in tries[-1].examples].count("bakery") == len(THINGS) + 1
    await belongs(ports, task, "garage")
    await up_to_date(ports=ports, after_all=True)
    assert ports.memory.version > version
    assert [example.instance for example in tries[-1].examples].count("bakery") == len(THINGS)
    made = tries[-1]
    assert await learn_if_due(ports=ports) is None
    before = ports.memory.text_model
    assert before
    await rebuild(ports=ports)
    assert said_by(tries[-1]) == said_by(made)
    assert ports.memory.text_model
    assert ports.memory.text_model.to_bytes() == before.to_bytes()


def said_by(job: Job) -> list[tuple[str, str]]:
    return [(example.title, example.instance) for example in job.examples]


async def test_vectors_that_come_too_late_are_learned_from(ports: Ports, database_url: str, tries: list[Job]) -> None:
    """What was said while the provider of embeddings was away would be known by its words alone."""
    await teach(ports, THINGS[:7])
    await up_to_date(ports=ports, after_all=True)
    await drained(ports)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            """WITH gone AS (DELETE FROM episode_embeddings RETURNING episode_id)
               INSERT INTO projection_queue (projection, entity_type, entity_id, not_before)
               SELECT 'embedding', 'episode', episode_id, now() + interval '1 hour' FROM gone"""
        )
        await rebuild(ports=ports)
        assert [example.vector for example in tries[-1].examples] == [None] * 21
        assert await learn_if_due(ports=ports) is None
        await connection.execute("UPDATE projection_queue SET not_before = now()")
    finally:
        await connection.close()
    await drained(ports)
    await up_to_date(ports=ports, after_all=True)
    assert all(example.vector is not None for example in tries[-1].examples)
    made = len(tries)
    assert await learn_if_due(ports=ports) is None
    assert len(tries) == made


SCRIPTS = {
    "emoji": "🚲🔧💥" * 100,
    "cyrillic": "тормоза скрипят " * 30,
    "chinese": "刹车吱吱作响" * 80,
    "rtl": "הבלמים חורקים " * 30,
}


async def test_any_text_is_learned_from_and_decided_in_bounded_time(ports: Ports) -> None:
    """One pasted log file, or a task in another script, would hold up everyone or end learning."""
    await teach(ports, THINGS[:7])
    for text in SCRIPTS.values():
        for _ in range(2):
            await known(ports, text[:400], "garage")
    await up_to_date(ports=ports, after_all=True)
    assert ports.memory.text_model
    assert ports.memory.text_model.examples == 7 * len(SHOPS) + 2 * len(SCRIPTS)
    for text in (*SCRIPTS.values(), "brakes " * 70, "x" * 500, "?", "\u200b"):
        began = monotonic()
        [decision] = await ask(ports, [text[:500]])
        assert monotonic() - began < 2
        assert 0 <= decision.confidence <= 1
    [decision] = await ask(ports, [SCRIPTS["cyrillic"][:400]])
    assert decision.chosen_instance == "garage"


async def test_learning_runs_no_code_of_the_directory_that_a_server_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is named like a module would be run, or stop all learning without a word."""
    (tmp_path / "pickle.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert await trained(Job(examples=[], names={}, verdicts=[], embedding_model="m", dimension=4)) is None


async def test_a_correction_that_waited_for_another_one_is_news(ports: Ports) -> None:
    """What a person says while the model is made would be learned only when others speak."""
    await joined(ports, "cards")
    task = await filed(ports)
    async with ports.unit_of_work() as uow:
        await uow.tasks.get_for_update(task.id)
        waiting = asyncio.create_task(belongs(ports, task.id, "cards"))
        await asyncio.sleep(0.3)
        meanwhile = ports.clock.now()
    await waiting
    async with ports.reading() as uow:
        [episode] = await uow.episodes.of_task(task.id)
    assert episode.completed_at is not None
    assert episode.completed_at > meanwhile
