"""The schema's migrations, on a real PostgreSQL: from nothing, back, again, and beside one another."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from tests.conftest import fresh_database

from hopper.adapters.postgres import bounds, migrate
from hopper.adapters.postgres.migrate import SchemaIsBehind, SchemaIsNewer

SEED_TABLES = {
    "tasks": "id title description status priority project instance_id tags source source_instance_id created_at "
    "updated_at",
    "hopper_instances": "id name scope instance_type status parent_id config created_at",
    "task_delegations": "id task_id source_instance_id target_instance_id delegation_type status delegated_at "
    "completed_at",
    "routing_episodes": "id task_id chosen_instance confidence strategy decision_factors outcome_success "
    "outcome_duration source source_instance_id routed_at completed_at",
    "routing_patterns": "id name description pattern_type target_instance tag_criteria text_criteria "
    "priority_criteria confidence usage_count success_count failure_count is_active source source_instance_id "
    "created_at last_used_at last_refined_at",
    "task_feedback": "task_id was_good_match routing_feedback should_have_routed_to quality_score complexity_rating "
    "required_rework source source_instance_id created_at",
    "sync_log": "id source_instance_id sync_type items_synced synced_at",
    "task_embeddings": "task_id embedding model created_at",
    "pattern_embeddings": "pattern_id embedding model created_at",
    "episode_embeddings": "episode_id embedding model created_at",
}
"""What other software may rely on: the names that the architecture gives. More may be there, never less."""

SEED_INDEXES = {
    "idx_tasks_status": ("tasks", ["status"]),
    "idx_tasks_instance": ("tasks", ["instance_id"]),
    "idx_tasks_source": ("tasks", ["source", "source_instance_id"]),
    "idx_episodes_task": ("routing_episodes", ["task_id"]),
    "idx_episodes_outcome": ("routing_episodes", ["outcome_success"]),
    "idx_patterns_target": ("routing_patterns", ["target_instance"]),
    "idx_patterns_active": ("routing_patterns", ["is_active"]),
}
"""All but the vectors' three, which are made for a model once there is enough to index."""


@pytest.fixture
async def empty(postgres_url: str) -> AsyncIterator[str]:
    """A database without a schema."""
    async with fresh_database(postgres_url, "template1") as url:
        yield url


async def sql(url: str, statement: str, *values: object) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(statement, *values))
    finally:
        await connection.close()


async def shape(url: str) -> list[tuple[Any, ...]]:
    """Everything that the schema consists of."""
    rows = await sql(
        url,
        """SELECT 'column', table_name::text, column_name::text,
               concat_ws(' ', data_type, character_maximum_length, is_nullable, column_default)
           FROM information_schema.columns WHERE table_schema = 'public'
           UNION ALL SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
           UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
           FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2, 3""",
    )
    return [tuple(row) for row in rows]


async def test_an_empty_database_gets_the_schema(empty: str) -> None:
    """A fresh installation couldn't start."""
    assert await migrate.revision(empty) is None
    assert await migrate.upgrade(empty) is True
    assert await migrate.revision(empty) == migrate.HEAD
    await migrate.check(empty)


async def test_upgrading_again_changes_nothing(empty: str) -> None:
    """Every start of the server would risk the data, or fail on what is there already."""
    await migrate.upgrade(empty)
    await sql(empty, "INSERT INTO hopper_instances VALUES ('i', 'kept', 'PROJECT', 'server', 'running')")
    before = await shape(empty)
    assert await migrate.upgrade(empty) is False
    assert await shape(empty) == before
    assert [row["name"] for row in await sql(empty, "SELECT name FROM hopper_instances")] == ["kept"]


async def test_every_downgrade_leads_back_and_up_again(empty: str) -> None:
    """Whoever goes back to an earlier version would be left with a database that neither version can use."""
    await migrate.upgrade(empty)
    before = await shape(empty)
    await sql(empty, bounds.DROP)
    await migrate._with_alembic(empty, lambda config: command.downgrade(config, "base"))
    left = await sql(empty, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert [row["tablename"] for row in left] == ["alembic_version"]
    assert await migrate.revision(empty) is None
    assert await migrate.upgrade(empty) is True
    assert await shape(empty) == before


async def test_migrations_make_just_what_the_schema_says(database_url: str) -> None:
    """A column that the code uses would be missing from everybody's database."""
    await migrate.check(database_url)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("ALTER TABLE tasks ADD COLUMN by_hand integer", "by_hand"),
        ("ALTER TABLE tasks DROP COLUMN project CASCADE", "project"),
        ("ALTER TABLE embedding_models ALTER COLUMN provider TYPE varchar(100)", "provider"),
        ("DROP INDEX idx_tasks_status", "idx_tasks_status"),
        ("CREATE TABLE by_hand (id integer)", "by_hand"),
        ("DROP TABLE episode_embeddings_global", "episode_embeddings_global"),
        ("DROP VIEW hopper_bound.tasks", "bound keys"),
    ],
)
async def test_a_change_made_by_hand_is_found(database_url: str, change: str, named: str) -> None:
    """`hopper db check` would call a database fine on which the next version breaks."""
    await sql(database_url, change)
    with pytest.raises(SchemaIsBehind, match=named):
        await migrate.check(database_url)


