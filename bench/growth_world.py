"""A made-up company of any size, for how costs grow: each size in a database of its own, kept once it is whole.

Written by SQL: through Hopper a million tasks would take an hour. Four in five tasks are done; half of all were
decided, by episodes whose outcomes are mostly known; few words are frequent, most are rare. In the statements `0 * n`
has each row draw its own chance.
"""

from collections.abc import Callable

import asyncpg

from hopper.adapters.postgres import migrate
from hopper.adapters.postgres.unit_of_work import open_pool
from hopper.adapters.postgres.vector_indexes import PostgresVectorIndexes

MODEL, DIMENSION = "wordllama-256", 256
INSTANCES = 50
_PART = 50_000

_SUBJECTS = """CREATE UNLOGGED TABLE bench_subjects AS
    SELECT n, (SELECT array_agg(random() - 0.5 + 0 * n * i) FROM generate_series(1, 256) AS i)::vector AS centre,
        (SELECT array_agg(0.6 * (random() - 0.5) + 0 * n * i) FROM generate_series(1, 256) AS i)::vector AS noise
    FROM generate_series(0, 1999) AS n"""

_INSTANCES = """INSERT INTO hopper_instances (id, name, scope, instance_type, status)
    SELECT 'instance-' || n, 'team ' || n, 'PROJECT', 'server', 'running' FROM generate_series(0, 49) AS n"""

_SOME_WORDS = """(SELECT string_agg(translate(to_hex(7919 * floor(20000 * random() ^ 4 + 0 * n * i)::int), '0123456789',
    'ghijklmnop'), ' ') FROM generate_series(1, {}) AS i)"""

_SEARCHED = """INSERT INTO embedding_models (model, provider, dimension, wanted_at, searched_at)
    VALUES ('wordllama-256', 'wordllama', 256, now(), now())"""
"""Else a server would first compare all texts with their vectors, which takes minutes with a million."""

_TASKS = f"""INSERT INTO tasks (id, title, description, status, priority, project, instance_id, tags, created_at)
    SELECT 'task-' || n, {_SOME_WORDS.format(6)}, {_SOME_WORDS.format(30)},
        CASE WHEN n % 5 > 0 THEN 'done' WHEN n % 20 = 0 THEN 'in_progress' ELSE 'pending' END,
        (ARRAY['low', 'medium', 'high', NULL])[1 + n % 4], 'project ' || n / 200,
        CASE WHEN n % 7 > 0 THEN 'instance-' || n % 50 END,
        jsonb_build_object('area', 'area ' || floor(50 * random() ^ 2), 'topic-' || floor(200 * random() ^ 2), true),
        now() - ($3 - n) * interval '730 days' / $3
    FROM generate_series($1::int, $2::int) AS n"""

_DEPENDENCIES = """INSERT INTO task_dependencies SELECT 'task-' || n, 'task-' || n - 1
    FROM generate_series($1::int, $2::int) AS n WHERE n > 1 AND n % 20 BETWEEN 1 AND 6 AND $3 > 0"""

_WAITING = """UPDATE tasks AS t SET waits_for = d.depends_on_id
    FROM task_dependencies AS d JOIN tasks AS needed ON needed.id = d.depends_on_id
    WHERE d.task_id = t.id AND t.status = 'pending' AND needed.status <> 'done'"""

_EPISODES = """INSERT INTO routing_episodes (id, task_id, chosen_instance, confidence, raw_confidence, strategy,
        decision_factors, alternatives, outcome_success, outcome_instance, source, routed_at, completed_at)
    SELECT 'episode-' || n, 'task-' || n, 'instance-' || n % 50, 0.8, 0.8, 'similar_episodes', '[]', '[]',
        CASE WHEN n % 5 > 0 THEN n % 10 > 2 END,
        CASE WHEN n % 5 > 0 THEN 'instance-' || (n + (n % 10 = 2)::int) % 50 END,
        'server', now() - ($3 - n) * interval '730 days' / $3,
        CASE WHEN n % 5 > 0 THEN now() - ($3 - n) * interval '729 days' / $3 END
    FROM generate_series($1::int, $2::int) AS n WHERE n % 2 = 0"""

