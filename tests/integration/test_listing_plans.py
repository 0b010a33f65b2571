"""How PostgreSQL finds what a listing asks for, among many tasks."""

import asyncpg


async def test_a_projects_tasks_are_found_without_reading_all_others(database_url: str) -> None:
    """The list of an old project would take a second on a server with a million tasks, and ever longer."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        """INSERT INTO tasks (id, title, status, project, created_at)
           SELECT n, 'a task', 'done', 'project ' || n / 100, now() + n * interval '1 minute'
           FROM generate_series(1, 20000) AS n"""
    )
    await connection.execute("ANALYZE tasks")
    [[plan]] = await connection.fetch(
        """EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM tasks WHERE project = 'project 1'
           ORDER BY created_at DESC, id DESC LIMIT 51"""
    )
    await connection.close()
    assert '"Index Name": "idx_tasks_project"' in plan
    assert "Rows Removed by Filter" not in plan