async def test_a_vector_index_is_no_drift(database_url: str) -> None:
    """Every server with enough tasks would be told that its database is wrong."""
    await sql(
        database_url,
        """CREATE INDEX idx_task_embedding_wordllama_256 ON task_embeddings
           USING hnsw ((embedding::vector(256)) vector_cosine_ops) WHERE model = 'wordllama-256'""",
    )
    await migrate.check(database_url)


async def test_pgvector_may_come_later(empty: str) -> None:
    """Whoever has a PostgreSQL without the extension couldn't start at all, or never get similarity afterwards."""
    assert await migrate.upgrade(empty, pgvector=False) is True
    assert await sql(empty, "SELECT FROM pg_extension WHERE extname = 'vector'") == []
    await migrate.check(empty, pgvector=False)
    assert await migrate.upgrade(empty, pgvector=False) is False
    with pytest.raises(SchemaIsBehind, match="hopper db upgrade"):
        await migrate.check(empty)
    assert await migrate.upgrade(empty) is True
    assert await migrate.upgrade(empty) is False
    for pgvector in (True, False):  # what it has once, it keeps
        await migrate.check(empty, pgvector=pgvector)


async def test_a_database_that_lacks_a_migration_is_told_so(empty: str) -> None:
    """`hopper db check` would show a traceback instead of the command that mends it."""
    with pytest.raises(SchemaIsBehind, match="hopper db upgrade"):
        await migrate.check(empty)


def test_the_newest_revision_is_the_one_in_the_files() -> None:
    """A new migration would never be run: the database would already count as upgraded."""
    scripts = ScriptDirectory(str(migrate.MIGRATIONS))
    assert scripts.get_heads() == [migrate.HEAD]
    assert scripts.get_bases() == ["0001"]


async def test_a_newer_schema_is_refused_and_left_alone(database_url: str) -> None:
    """An old version would write into a database that it doesn't understand."""
    await sql(database_url, "UPDATE alembic_version SET version_num = '9999'")
    before = await shape(database_url)
    with pytest.raises(SchemaIsNewer, match="9999"):
        await migrate.upgrade(database_url)
    with pytest.raises(SchemaIsNewer, match="9999"):
        await migrate.check(database_url)
    assert await shape(database_url) == before
    assert await migrate.revision(database_url) == "9999"


async def test_upgrades_at_once_all_succeed(empty: str) -> None:
    """Two servers that start on one new database would fall over each other."""
    await asyncio.gather(*(migrate.upgrade(empty) for _ in range(3)))
    assert await migrate.revision(empty) == migrate.HEAD
    await migrate.check(empty)


async def test_a_broken_off_upgrade_leaves_nothing(empty: str) -> None:
    """A power cut during the first start would leave half a schema, which no later start can use."""
    await sql(empty, "CREATE TABLE tasks (id integer)")  # in the way of the migration, half-way through it
    with pytest.raises(Exception, match="already exists"):
        await migrate.upgrade(empty)
    tables = await sql(empty, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert [row["tablename"] for row in tables] == ["tasks"]
    await sql(empty, "DROP TABLE tasks")
    assert await migrate.upgrade(empty) is True


@pytest.mark.parametrize("table", SEED_TABLES)
async def test_a_table_of_the_architecture_has_all_its_columns(database_url: str, table: str) -> None:
    """Queries and reports that were written after the architecture would fail."""
    columns = await sql(database_url, "SELECT column_name FROM information_schema.columns WHERE table_name = $1", table)
    assert set(SEED_TABLES[table].split()) <= {row["column_name"] for row in columns}


async def test_the_indexes_of_the_architecture_are_there(database_url: str) -> None:
    """The listings that they serve would slow down with every task."""
    rows = await sql(
        database_url,
        """SELECT i.relname AS index, t.relname AS table, array_agg(a.attname::text ORDER BY k.position) AS columns
           FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
           CROSS JOIN unnest(x.indkey::int[]) WITH ORDINALITY AS k(number, position)
           JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number
           WHERE x.indisvalid AND i.relname LIKE 'idx%' GROUP BY 1, 2""",
    )
    there = {row["index"]: (row["table"], row["columns"]) for row in rows}
    assert {name: there.get(name) for name in SEED_INDEXES} == SEED_INDEXES


async def test_vectors_and_their_operators_are_there(database_url: str) -> None:
    """Nothing similar could ever be found."""
    [row] = await sql(database_url, "SELECT '[1,0]'::vector <=> '[0,1]'::vector AS distance")
    assert row["distance"] == 1
