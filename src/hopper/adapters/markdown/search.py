"""Full text search over tasks, by SQLite's FTS5.

Words are compared by their stems (Porter 1980); those that say nothing are left out of a query, as PostgreSQL does.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hopper.adapters.markdown.schema import TOKENIZER
from hopper.adapters.markdown.sql import AMONG
from hopper.adapters.markdown.tasks import COLUMNS, filtered, task_of
from hopper.domain.ids import TaskId
from hopper.domain.query import Query, Term
from hopper.domain.task import Task
from hopper.domain.text import Text
from hopper.ports.repositories import TaskFilter
from hopper.ports.search import Occurrences, Wording

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session

_LOOKED_UP = 500
"""Words that more tasks have aren't looked up: they find too much and say too little. They still count."""

_WORDS = 200
"""So many different words of a text are compared, the first ones."""

_WORD = re.compile(r"\w+")
_STOP_WORDS = frozenset(
    _WORD.findall(
        """i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers
        herself it its itself they them their theirs themselves what which who whom this that these those am is are
        was were be been being have has had having do does did doing a an the and but if or because as until while
        of at by for with about against between into through during before after above below to from up down in out
        on off over under again further then once here there when where why how all any both each few more most
        other some such no nor not only own same so than too very s t can will just don should now"""
    )
)
_MATCHES = "tasks.rowid IN (SELECT rowid FROM task_search WHERE task_search MATCH {})"


