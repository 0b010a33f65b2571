"""Comparing vectors with the truth, both ways, and mending what differs."""

from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from tests.builders import a_pattern, a_task
from tests.steps import belongs, drained, filed, joined

from hopper.adapters.embeddings.wordllama import WordLlamaEmbedder
from hopper.app import lifecycle
from hopper.app.embeddings import PART, backfill, differences
from hopper.app.tasks import edit_task
from hopper.domain.errors import Invalid, NotFound
from hopper.ports import Ports
from hopper.ports.vectors import VectorKind

MODEL = WordLlamaEmbedder.model
NOTHING = {"missing": 0, "stale": 0, "wrong_dimension": 0, "outdated_outcome": 0, "orphaned": 0}

DAMAGE = {
    "missing": "DELETE FROM {kind}_embeddings WHERE {kind}_id = $1",
    "stale": "UPDATE {kind}_embeddings SET content_hash = 'another' WHERE {kind}_id = $1",
    "wrong_dimension": "UPDATE {kind}_embeddings SET embedding = '[1,2,3]' WHERE {kind}_id = $1",
    "orphaned": """INSERT INTO {kind}_embeddings ({kind}_id, model, embedding, content_hash)
        SELECT 'gone', model, embedding, content_hash FROM {kind}_embeddings WHERE {kind}_id = $1""",
}


async def sql(url: str, statement: str, *values: object) -> Any:
    """Run a statement as a restore does that heeds no foreign keys."""
    connection = await asyncpg.connect(url, server_settings={"session_replication_role": "replica"})
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()


async def found(ports: Ports) -> dict[str, int]:
    """How many differences of each kind a whole check finds."""
    counts = dict(NOTHING)
    cursor = None
    while True:
        part = await differences(cursor, ports=ports)
        for name in counts:
            counts[name] += len(getattr(part, name))
        if part.next_cursor is None:
            return counts
        cursor = part.next_cursor


async def mended(ports: Ports) -> int:
    """Run a whole backfill; returns how many entities it looked at."""
    cursor, looked_at = None, 0
    while True:
        part = await backfill(cursor, ports=ports)
        looked_at += part.looked_at
        if part.next_cursor is None:
            return looked_at
        cursor = part.next_cursor


@pytest.fixture
async def filled(ports: Ports) -> Ports:
    """A server with some tasks, a decision and a pattern, all embedded."""
    await joined(ports, "cards")
    first = await filed(ports)
    await lifecycle.route_task(first.id, ports=ports)
    await belongs(ports, first.id, "cards")
    async with ports.unit_of_work() as uow:
        await uow.tasks.add_many([a_task(f"Request {number}") for number in range(20)])
        await uow.patterns.add(a_pattern("cards"))
        await uow.commit()
    await drained(ports)
    return ports


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        (kind, damage)
        for kind in VectorKind
        for damage in DAMAGE
        if (kind, damage) != (VectorKind.EPISODE, "stale")  # it may differ from its task's text of today
    ],
)
async def test_a_check_finds_each_kind_of_damage_and_a_backfill_mends_it(
    kind: VectorKind, damage: str, filled: Ports, database_url: str
) -> None:
    """Vectors that went wrong would go on being wrong, and nobody would know."""
    id = await sql(database_url, f"SELECT {kind}_id FROM {kind}_embeddings ORDER BY {kind}_id LIMIT 1")
    assert await found(filled) == NOTHING
    await sql(database_url, DAMAGE[damage].format(kind=kind), id)
    assert await found(filled) == {**NOTHING, damage: 1}
    await mended(filled)
    await drained(filled)
    assert await found(filled) == NOTHING


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_vector_that_doesnt_follow_its_outcome_is_found_and_mended(
    is_known: bool, filled: Ports, database_url: str
) -> None:
    """A past decision wouldn't be learned from, or one that was taken back be, and nobody would know."""
    if not is_known:
        await sql(database_url, "UPDATE routing_episodes SET outcome_instance = NULL, outcome_success = NULL")
    await sql(database_url, "UPDATE episode_embeddings SET is_known = $1", not is_known)
    assert await found(filled) == {**NOTHING, "outdated_outcome": 1}
    await mended(filled)
    assert await found(filled) == NOTHING
    assert await sql(database_url, "SELECT is_known FROM episode_embeddings") is is_known


async def test_a_check_looks_at_everything_in_parts(filled: Ports, database_url: str) -> None:
    """With many tasks the rest would go unlooked at, or the server run out of memory."""
    statement = "INSERT INTO tasks (id, title, status) SELECT 'x' || n, 'Task', 'pending' FROM generate_series(1, $1) n"
    await sql(database_url, statement, 2 * PART)
    part = await differences(None, ports=filled)
    assert (part.looked_at, part.kind) == (PART, VectorKind.TASK)
    assert await found(filled) == {**NOTHING, "missing": 2 * PART}
    assert await mended(filled) == 2 * PART + 21 + 1 + 1


async def test_a_backfill_that_was_broken_off_is_run_again(filled: Ports, database_url: str) -> None:
    """What the first try didn't come to would never be embedded, or what it did be paid for twice."""
    statement = "INSERT INTO tasks (id, title, status) SELECT 'x' || n, 'Task', 'pending' FROM generate_series(1, $1) n"
    await sql(database_url, statement, 2 * PART)
    await backfill(None, ports=filled)
    await drained(filled)
    left = (await found(filled))["missing"]
    assert 0 < left < 2 * PART
    before = await sql(database_url, "SELECT max(created_at) FROM task_embeddings")
    await mended(filled)
    await drained(filled)
    assert await found(filled) == NOTHING
    again = "SELECT count(*) FROM task_embeddings WHERE created_at > $1"
    assert await sql(database_url, again, before) == left


async def test_an_episode_keeps_the_vector_of_its_decision(filled: Ports, database_url: str) -> None:
    """A check would complain of every decision about a task that was edited since."""
    task = await sql(database_url, "SELECT task_id FROM routing_episodes")
    await edit_task(task, {"title": "Another title altogether"}, ports=filled)
    await drained(filled)
    assert await found(filled) == NOTHING


async def test_a_pattern_is_embedded_again_only_when_its_text_changes(filled: Ports, database_url: str) -> None:
    """Every decision that a pattern carries would cost a call of the provider."""
    made = "SELECT created_at FROM pattern_embeddings"
    first = await sql(database_url, made)
    async with filled.unit_of_work() as uow:
        [pattern] = await uow.patterns.active()
        pattern = await uow.patterns.update(replace(pattern, usage_count=5, success_count=4, confidence=0.8))
        await uow.commit()
    await drained(filled)
    assert await sql(database_url, made) == first
    async with filled.unit_of_work() as uow:
        await uow.patterns.update(replace(pattern, description="Lost and stolen ones"))
        await uow.commit()
    await drained(filled)
    assert await sql(database_url, made) > first
    assert await found(filled) == NOTHING


@pytest.mark.parametrize("cursor", ["", "nothing", "dGFzaw", "dGFza3M6eA", "dGFzazoA", "dGFzazp4" + 12 * "eHh4", "ä"])
async def test_a_cursor_that_no_part_gave_out_is_refused(cursor: str, filled: Ports) -> None:
    """A check would begin in the wrong place and say that all is well."""
    with pytest.raises(Invalid):
        await differences(cursor, ports=filled)


async def test_a_model_that_is_not_known_cannot_be_checked(filled: Ports) -> None:
    """A misspelt name would look like a model without any vectors."""
    with pytest.raises(NotFound):
        await differences(None, ports=filled, model="wordlama")
