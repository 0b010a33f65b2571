"""The kinds of documents: how each is read, written, and kept in the index."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from hopper.adapters.markdown import instance_documents, layout, learning_documents, task_documents
from hopper.adapters.markdown.delegations import delegations_at, insert_delegations
from hopper.adapters.markdown.episodes import episodes_at, insert_episodes
from hopper.adapters.markdown.feedback import feedback_at, insert_feedback
from hopper.adapters.markdown.frontmatter import Document
from hopper.adapters.markdown.instances import insert_instance, instance_at
from hopper.adapters.markdown.leases import insert_lease, lease_at
from hopper.adapters.markdown.origins import insert_origins, origin_ids, origins_at
from hopper.adapters.markdown.patterns import insert_pattern, insert_rejected, pattern_at, rejected_at
from hopper.adapters.markdown.tasks import insert_task, task_at

E = TypeVar("E")
Marks = set[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[E]):
    """One kind of document; `E` is what it holds, as a whole.

    A text that the body can't give back as it was stands under one of the `text_keys`.
    `needed` are keys that Hopper adds to a file that it changes, `with_source` those that mean something else where no
    `source` is named. In the index it is rows of a `table`, whose `key` no two files may share (`ids` says which a
    document has); projections know them as `mark`, by the column `marked_by`.
    """

    read: Callable[[Document, str, datetime], E]
    fields: Callable[[E], Mapping[str, Any]]
    body: Callable[[E], str | None] = lambda _: None
    text_keys: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    with_source: frozenset[str] = frozenset()
    table: str
    ids: Callable[[E], Sequence[str]]
    key: str = "id"
    mark: str | None = None
    marked_by: str = "id"
    insert: Callable[[sqlite3.Connection, str, E], None]
    load: Callable[[sqlite3.Connection, str], E | None]
    hanging: tuple[str, str] | None = None

    def store(self, connection: sqlite3.Connection, path: str, entity: E) -> Marks:
        """Put into the index what a file holds."""
        self.insert(connection, path, entity)
        return self._marks(connection, path)

    def twin(self, connection: sqlite3.Connection, entity: E) -> tuple[str, str] | None:
        """The id and path of something that another file has given the index already."""
        places = ", ".join("?" * len(ids := [*self.ids(entity)]))
        row = connection.execute(f"SELECT {self.key}, path FROM {self.table} WHERE {self.key} IN ({places})", ids)
        found = row.fetchone()
        return tuple(found) if found else None

    def forget(self, connection: sqlite3.Connection, path: str) -> Marks:
        """Take out of the index what came from a file."""
        marks = self._marks(connection, path)
        if self.hanging:
            table, column = self.hanging
            connection.execute(
                f"DELETE FROM {table} WHERE {column} IN (SELECT id FROM {self.table} WHERE path = ?)", [path]
            )
        connection.execute(f"DELETE FROM {self.table} WHERE path = ?", [path])
        return marks

    def forced(self, front: Mapping[str, Any]) -> frozenset[str]:
        """The keys that are written whether or not they have changed."""
        return self.needed - front.keys() | (self.with_source if "source" not in front else frozenset())

    def _marks(self, connection: sqlite3.Connection, path: str) -> Marks:
        if self.mark is None:
            return set()
        rows = connection.execute(f"SELECT {self.marked_by} FROM {self.table} WHERE path = ?", [path])
        return {(self.mark, row[0]) for row in rows}


KINDS: Mapping[str, Kind[Any]] = {
    layout.TASKS: Kind(
        read=task_documents.read_task,
        fields=task_documents.task_fields,
        body=task_documents.task_body,
        text_keys=frozenset({"description"}),
        needed=frozenset({"status", "created_at", "updated_at"}),
        table="tasks",
        ids=lambda task: (task.id,),
        mark="task",
        insert=insert_task,
        load=task_at,
        hanging=("task_dependencies", "task_id"),
    ),
    layout.INSTANCES: Kind(
        read=instance_documents.read_instance,
        fields=instance_documents.instance_fields,
        needed=frozenset({"created_at"}),
        table="hopper_instances",
        ids=lambda instance: (instance.id,),
        mark="instance",
        insert=insert_instance,
        load=instance_at,
    ),
    layout.CONFIG: Kind(
        read=instance_documents.read_own,
        fields=instance_documents.own_fields,
        table="hopper_instances",
        ids=lambda instance: (instance.id,),
        mark="instance",
        insert=insert_instance,
        load=instance_at,
    ),
    layout.DELEGATIONS: Kind(
        read=task_documents.read_delegations,
        fields=task_documents.delegations_fields,
        table="task_delegations",
        ids=lambda delegations: [one.id for one in delegations],
        mark="delegation",
        marked_by="task_id",
        insert=insert_delegations,
        load=delegations_at,
    ),
    layout.EPISODES: Kind(
        read=learning_documents.read_episodes,
        fields=learning_documents.episodes_fields,
        table="routing_episodes",
        ids=lambda episodes: [one.id for one in episodes],
        mark="episode",
        insert=insert_episodes,
        load=episodes_at,
    ),
    layout.PATTERNS: Kind(
        read=learning_documents.read_pattern,
        fields=learning_documents.pattern_fields,
        needed=frozenset({"created_at", "confidence"}),
        with_source=frozenset({"source", "pattern_type", "tag_criteria", "text_criteria", "priority_criteria"}),
        table="routing_patterns",
        ids=lambda derived: (derived[0].id,),
        mark="pattern",
        insert=insert_pattern,
        load=pattern_at,
        hanging=("pattern_derivations", "pattern_id"),
    ),
    layout.FEEDBACK: Kind(
        read=task_documents.read_feedback,
        fields=task_documents.feedback_fields,
        body=task_documents.feedback_body,
        text_keys=frozenset({"routing_feedback", "notes"}),
        needed=frozenset({"created_at"}),
        with_source=frozenset({"source", "quality_score"}),
        table="task_feedback",
        ids=lambda feedback: (feedback.task_id,),
        key="task_id",
        mark="task",
        marked_by="task_id",
        insert=insert_feedback,
        load=feedback_at,
    ),
    layout.LEASES: Kind(
        read=task_documents.read_lease,
        fields=task_documents.lease_fields,
        table="task_leases",
        ids=lambda held: (held[0].task_id,),
        key="task_id",
        insert=insert_lease,
        load=lease_at,
    ),
    layout.ORIGINS: Kind(
        read=task_documents.read_origins,
        fields=task_documents.origins_fields,
        table="task_origins",
        ids=origin_ids,
        insert=insert_origins,
        load=origins_at,
    ),
    layout.LEARNING: Kind(
        read=learning_documents.read_rejected,
        fields=learning_documents.rejected_fields,
        table="rejected_rules",
        ids=lambda _: (),
        key="learned_key",
        insert=insert_rejected,
        load=rejected_at,
    ),
}