class MarkdownSearch:
    """Implements ports.search.TaskSearch."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def matching(self, query: Query, where: TaskFilter, limit: int) -> tuple[TaskId, ...]:
        alternatives = [terms for terms in map(_telling, query.alternatives) if terms]
        if not alternatives:
            return ()
        conditions = filtered(where, [_any(term for terms in alternatives for term in terms if not term.excluded)])
        met = []
        for terms in alternatives:
            parts = []
            for term in terms:
                conditions.parameters.append(_operand(term))
                parts.append(("NOT " if term.excluded else "") + _MATCHES.format(f"?{len(conditions.parameters)}"))
            met.append(" AND ".join(parts))
        rows = await self._session.fetch(
            f"""SELECT id FROM tasks LEFT JOIN (
                    SELECT rowid AS found, bm25(task_search, 4.0, 1.0) AS score FROM task_search
                    WHERE task_search MATCH ?1) ON found = tasks.rowid
                WHERE ({" OR ".join(met)}) AND {conditions} ORDER BY score IS NULL, score, id DESC LIMIT {limit:d}""",
            *conditions.parameters,
        )
        return tuple(row["id"] for row in rows)

    async def without(self, query: Query, task_ids: Sequence[TaskId]) -> set[TaskId]:
        unwanted = _telling(query.excluded)
        if not unwanted:
            return set(task_ids)
        rows = await self._session.fetch(
            f"SELECT id FROM tasks WHERE id {AMONG.format('?1')} AND NOT {_MATCHES.format('?2')}",
            list(task_ids),
            _any(unwanted),
        )
        return {row["id"] for row in rows}

    async def occurrences(self, title: str, description: str | None, where: TaskFilter) -> Occurrences:
        [(asked, in_title)] = await self._stems([(title, description)])
        words = sorted(asked, key=lambda word: word not in in_title)[:_WORDS]
        frequencies, postings = {}, {}
        for word in words:
            postings[word], frequencies[word] = await self._posting(word, where)
        return Occurrences(
            tasks=int(await self._session.fetchval("SELECT count(*) FROM tasks")),
            asked=Text({word: asked[word] for word in words}, len(words)),
            title=Text({word: 1 for word in words if word in in_title}, len(in_title.keys() & set(words))),
            frequencies=frequencies,
            postings=postings,
        )

    async def _posting(self, word: str, where: TaskFilter) -> tuple[list[TaskId], int]:
        """Who has a word, if it isn't a common one, and how many have it."""
        number = int(await self._session.fetchval("SELECT doc FROM task_words WHERE term = ?", word) or 0)
        if number > _LOOKED_UP:
            return [], number
        conditions = filtered(where, [word])
        rows = await self._session.fetch(
            f"""SELECT id FROM tasks WHERE rowid IN (SELECT doc FROM task_instances WHERE term = ?1) AND {conditions}
                LIMIT {_LOOKED_UP:d}""",
            *conditions.parameters,
        )
        return [row["id"] for row in rows], len(rows)

    async def wordings(self, task_ids: Sequence[TaskId], words: Sequence[str]) -> Mapping[TaskId, Wording]:
        rows = await self._session.fetch(
            f"SELECT id, title, description FROM tasks WHERE id {AMONG.format('?')}", list(task_ids)
        )
        stems = await self._stems([(row["title"], row["description"]) for row in rows])
        found = {}
        for row, (said, in_title) in zip(rows, stems, strict=True):
            shared = {word: said[word] for word in words if word in said}
            if shared:
                title = {word: 1 for word in shared if word in in_title}
                found[row["id"]] = Wording(Text(shared, len(said)), Text(title, len(in_title)))
        return found

    async def marked(self, query: Query, task_ids: Sequence[TaskId]) -> Mapping[TaskId, tuple[Task, str]]:
        wanted = [term for terms in map(_telling, query.alternatives) for term in terms if not term.excluded]
        rows = await self._session.fetch(
            f"""SELECT {COLUMNS}, coalesce(marked_title, title), coalesce(marked_part, substr(description, 1, 200))
                FROM tasks LEFT JOIN (
                    SELECT rowid AS found, highlight(task_search, 0, '«', '»') AS marked_title,
                        snippet(task_search, 1, '«', '»', '…', 25) AS marked_part
                    FROM task_search WHERE task_search MATCH ?2) ON found = tasks.rowid
                WHERE id {AMONG.format("?1")}""",
            list(task_ids),
            _any(wanted),
        )
        return {row["id"]: (task_of(row), " ".join(filter(None, row[-2:]))) for row in rows}

    async def _stems(self, texts: Sequence[tuple[str, str | None]]) -> list[tuple[Counter[str], Counter[str]]]:
        """How often each text has the stems of its words, and how often its title has."""
        await self._session.fetch("SELECT 1")
        connection = self._session.connection
        connection.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.texts USING fts5(title, body, tokenize='{TOKENIZER}')"
        )
        connection.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.stems USING fts5vocab('temp', 'texts', 'instance')")
        connection.execute("DELETE FROM temp.texts")
        connection.executemany(
            "INSERT INTO temp.texts (rowid, title, body) VALUES (?, ?, ?)",
            [(at, _said(title), _said(body or "")) for at, (title, body) in enumerate(texts, 1)],
        )
        found: defaultdict[int, tuple[Counter[str], Counter[str]]] = defaultdict(lambda: (Counter(), Counter()))
        for term, doc, column in connection.execute("SELECT term, doc, col FROM temp.stems"):
            found[doc][0][term] += 1
            if column == "title":
                found[doc][1][term] += 1
        return [found[at] for at in range(1, len(texts) + 1)]


def _said(text: str) -> str:
    return _WORD.sub(lambda word: "" if word[0].casefold() in _STOP_WORDS else word[0], text)


def _telling(terms: Sequence[Term]) -> list[Term]:
    """The terms without words that say nothing."""
    return [term for term in terms if term.prefix or _said(term.text).strip()]


def _operand(term: Term) -> str:
    """A term as FTS5 reads it, quoted: nothing in it is an operator."""
    quoted = term.text.replace('"', '""').replace("\0", " ")
    return f'"{quoted}"{" *" if term.prefix else ""}'


def _any(terms: Any) -> str:
    return " OR ".join(map(_operand, terms)) or '""'
