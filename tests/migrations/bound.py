"""What a key sees that is bound to a part of the tree: read by this version and, as it did it, by 0018."""

from collections.abc import Mapping
from typing import Any

import asyncpg
import numpy as np
from tests.builders import a_delegation, a_pattern, a_task, an_instance, feedback_on
from tests.contracts.working import keep
from tests.migrations.previous import MODEL

from hopper.adapters.postgres import bounds
from hopper.adapters.postgres.schema import metadata
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork
from hopper.domain.access import Asker
from hopper.ports.repositories import TaskFilter

WITHIN = "acme"
HIDDEN = "wisteria"
"""In the ids and the words of all that is outside, and in nothing inside."""
ASKER = Asker(key_id="k", name="acme's", within=WITHIN)

Seen = Mapping[str, list[str]]
"""Of each table, all that is seen of it."""

SINCE = {("hopper_instances", "former_scopes"), ("routing_episodes", "scope"), ("episode_embeddings", "scope")}
"""Columns that 0018 hadn't."""

# What its `bounds.py` said: the same views without these columns, and a comment without a revision.
OLDER_VIEWS = [
    statement.replace("created_at, former_scopes FROM", "created_at FROM").replace("e.tags, e.scope", "e.tags")
    for statement in bounds.views(metadata.tables, "0018").statements[:-1]
]
OLDER_COMMENT = f"COMMENT ON SCHEMA hopper_bound IS '{len(OLDER_VIEWS) - 2} {'0' * 64}'"
OLDER_BEGIN = "BEGIN READ ONLY; LOCK TABLE hopper_bound.hopper_instances IN ACCESS SHARE MODE"
OLDER_ENTER = """SELECT set_config('search_path', 'hopper_bound,' || current_setting('search_path'), true),
    set_config('hopper.root', $1, true), set_config('hopper.within', (WITH RECURSIVE below AS (
        SELECT id FROM hopper_instances WHERE id = $1
        UNION SELECT i.id FROM hopper_instances i JOIN below ON i.parent_id = below.id)
    SELECT string_agg(id, ',') FROM below), true),
    EXISTS (SELECT said FROM obj_description(to_regnamespace('hopper_bound')::oid, 'pg_namespace') AS said
        WHERE split_part(said, ' ', 1)::int = (SELECT count(*) FROM pg_class
            WHERE relnamespace = to_regnamespace('hopper_bound') AND relkind = 'v')) AS is_whole"""

READS = {
    name: f"""SELECT ROW({", ".join(column.name for column in table.columns if (name, column.name) not in SINCE)})::text
        FROM {name} ORDER BY 1"""
    for name, table in metadata.tables.items()
    if name not in bounds.OPEN
}
"""All that 0018 could read."""


async def make_older_views(connection: asyncpg.Connection) -> None:
    """What a start of the version before does to a database whose views aren't its own."""
    async with connection.transaction():
        await connection.execute("; ".join([*OLDER_VIEWS, OLDER_COMMENT]))


