"""What a key that is bound to a part of the instance tree sees: views by the tables' names, in a schema before them.

A unit of work that reads for such a key puts the schema first on its search path. So every statement of every
repository finds what is inside and nothing else, whoever wrote it and whatever it counts (ADR 0039). A table that isn't
named here isn't there at all. The views are made from this module whenever a database is brought up to date, and as
soon as a change in phases has begun: they have all that those of the version before have, which reads them, too.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import asyncpg

from hopper.adapters.postgres.sql import Connection
from hopper.domain.errors import Unavailable
from hopper.domain.ids import InstanceId

SCHEMA = "hopper_bound"

INSIDE = "= ANY ((SELECT string_to_array(current_setting('hopper.within', true), ','))::text[])"
"""Of an instance's id: an array, worked out once, by which an index can be searched. Unset, nothing is inside."""


def inside(column: str, is_bound: bool) -> str:
    """The condition that a bound key's statement on the tables themselves adds."""
    return f"{column} {INSIDE}" if is_bound else "true"


def _task(id: str) -> str:
    return f"EXISTS (SELECT FROM tasks seen WHERE seen.id = {id} AND seen.instance_id {INSIDE})"


def _pattern(id: str) -> str:
    return f"EXISTS (SELECT FROM routing_patterns seen WHERE seen.id = {id} AND seen.target_instance {INSIDE})"


def _if(condition: str, column: str) -> str:
    name = column.rpartition(".")[2]
    return f"CASE WHEN {condition} THEN {column} END::varchar(36) AS {name}"


def _instance(column: str) -> str:
    return _if(f"{column} {INSIDE}", column)


def _origin(column: str) -> str:
    """An instance here that is outside isn't told of; one elsewhere is."""
    outside = f"EXISTS (SELECT FROM hopper_instances i WHERE i.id = {column} AND NOT i.id {INSIDE})"
    return _if(f"NOT {outside}", column)


def _listed(array: str, kept: str, made: str = "entry") -> str:
    """A JSON array without the entries that aren't kept."""
    return f"""(SELECT coalesce(jsonb_agg({made} ORDER BY at), '[]')
        FROM jsonb_array_elements({array}) WITH ORDINALITY AS listed(entry, at) WHERE {kept})"""


_FACTOR = f"""entry || jsonb_build_object(
    'task_ids', (SELECT coalesce(jsonb_agg(named.id ORDER BY n), '[]')
        FROM jsonb_array_elements_text(entry->'task_ids') WITH ORDINALITY AS named(id, n) WHERE {_task("named.id")}),
    'past_tasks', (SELECT coalesce(jsonb_agg(past ORDER BY n), '[]')
        FROM jsonb_array_elements(entry->'past_tasks') WITH ORDINALITY AS named(past, n)
        WHERE {_task("past->>'task_id'")}))"""

_OF_INSIDE = f"entry->>'instance_id' {INSIDE}"