_DELEGATIONS = """INSERT INTO task_delegations (id, task_id, episode_id, target_instance_id, delegation_type, status,
        delegated_at, completed_at)
    SELECT 'delegation-' || n, 'task-' || n, 'episode-' || n, 'instance-' || n % 50, 'routed',
        CASE WHEN n % 5 > 0 THEN 'completed' ELSE 'pending' END, now() - ($3 - n) * interval '730 days' / $3,
        CASE WHEN n % 5 > 0 THEN now() END
    FROM generate_series($1::int, $2::int) AS n WHERE n % 2 = 0 AND n % 7 > 0"""

# With the hash that Hopper computes (app/evidence.py): else it would embed all of them anew.
_TASK_VECTORS = """INSERT INTO task_embeddings (task_id, model, embedding, content_hash)
    SELECT t.id, 'wordllama-256', l2_normalize(s.centre + one.noise + other.noise),
        encode(sha256(convert_to(t.title || chr(10) || t.description || chr(10) || 'Tags: ' ||
            (SELECT string_agg(key, ', ') FROM jsonb_object_keys(t.tags) AS key), 'UTF8')), 'hex')
    FROM (SELECT n, floor(2000 * random() + 0 * n)::int AS a, floor(2000 * random() + 0 * n)::int AS b
          FROM generate_series($1::int, $2::int) AS n WHERE $3 > 0) AS drawn
    JOIN tasks t ON t.id = 'task-' || drawn.n JOIN bench_subjects s ON s.n = drawn.n % 2000
    JOIN bench_subjects one ON one.n = a JOIN bench_subjects other ON other.n = b"""

_EPISODE_VECTORS = """INSERT INTO episode_embeddings (episode_id, model, embedding, content_hash, is_known)
    SELECT e.id, v.model, v.embedding, '', e.outcome_instance IS NOT NULL
    FROM generate_series($1::int, $2::int) AS n JOIN routing_episodes e ON e.id = 'episode-' || n
    JOIN task_embeddings v USING (task_id) WHERE $3 > 0"""

_IN_PARTS = (_TASKS, _DEPENDENCIES, _EPISODES, _DELEGATIONS, _TASK_VECTORS, _EPISODE_VECTORS)

_FILLED = ("tasks", "routing_episodes")

_SECONDARY = """SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition FROM pg_index i
    WHERE i.indrelid = ANY($1::regclass[]) AND NOT i.indisunique"""


async def make(url: str, tasks: int, tell: Callable[[str], None]) -> None:
    """Fill an empty database with so many tasks and what goes with them, as Hopper would have stored it."""
    await migrate.upgrade(url)
    connection = await asyncpg.connect(url)
    # Building an index at the end takes a fraction of keeping it meanwhile.
    indexes = await connection.fetch(_SECONDARY, list(_FILLED))
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    await connection.execute("SET synchronous_commit = off")
    await connection.execute("SET session_replication_role = replica")  # no look-ups of foreign keys
    for statement in (_SUBJECTS, _INSTANCES, _SEARCHED):
        await connection.execute(statement)
    await connection.execute("ANALYZE")
    for first in range(1, tasks + 1, _PART):
        last = min(first + _PART - 1, tasks)
        for statement in _IN_PARTS:
            await connection.execute(statement, first, last, tasks)
        tell(f"{last:,} of {tasks:,} tasks are there")
    await connection.execute("SET maintenance_work_mem = '1GB'")
    for index in indexes:
        await connection.execute(index["definition"].replace(" ON ONLY ", " ON "))  # on the partitions, too
    await connection.execute("VACUUM ANALYZE")
    await connection.execute(_WAITING)
    tell("the vectors are being indexed")
    pool = await open_pool(url, 2)
    await PostgresVectorIndexes(pool).ensure(MODEL, DIMENSION)
    await pool.close()
    await connection.execute("VACUUM ANALYZE")
    await connection.close()
