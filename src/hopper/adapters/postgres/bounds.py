"""What a key that is bound to a part of the instance tree sees: views by the tables' names, in a schema before them.

A unit of work that reads for such a key puts the schema first on its search path. So every statement of every
repository finds what is inside and nothing else, whoever wrote it and whatever it counts (ADR 0039). A table that isn't
named here isn't there at all. The views are made from this module whenever a database is brought up to date.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from hopper.adapters.postgres.sql import Connection
from hopper.domain.errors import Unavailable
from hopper.domain.ids import InstanceId

SCHEMA = "hopper_bound"

INSIDE = "= ANY ((SELECT string_to_array(current_setting('hopper.within', true), ','))::text[])"
"""Of an instance's id: an array, worked out once, by which an index can be searched. Unset, nothing is inside."""


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
    'task_ids', (SELECT coalesce(jsonb_agg(id ORDER BY n), '[]')
        FROM jsonb_array_elements_text(entry->'task_ids') WITH ORDINALITY AS named(id, n) WHERE {_task("id")}),
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
    "routing_patterns": f"SELECT p.*, p.xmin FROM routing_patterns p WHERE p.target_instance {INSIDE}",
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


def _views(tables: Iterable[str]) -> list[str]:
    empty = {name: f"SELECT * FROM {name} WHERE false" for name in hidden(tables)}
    return [f"CREATE VIEW {SCHEMA}.{name} AS {query}" for name, query in (_VIEWS | empty).items()]


def digest(tables: Iterable[str]) -> str:
    """How many views there are, and which version of them: the schema's comment."""
    views = _views(tables)
    return f"{len(views)} {sha256(chr(10).join(views).encode()).hexdigest()}"


def statements(tables: Iterable[str]) -> list[str]:
    """What makes the schema over these tables, all of the database's."""
    return [f"CREATE SCHEMA {SCHEMA}", *_views(tables), f"COMMENT ON SCHEMA {SCHEMA} IS '{digest(tables)}'"]


SAID = f"""SELECT said FROM obj_description(to_regnamespace('{SCHEMA}')::oid, 'pg_namespace') AS said
    WHERE split_part(said, ' ', 1)::int
        = (SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('{SCHEMA}') AND relkind = 'v')"""
"""The schema's comment, if all of its views are there."""
DROP = f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"

_WITHIN = """set_config('hopper.root', $1, true), set_config('hopper.within', (WITH RECURSIVE below AS (
        SELECT id FROM hopper_instances WHERE id = $1
        UNION SELECT i.id FROM hopper_instances i JOIN below ON i.parent_id = below.id)
    SELECT string_agg(id, ',') FROM below), true)"""

_ENTER = f"""SELECT set_config('search_path', '{SCHEMA},' || current_setting('search_path'), true),
    {_WITHIN},
    EXISTS ({SAID}) AS is_whole"""


async def restrict(connection: Connection, within: InstanceId) -> None:
    """Let the transaction that is open know what is inside, where a statement asks for that."""
    await connection.execute(f"SELECT {_WITHIN}", within)


async def enter(connection: Connection, within: InstanceId) -> "Bound":
    """Let the transaction that is open see what is inside, and nothing else. Raises Unavailable without the views."""
    row = await connection.fetchrow(_ENTER, within)
    if not row["is_whole"]:
        raise Unavailable("The database lacks what bound keys need. Run `hopper db upgrade`, then try again.")
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