_VIEWS = {
    "hopper_instances": f"""SELECT id, name, scope, instance_type, status, {_instance("parent_id")}, config, version,
        created_at, former_scopes FROM hopper_instances WHERE id {INSIDE}""",
    # What waits for a task outside waits, though it isn't said for which.
    "tasks": f"""SELECT t.id, t.title, t.description, t.status, t.priority, t.project, t.instance_id, t.tags, t.source,
        {_origin("t.source_instance_id")}, {_if(_task("t.parent_task_id"), "t.parent_task_id")},
        {_if(_task("t.duplicate_of"), "t.duplicate_of")},
        coalesce(t.waits_for, (SELECT needed.id
            FROM task_dependencies d JOIN tasks needed ON needed.id = d.depends_on_id
            WHERE d.task_id = t.id AND needed.status IN ('pending', 'in_progress') LIMIT 1))::varchar(36) AS waits_for,
        t.version, t.created_at, t.updated_at, t.search, t.urgency FROM tasks t WHERE t.instance_id {INSIDE}""",
    "task_dependencies": f"""SELECT d.* FROM task_dependencies d
        WHERE {_task("d.task_id")} AND {_task("d.depends_on_id")}""",
    "task_delegations": f"""SELECT d.id, d.task_id, d.episode_id, {_instance("d.source_instance_id")},
        d.target_instance_id, d.delegation_type, d.status, d.delegated_at, d.completed_at, d.expired_leases
        FROM task_delegations d WHERE d.target_instance_id {INSIDE} AND {_task("d.task_id")}""",
    "task_leases": f"SELECT l.* FROM task_leases l WHERE {_task('l.task_id')}",
    # A choice of somebody outside isn't told of.
    "routing_episodes": f"""SELECT e.id, e.task_id, e.chosen_instance, e.confidence, e.raw_confidence, e.strategy,
        {_listed("e.decision_factors", _OF_INSIDE, _FACTOR)} AS decision_factors,
        {_listed("e.alternatives", _OF_INSIDE)} AS alternatives,
        e.outcome_success, {_instance("e.outcome_instance")}, e.outcome_duration, e.source,
        {_instance("e.source_instance_id")}, e.summary_key, e.routed_at, e.completed_at, e.corrected_at, e.degraded,
        e.chosen_instance_scope, e.tags, e.scope
        FROM routing_episodes e
        WHERE {_task("e.task_id")} AND (e.chosen_instance IS NULL OR e.chosen_instance {INSIDE})""",
    "routing_patterns": f"""SELECT p.id, p.name, p.description, p.pattern_type, p.target_instance, p.tag_criteria,
        p.text_criteria, p.priority_criteria, p.confidence, p.usage_count, p.success_count, p.failure_count,
        p.is_active, p.source, {_origin("p.source_instance_id")}, p.learned_key, p.switched_by_person, p.target_scope,
        p.target_name, p.source_count, p.version, p.created_at, p.last_used_at, p.last_refined_at, p.xmin
        FROM routing_patterns p WHERE p.target_instance {INSIDE}""",
    "pattern_derivations": f"""SELECT d.* FROM pattern_derivations d
        WHERE {_pattern("d.pattern_id")} AND {_pattern("d.derived_from_id")}""",
    "task_feedback": f"""SELECT f.task_id, f.was_good_match, f.routing_feedback, {_instance("f.should_have_routed_to")},
        f.quality_score, f.complexity_rating, f.required_rework, f.source, {_origin("f.source_instance_id")},
        f.created_at
        FROM task_feedback f WHERE {_task("f.task_id")}""",
    "task_embeddings": f"SELECT v.* FROM task_embeddings v WHERE {_task('v.task_id')}",
    "pattern_embeddings": f"SELECT v.* FROM pattern_embeddings v WHERE {_pattern('v.pattern_id')}",
}

OPEN = frozenset({"embedding_models", "projections", "graph_changes"})
"""Tables that say nothing of anybody's tasks: which model is searched, and how far projections are."""


def hidden(tables: Iterable[str]) -> list[str]:
    """The tables of which nothing is seen."""
    return sorted(set(tables) - _VIEWS.keys() - OPEN - {"alembic_version"})


DROP = f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"


