"""What the version before says to the database: the statements of 0018, and traffic that is made of them.

They are kept as they were: a change of the schema in phases has to bear with them until its end.
"""

import asyncio
from random import Random
from typing import Any

import asyncpg

MODEL = "test"
DIMENSION = 8
INSTANCES = {"a": "PROJECT", "b": "PROJECT", "c": "GLOBAL", "d": "ORCHESTRATION"}

EPISODE_COLUMNS = """id, task_id, chosen_instance, confidence, raw_confidence, strategy, decision_factors, alternatives,
    outcome_success, outcome_instance, outcome_duration, source, source_instance_id, routed_at, completed_at,
    corrected_at, degraded"""
ADD_TASK = "INSERT INTO tasks (id, title, status) VALUES ($1, $2, 'pending')"
LOCK_TASK = "SELECT id FROM tasks WHERE id = $1 FOR NO KEY UPDATE"
DELETE_TASK = "DELETE FROM tasks WHERE id = $1"
LATEST = f"SELECT {EPISODE_COLUMNS} FROM routing_episodes WHERE task_id = $1 ORDER BY routed_at DESC, id DESC LIMIT 1"
RECENT = """SELECT coalesce(task_id, id) AS task, outcome_instance, completed_at FROM routing_episodes
    WHERE outcome_instance IS NOT NULL ORDER BY completed_at DESC, id DESC LIMIT $1"""
NEIGHBOURS = """SELECT e.id, e.task_id, e.chosen_instance, e.outcome_instance,
        1 - nearest.distance AS similarity, nearest.embedding
    FROM (SELECT v.episode_id, v.embedding, ((v.embedding::vector({dimension})) <=> $1::vector::vector({dimension}))
              AS distance
          FROM episode_embeddings v WHERE v.model = 'test' AND v.is_known ORDER BY distance LIMIT 64) AS nearest
    JOIN routing_episodes e ON e.id = nearest.episode_id LEFT JOIN task_feedback f ON f.task_id = e.task_id"""
ADD_EPISODE = f"""INSERT INTO routing_episodes ({EPISODE_COLUMNS})
    VALUES ($1, $2, $3, 0.5, 0.5, 'similar_episodes', '[]', '[]', NULL, NULL, NULL, 'server', NULL, now(), NULL, NULL,
        false)"""
KNOWN = "(outcome_instance IS NOT NULL OR outcome_success IS NOT NULL)"
PUT = f"""INSERT INTO episode_embeddings (episode_id, model, embedding, content_hash, is_known)
    SELECT new.id, $1, new.embedding, new.content_hash, {KNOWN}
    FROM unnest($2::text[], $3::text[]::vector[], $4::text[]) AS new(id, embedding, content_hash)
    JOIN routing_episodes ON routing_episodes.id = new.id ORDER BY new.id FOR SHARE OF routing_episodes
    ON CONFLICT (episode_id, model) DO UPDATE
    SET embedding = excluded.embedding, content_hash = excluded.content_hash, created_at = now()
    WHERE episode_embeddings.content_hash <> excluded.content_hash"""
DELEGATE = """INSERT INTO task_delegations (id, task_id, episode_id, target_instance_id, delegation_type, status)
    VALUES ($1, $2, $3, $4, 'routed', 'pending')"""
OF_TASK = f"SELECT {EPISODE_COLUMNS} FROM routing_episodes WHERE task_id = $1 ORDER BY routed_at DESC, id DESC"
OUTCOME = """UPDATE routing_episodes SET outcome_success = $2, outcome_instance = $3, outcome_duration = $4,
        completed_at = $5, corrected_at = $6
    WHERE id = $1"""
FOLLOW = "UPDATE episode_embeddings SET is_known = $2 WHERE episode_id = $1 AND is_known <> $2"
FOLLOW_OUTCOMES = f"""UPDATE episode_embeddings v SET is_known = e.known FROM (
        SELECT id, {KNOWN} AS known FROM routing_episodes WHERE id = ANY($2::text[]) ORDER BY id FOR SHARE) AS e
    WHERE v.episode_id = e.id AND v.model = $1 AND v.is_known <> e.known"""
SUMMARISE = """INSERT INTO routing_episodes (id, summary_key, tags, chosen_instance_scope, confidence,
        outcome_success, strategy, source, source_instance_id)
    SELECT *, 'northbound', $8 FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::text[],
        $5::float8[], $6::bool[], $7::text[])
    ON CONFLICT (summary_key) DO NOTHING"""
FORGET = "DELETE FROM routing_episodes WHERE source = 'northbound' AND source_instance_id = $1"
EDIT_INSTANCE = "UPDATE hopper_instances SET scope = $2, version = version + 1 WHERE id = $1"
CHECK = """SELECT v.episode_id AS id FROM episode_embeddings v WHERE v.model = $1
    AND NOT EXISTS (SELECT FROM routing_episodes WHERE routing_episodes.id = v.episode_id) ORDER BY 1 LIMIT $2"""


def a_vector(random: Random, dimension: int) -> str:
    return str([random.gauss(0, 1) for _ in range(dimension)])