async def plant(pool: Any) -> None:
    """A history inside and the like outside, joined in every way; in a database of 0018."""
    trees = {"acme": None, "acme-team": "acme", HIDDEN: None, f"{HIDDEN}-desk": HIDDEN}
    things: list[Any] = [an_instance(name, parent_id=parent) for name, parent in trees.items()]
    ends = {"acme": f"{HIDDEN}-desk", HIDDEN: "acme-team"}
    things += [a_task(f"Card of {side}", id=f"{side}-task", instance_id=side, tags={side: True}) for side in ends]
    for side, other in ends.items():
        about = {"task": f"{side}-task", "instance": side}
        things += [
            a_task(f"Waits at {side}", id=f"{side}-waits", instance_id=side, parent_task_id=f"{HIDDEN}-task"),
            a_task(f"Copy of {side}", id=f"{side}-copy", instance_id=side, duplicate_of=f"{HIDDEN}-task"),
            a_delegation(about["task"], side, id=f"{side}-held", source_instance_id=other),
            a_pattern(side, id=f"{side}-rule", name=f"{side} cards"),
            a_pattern(side, id=f"{side}-learned", name=f"{side} cards, learned"),
            feedback_on(about["task"], should_have_routed_to=other, routing_feedback=None),
        ]
    await keep(lambda: PostgresUnitOfWork(pool, {}), *things)
    async with pool.acquire() as connection:
        for side, other in ends.items():
            evidence = {"kind": "similar_episodes", "contribution": 0.5, "text": "So were these.", "pattern_ids": []}
            await connection.execute(
                f"""INSERT INTO routing_episodes (id, task_id, chosen_instance, outcome_instance, outcome_success,
                        strategy, confidence, completed_at, decision_factors, alternatives)
                    SELECT '{side}-' || n, '{side}-task', (ARRAY['{side}', '{other}', NULL])[1 + n % 3],
                        (ARRAY['{side}', '{other}'])[1 + n % 2], true, 'similar_episodes', 0.5, now(), $1, $2
                    FROM generate_series(1, 60) n""",
                [
                    evidence | {"instance_id": of, "task_ids": [f"{side}-task", f"{HIDDEN}-task"]}
                    for of in (side, other)
                ],
                [{"instance_id": of, "confidence": 0.3} for of in (side, other)],
            )
            await connection.execute(
                f"""INSERT INTO task_dependencies
                    VALUES ('{side}-waits', '{side}-task'), ('{side}-waits', '{HIDDEN}-copy');
                    INSERT INTO pattern_derivations (pattern_id, derived_from_id)
                    VALUES ('{side}-learned', '{side}-rule');
                    INSERT INTO task_leases (task_id, instance_id, token, worker, expires_at)
                    VALUES ('{side}-task', '{side}', '{side}-token', '{side}', now());
                    INSERT INTO task_embeddings (task_id, model, embedding, content_hash)
                    VALUES ('{side}-task', 'test', '[1,0,0,0,0,0,0,0]', 'h');
                    INSERT INTO pattern_embeddings (pattern_id, model, embedding, content_hash)
                    VALUES ('{side}-rule', 'test', '[1,0,0,0,0,0,0,0]', 'h')"""
            )
        await connection.execute(
            f"""INSERT INTO embedding_models (model, provider, dimension, wanted_at, searched_at)
                VALUES ('{MODEL}', 'test', 8, now(), now());
                INSERT INTO episode_embeddings (episode_id, model, embedding, content_hash, is_known)
                SELECT id, '{MODEL}', '[1,0,0,0,0,0,0,0]', 'h', true FROM routing_episodes"""
        )


async def seen_by_this(pool: Any) -> Seen:
    """Raises Unavailable where the server would say 503."""
    async with PostgresUnitOfWork(pool, {}, reading=True, asker=ASKER) as uow:
        seen = {name: [row[0] for row in await uow.tasks._connection.fetch(read)] for name, read in READS.items()}
        seen |= {
            "tasks listed": [repr(task) for task in (await uow.tasks.list(TaskFilter(), 50)).items],
            "decisions": [repr(one) for one in await uow.episodes.of_task("acme-task")],
            "candidates": sorted(map(repr, await uow.instances.routable_from(WITHIN))),
            "rules": sorted(map(repr, await uow.patterns.active())),
            "alike": [repr(await uow.vectors.similar_tasks(np.eye(8, dtype=np.float32)[0], MODEL, TaskFilter(), 9))],
        }
        return seen


async def seen_by_older(connection: asyncpg.Connection) -> Seen:
    await connection.execute(OLDER_BEGIN)
    try:
        assert (await connection.fetchrow(OLDER_ENTER, WITHIN))["is_whole"]
        return {
            name: [row[0] for row in await connection.fetch(f"{read}\n-- hopper_bound")] for name, read in READS.items()
        }
    finally:
        await connection.execute("ROLLBACK")
