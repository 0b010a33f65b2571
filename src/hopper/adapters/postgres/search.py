"""Full text search over tasks.

How common a word is comes from the planner's statistics of the column (ANALYZE keeps the thousand most common
words and their shares): that costs no write anything. The rarer ones are counted as they are looked up.
"""

from collections.abc import Mapping, Sequence

from hopper.adapters.postgres.sql import Connection, Row
from hopper.adapters.postgres.tasks import COLUMNS, filtered, task_of
from hopper.domain.errors import Unavailable
from hopper.domain.ids import TaskId
from hopper.domain.query import Query, Term
from hopper.domain.task import Task
from hopper.domain.text import Text
from hopper.ports.repositories import TaskFilter
from hopper.ports.search import Occurrences, Wording

_RANKED = 10_000
"""Of more tasks that meet a query the newest are ranked: what reading them all for one rank costs has no bound."""

_PATIENCE_SECONDS = 5.0
"""Beginnings that stand for thousands of words, in long texts, would take minutes to rank."""

_LOOKED_UP = 500
"""Words that more tasks have aren't looked up: they find too much and say too little. They still count."""

_WORDS = 200
"""So many different words of a text are compared, the first ones."""

_READ = 20_000
"""Characters of a task in which a query's words are marked."""


class PostgresSearch:
    """Implements ports.search.TaskSearch."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def matching(self, query: Query, where: TaskFilter, limit: int) -> tuple[TaskId, ...]:
        asked = _tsquery(query.alternatives)
        if not asked:
            return ()
        conditions = filtered(where, [asked])
        ranked = self._connection.fetch(
            f"""WITH newest AS MATERIALIZED (
                    SELECT id, search FROM tasks WHERE search @@ to_tsquery('english', $1) AND {conditions}
                    ORDER BY created_at DESC, id DESC LIMIT {_RANKED:d})
                SELECT id FROM newest
                ORDER BY ts_rank_cd(search, to_tsquery('english', $1)) DESC, id DESC LIMIT {limit:d}""",
            *conditions.parameters,
            timeout=_PATIENCE_SECONDS,
        )
        try:
            return tuple(row["id"] for row in await ranked)
        except TimeoutError:
            raise Unavailable(
                "This search takes too long. Ask for fewer words, or for longer beginnings of words."
            ) from None

    async def without(self, query: Query, task_ids: Sequence[TaskId]) -> set[TaskId]:
        if not query.excluded:
            return set(task_ids)
        unwanted = _tsquery([(Term(term.text, term.prefix),) for term in query.excluded])
        rows = await self._connection.fetch(
            "SELECT id FROM tasks WHERE id = ANY($1::text[]) AND NOT search @@ to_tsquery('english', $2)",
            list(task_ids),
            unwanted,
        )
        return {row["id"] for row in rows}

    async def occurrences(self, title: str, description: str | None, where: TaskFilter) -> Occurrences:
        conditions = filtered(where, [title, description or ""])
        rows = await self._connection.fetch(
            f"""WITH asked AS MATERIALIZED (
                    SELECT lexeme, cardinality(positions) AS n, 'A' = ANY(weights) AS in_title, positions[1] AS at
                    FROM unnest(setweight(to_tsvector('english', $1), 'A') || to_tsvector('english', $2))),
                size AS MATERIALIZED (
                    SELECT greatest((SELECT reltuples FROM pg_class WHERE oid = 'tasks'::regclass)::int,
                                    (SELECT count(*) FROM (SELECT FROM tasks LIMIT {2 * _LOOKED_UP:d}) AS first)) AS n),
                common AS MATERIALIZED (
                    SELECT elem, freq FROM pg_stats,
                        unnest(most_common_elems::text::text[], most_common_elem_freqs) AS known (elem, freq)
                    WHERE schemaname = current_schema AND tablename = 'tasks' AND attname = 'search')
                SELECT lexeme, asked.n, in_title, size.n AS tasks, (freq * size.n)::int AS known,
                    CASE WHEN freq * size.n > {_LOOKED_UP:d} THEN '{{}}'
                         ELSE ARRAY(SELECT id::text FROM tasks
                                    WHERE search @@ (quote_literal(lexeme))::tsquery AND {conditions}
                                    LIMIT {_LOOKED_UP:d}) END AS ids
                FROM size, asked LEFT JOIN common ON elem = lexeme
                ORDER BY in_title DESC, at LIMIT {_WORDS:d}""",
            *conditions.parameters,
        )
        return _occurrences(rows)

    async def wordings(self, task_ids: Sequence[TaskId], words: Sequence[str]) -> Mapping[TaskId, Wording]:
        rows = await self._connection.fetch(
            """WITH texts AS MATERIALIZED (
                   SELECT id, search, length(search) AS length, length(ts_filter(search, '{a}')) AS title_length
                   FROM tasks WHERE id = ANY($1::text[]))
               SELECT id, length, title_length, array_agg(said.lexeme) AS words,
                   array_agg(cardinality(positions)) AS counts,
                   array_agg(said.lexeme) FILTER (WHERE 'A' = ANY(weights)) AS title
               FROM texts, unnest(search) AS said
                   JOIN unnest($2::text[]) AS asked (lexeme) ON asked.lexeme = said.lexeme
               GROUP BY id, length, title_length""",
            list(task_ids),
            list(words),
        )
        return {row["id"]: _wording(row) for row in rows}

    async def marked(self, query: Query, task_ids: Sequence[TaskId]) -> Mapping[TaskId, tuple[Task, str]]:
        wanted = [(term,) for terms in query.alternatives for term in terms if not term.excluded]
        rows = await self._connection.fetch(
            f"""SELECT {COLUMNS},
                    ts_headline('english', left(title || ' ' || coalesce(description, ''), {_READ:d}),
                                to_tsquery('english', $2),
                                'StartSel=«, StopSel=», MaxFragments=2, MaxWords=25, MinWords=8') AS highlight
                FROM tasks WHERE id = ANY($1::text[])""",
            list(task_ids),
            _tsquery(wanted),
        )
        return {row["id"]: (task_of(row), row["highlight"]) for row in rows}


def _tsquery(alternatives: Sequence[Sequence[Term]]) -> str:
    """The terms as to_tsquery reads them, each quoted: nothing in it is an operator but what stands here."""
    return " | ".join(" & ".join(map(_operand, terms)) for terms in alternatives)


def _operand(term: Term) -> str:
    quoted = term.text.replace("\\", "\\\\").replace("'", "''")
    return f"{'!' if term.excluded else ''}'{quoted}'{':*' if term.prefix else ''}"


def _occurrences(rows: Sequence[Row]) -> Occurrences:
    asked = {row["lexeme"]: row["n"] for row in rows}
    title = {row["lexeme"]: 1 for row in rows if row["in_title"]}
    return Occurrences(
        tasks=rows[0]["tasks"] if rows else 0,
        asked=Text(asked, len(asked)),
        title=Text(title, len(title)),
        frequencies={row["lexeme"]: row["known"] or len(row["ids"]) for row in rows},
        postings={row["lexeme"]: row["ids"] for row in rows},
    )


def _wording(row: Row) -> Wording:
    return Wording(
        Text(dict(zip(row["words"], row["counts"], strict=True)), row["length"]),
        Text(dict.fromkeys(row["title"] or (), 1), row["title_length"]),
    )