async def fill(connection: asyncpg.Connection, episodes: int, dimension: int = DIMENSION) -> None:
    """Instances, and past decisions with known outcomes, each with its task and its embedding."""
    for id, scope in INSTANCES.items():
        await connection.execute(
            """INSERT INTO hopper_instances (id, name, scope, instance_type, status)
               VALUES ($1, $1, $2, 'server', 'running')""",
            id,
            scope,
        )
    await connection.execute(
        """INSERT INTO embedding_models (model, provider, dimension, wanted_at, searched_at)
           VALUES ($1, 'test', $2, now(), now())""",
        MODEL,
        dimension,
    )
    await connection.execute(
        "INSERT INTO tasks (id, title, status) SELECT 'past-' || n, 'Past', 'done' FROM generate_series(1, $1) n",
        episodes,
    )
    await connection.execute(
        """INSERT INTO routing_episodes (id, task_id, chosen_instance, outcome_instance, outcome_success, completed_at)
           SELECT 'past-' || n, 'past-' || n, (ARRAY['a', 'b', 'c', NULL])[1 + n % 4],
               (ARRAY['a', 'a', 'b', 'c', NULL, 'gone'])[1 + n % 6], n % 2 = 0, now()
           FROM generate_series(1, $1) n""",
        episodes,
    )
    await connection.execute(
        f"""INSERT INTO episode_embeddings (episode_id, model, embedding, content_hash, is_known)
           SELECT id, $1, ARRAY(SELECT random() - 0.5 + 0 * length(id) FROM generate_series(1, {dimension:d}))::vector,
               'h', true FROM routing_episodes""",
        MODEL,
    )


class Traffic:
    """Servers of the version before, at work until stopped; PostgreSQL fails what waits too long for a lock."""

    def __init__(self, url: str, servers: int = 3, dimension: int = DIMENSION) -> None:
        self._url = url
        self._servers = servers
        self._dimension = dimension
        self._stopped = asyncio.Event()
        self.decisions = 0
        self.slowest = 0.0

    async def __aenter__(self) -> "Traffic":
        self._running = [asyncio.create_task(self._serve(at)) for at in range(self._servers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Raises what the first statement that failed was told."""
        self._stopped.set()
        await asyncio.gather(*self._running)

    async def worked(self, decisions: int) -> None:
        """Return when so many more decisions have been made."""
        wanted = self.decisions + decisions
        while self.decisions < wanted:
            for server in self._running:
                if server.done():
                    server.result()
            await asyncio.sleep(0.02)

    async def _serve(self, at: int) -> None:
        connection = await asyncpg.connect(
            self._url, server_settings={"application_name": "hopper", "lock_timeout": "5s", "jit": "off"}
        )
        connection.add_query_logger(self._timed)
        random = Random(at)
        try:
            n = 0
            while not self._stopped.is_set():
                n += 1
                await self._round(connection, f"s{at}-{n}", n, random)
        finally:
            await connection.close()

    def _timed(self, query: Any) -> None:
        self.slowest = max(self.slowest, query.elapsed)

    async def _round(self, connection: Any, id: str, n: int, random: Random) -> None:
        chosen = random.choice([*INSTANCES, None])
        await connection.execute(ADD_TASK, id, "New")
        async with connection.transaction():
            await connection.fetch(LOCK_TASK, id)
            await connection.fetchrow(LATEST, id)
            await connection.fetch(RECENT, 100)
            await connection.fetch(NEIGHBOURS.format(dimension=self._dimension), a_vector(random, self._dimension))
            await connection.execute(ADD_EPISODE, id, id, chosen)
            await connection.execute(PUT, MODEL, [id], [a_vector(random, self._dimension)], ["h"])
            if chosen:
                await connection.execute(DELEGATE, id, id, id, chosen)
        self.decisions += 1
        await connection.execute(PUT, MODEL, [id], [a_vector(random, self._dimension)], [f"h{n}"])  # a worker, later
        judged = [id, f"past-{random.randint(1, 500)}"]
        async with connection.transaction():
            await connection.fetch(LOCK_TASK, id)
            for episode in sorted(judged):
                who = random.choice([*INSTANCES, None])
                await connection.fetch(OF_TASK, episode)
                await connection.execute(OUTCOME, episode, who is not None, who, "PT1H", None, None)
                await connection.execute(FOLLOW, episode, True)
        await connection.execute(FOLLOW_OUTCOMES, MODEL, judged)
        await connection.fetch(CHECK, MODEL, 10)
        if n % 5 == 0:
            await connection.execute(DELETE_TASK, f"{id.rpartition('-')[0]}-{n - 3}")
        if n % 7 == 0:
            keys = [f"{id}-{k % 3}" for k in range(5)]  # some come twice
            ids = [f"{id}-sum-{k}" for k in range(5)]
            scopes = ["GLOBAL", None, "PROJECT", "GLOBAL", None]
            of = id.rpartition("-")[0]
            told = (["{}"] * 5, scopes, [0.5] * 5, [True] * 5, ["abstain"] * 5, of)
            await connection.execute(SUMMARISE, ids, keys, *told)
        if n % 40 == 0:
            await connection.execute(FORGET, id.rpartition("-")[0])
        if n % 11 == 0:
            await connection.execute(EDIT_INSTANCE, "d", random.choice(["ORCHESTRATION", "PROJECT"]))