@dataclass(frozen=True, slots=True)
class Views:
    """Those of a version. `said`: how many they are, which, and the newest revision that it knows."""

    said: str
    statements: tuple[str, ...]

    async def are_there(self, connection: Connection) -> bool:
        """These, or those of a later version, which is changing the schema and needs them."""
        said = await connection.fetchval(SAID) or ""
        return bool(said == self.said or said.split()[2:] > self.said.split()[2:])

    async def make(self, connection: Connection) -> None:
        """In place of others, unless they name what only a later migration makes."""
        with suppress(asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
            async with connection.transaction():
                await connection.execute("; ".join(self.statements))


def views(tables: Iterable[str], revision: str) -> Views:
    """What is seen of these tables, all of the database's."""
    empty = {name: f"SELECT * FROM {name} WHERE false" for name in hidden(tables)}
    made = [f"CREATE VIEW {SCHEMA}.{name} AS {query}" for name, query in (_VIEWS | empty).items()]
    said = f"{len(made)} {sha256(chr(10).join(made).encode()).hexdigest()} {revision}"
    return Views(said, (DROP, f"CREATE SCHEMA {SCHEMA}", *made, f"COMMENT ON SCHEMA {SCHEMA} IS '{said}'"))


SAID = f"""SELECT said FROM obj_description(to_regnamespace('{SCHEMA}')::oid, 'pg_namespace') AS said
    WHERE split_part(said, ' ', 1)::int
        = (SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('{SCHEMA}') AND relkind = 'v')"""
"""The schema's comment, if all of its views are there."""

_WITHIN = """set_config('hopper.root', $1, true), set_config('hopper.within', (WITH RECURSIVE below AS (
        SELECT id FROM hopper_instances WHERE id = $1
        UNION SELECT i.id FROM hopper_instances i JOIN below ON i.parent_id = below.id)
    SELECT string_agg(id, ',') FROM below), true)"""

_ENTER = f"""SELECT set_config('search_path', '{SCHEMA},' || current_setting('search_path'), true),
    {_WITHIN},
    coalesce((SELECT split_part(said, ' ', 3) >= $2 FROM ({SAID}) AS found), false) AS is_whole"""

_BEGIN = f"BEGIN READ ONLY; LOCK TABLE {SCHEMA}.hopper_instances IN ACCESS SHARE MODE"
"""A schema that isn't there, or that the user may not use, is passed over on a search path without a word, and the
tables are found instead. So it is asked for by its name, and no upgrade removes it before the transaction's end."""

_LACKING = "The database lacks what bound keys need. Run `hopper db upgrade`, then try again."
_BARRED = (
    f"The database's user may not use the schema {SCHEMA}, as bound keys need. Let its owner say GRANT USAGE ON SCHEMA "
    f"{SCHEMA} and GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA}, each time after `hopper db upgrade`."
)


async def restrict(connection: Connection, within: InstanceId) -> None:
    """Let the transaction that is open know what is inside, where a statement asks for that."""
    await connection.execute(f"SELECT {_WITHIN}", within)


async def enter(connection: Connection, within: InstanceId, revision: str) -> "Bound":
    """Begin a transaction that sees what is inside, and nothing else. Raises Unavailable without the views.

    Those of a version that doesn't know this revision might lack one, and the table would be found instead.
    """
    try:
        await connection.execute(_BEGIN)
    except (asyncpg.InvalidSchemaNameError, asyncpg.UndefinedTableError):
        raise Unavailable(_LACKING) from None
    except asyncpg.InsufficientPrivilegeError:
        raise Unavailable(_BARRED) from None
    row = await connection.fetchrow(_ENTER, within, revision)
    if not row["is_whole"]:
        raise Unavailable(_LACKING)
    return Bound(connection)


class Bound:
    """A connection whose prepared statements are others than those for everything: the same text means other tables."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, statement: str, *parameters: Any, **options: Any) -> Any:
        return await self._connection.fetch(_marked(statement), *parameters, **options)

    async def fetchrow(self, statement: str, *parameters: Any, **options: Any) -> Any:
        return await self._connection.fetchrow(_marked(statement), *parameters, **options)

    async def fetchval(self, statement: str, *parameters: Any, **options: Any) -> Any:
        return await self._connection.fetchval(_marked(statement), *parameters, **options)

    async def execute(self, statement: str, *parameters: Any, **options: Any) -> Any:
        return await self._connection.execute(_marked(statement), *parameters, **options)


def _marked(statement: str) -> str:
    return f"{statement}\n-- {SCHEMA}"
