"""A made-up world for the graph, the same at each run: projects of tasks that depend on one another."""

import asyncpg

TASKS = 100_000
INSTANCES = 1_000
PATTERNS = 2_000
PROJECT = 100
"""Tasks of a project: what depends on one another, or is a part of one another, stays within it."""

_ID = "md5('{}' || ({}))::uuid::text"
_TASK = _ID.format("task", "{}")
_INSTANCE = _ID.format("instance", "{}")
_SOME_INSTANCE = _INSTANCE.format(f"floor(random() * {INSTANCES})::int")

_STATEMENTS = (
    "SELECT setseed(0.5)",
    f"""INSERT INTO hopper_instances (id, name, scope, instance_type, status, parent_id)
        SELECT {_INSTANCE.format("n")}, 'team ' || n, CASE WHEN n = 0 THEN 'GLOBAL' ELSE 'PROJECT' END, 'server',
            'running', CASE WHEN n > 0 THEN {_INSTANCE.format("n / 10")} END
        FROM generate_series(0, {INSTANCES - 1}) AS n""",
    # Few tags are used often, most are rare.
    f"""INSERT INTO tasks (id, title, status, priority, project, instance_id, parent_task_id, tags)
        SELECT {_TASK.format("n")}, 'The card payment number ' || n || ' is declined abroad',
            (ARRAY['pending', 'pending', 'in_progress', 'done', 'done'])[1 + floor(random() * 5)::int],
            (ARRAY['low', 'medium', 'high'])[1 + floor(random() * 3)::int], 'project ' || n / {PROJECT},
            {_SOME_INSTANCE},
            CASE WHEN n % {PROJECT} > 0
                THEN {_TASK.format(f"n - n % {PROJECT} + (n % {PROJECT}) / 4")} END,
            jsonb_build_object('area', 'area ' || floor(50 * random() ^ 2), 'topic-' || floor(200 * random() ^ 2), true,
                'kind-' || floor(8 * random()), true)
        FROM generate_series(0, {TASKS - 1}) AS n""",
    f"""INSERT INTO task_dependencies
        SELECT DISTINCT {_TASK.format("n")}, {_TASK.format("needed")}
        FROM (SELECT n, n - 1 - floor(random() * 15)::int AS needed
              FROM generate_series(0, {TASKS - 1}) AS n, generate_series(1, 2)) AS pairs
        WHERE needed >= n - n % {PROJECT}""",
    # One in fifty came back to whom it was with first.
    f"""WITH handed AS MATERIALIZED (
            SELECT n, {_SOME_INSTANCE} AS one, {_SOME_INSTANCE} AS other FROM generate_series(0, {TASKS - 1}) AS n)
        INSERT INTO task_delegations (id, task_id, source_instance_id, target_instance_id, delegation_type, status,
            delegated_at, completed_at)
        SELECT {_ID.format("delegation", "n || '-' || step")}, {_TASK.format("n")},
            CASE step WHEN 0 THEN {_INSTANCE.format("0")} WHEN 1 THEN one ELSE other END,
            CASE step WHEN 1 THEN other ELSE one END, 'routed',
            CASE WHEN step < steps THEN 'rejected' WHEN n % 3 = 0 THEN 'completed' ELSE 'accepted' END,
            now() - (10 - step) * interval '1 hour', CASE WHEN n % 3 = 0 THEN now() END
        FROM (SELECT *, CASE WHEN n % 50 = 0 THEN 2 WHEN n % 4 = 0 THEN 1 ELSE 0 END AS steps FROM handed) AS handed,
            generate_series(0, steps) AS step""",
    f"""INSERT INTO routing_patterns (id, name, pattern_type, target_instance, tag_criteria, confidence)
        SELECT {_ID.format("pattern", "n")}, 'pattern ' || n, 'tag', {_SOME_INSTANCE},
            jsonb_build_object('any', jsonb_build_array('topic-' || n % 200),
                'all', jsonb_build_array('kind-' || n % 8), 'none', '[]'::jsonb), random()
        FROM generate_series(0, {PATTERNS - 1}) AS n""",
    "VACUUM ANALYZE",
)


async def make(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Fill a database that was just migrated: 103,000 nodes and a million edges."""
    for statement in _STATEMENTS:
        await connection.execute(statement)
