"""All tables of a server, for Alembic: migrations are made from this and checked against it.

Queries don't use it: repositories speak SQL. Vector indexes aren't here either; they depend on the model and on
how much there is to index, and `vector_indexes.py` builds them.
"""

from typing import Any

from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

metadata = MetaData(
    naming_convention={
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def _id(name: str = "id", **options: object) -> Column[str]:
    return Column(name, String(36), **options)  # type: ignore[arg-type]


def _owner(name: str, table: str) -> Column[str]:
    """The entity that a row says something of, and goes with."""
    return Column(name, String(36), ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False)


def _source(**options: object) -> Column[str]:
    """The Hopper that a row came from, and is forgotten with."""
    source = ForeignKey("sync_sources.source_instance_id", ondelete="CASCADE")
    return Column("source_instance_id", String(36), source, **options)  # type: ignore[arg-type]


def _time(name: str, *, now: bool = False) -> Column[object]:
    default = func.now() if now else None
    return Column(name, DateTime(timezone=True), server_default=default, nullable=not now)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, server_default="0", nullable=False)


SCOPES = ("GLOBAL", "PROJECT", "ORCHESTRATION", "NONE")
"""What episodes and their embeddings are partitioned by: instances' scopes, and one for episodes without any."""

PARTITIONS = {
    f"{table}_{scope.lower()}": (table, scope)
    for table in ("routing_episodes", "episode_embeddings")
    for scope in SCOPES
}
"""A partition's name, with its table and its scope."""


def _scope() -> Column[str]:
    return Column("scope", String(50), server_default="NONE", nullable=False)


def _version() -> Column[int]:
    return Column("version", Integer, server_default="1", nullable=False)


hopper_instances = Table(
    "hopper_instances",
    metadata,
    _id(primary_key=True),
    Column("name", String(200), nullable=False),
    Column("scope", String(50), nullable=False),
    Column("instance_type", String(50), nullable=False),
    Column("status", String(50), nullable=False),
    Column("parent_id", String(36), ForeignKey("hopper_instances.id")),
    Column("config", JSONB, server_default="{}", nullable=False),
    Column("former_scopes", JSONB, server_default="[]", nullable=False),
    _version(),
    _time("created_at", now=True),
    Index("idx_instances_parent", "parent_id"),
    Index("idx_instances_created", "created_at", "id"),
)

tasks = Table(
    "tasks",
    metadata,
    _id(primary_key=True),
    Column("title", String(500), nullable=False),
    Column("description", Text),
    Column("status", String(50), nullable=False),
    Column("priority", String(50)),
    Column("project", String(200)),
    Column("instance_id", String(36), ForeignKey("hopper_instances.id")),
    Column("tags", JSONB, server_default="{}", nullable=False),
    Column("source", String(50)),
    _id("source_instance_id"),
    Column("parent_task_id", String(36), ForeignKey("tasks.id", ondelete="SET NULL")),
    Column("duplicate_of", String(36), ForeignKey("tasks.id", ondelete="SET NULL")),
    Column("waits_for", String(36), ForeignKey("tasks.id", ondelete="SET NULL")),
    _version(),
    _time("created_at", now=True),
    _time("updated_at", now=True),
    Column(
        "search",
        TSVECTOR,
        Computed(
            "setweight(to_tsvector('english', title), 'A') || "
            "setweight(to_tsvector('english', coalesce(description, '')), 'B')",
            persisted=True,
        ),
    ),
    Column(
        "urgency",
        SmallInteger,
        Computed(
            "CASE priority WHEN 'urgent' THEN 1 WHEN 'high' THEN 2 WHEN 'medium' THEN 3 WHEN 'low' THEN 4 ELSE 5 END",
            persisted=True,
        ),
    ),
    Index("idx_tasks_status", "status"),
    Index("idx_tasks_instance", "instance_id"),
    Index("idx_tasks_project", "project", "created_at", "id", postgresql_where=text("project IS NOT NULL")),
    Index("idx_tasks_source", "source", "source_instance_id"),
    Index("idx_tasks_parent", "parent_task_id"),
    Index("idx_tasks_duplicate", "duplicate_of", postgresql_where=text("duplicate_of IS NOT NULL")),
    Index("idx_tasks_created", "created_at", "id"),
    Index("idx_tasks_status_created", "status", "created_at", "id"),
    Index(
        "idx_tasks_triage",
        "created_at",
        "id",
        postgresql_where=text("status = 'pending' AND instance_id IS NULL"),
    ),
    Index(
        "idx_tasks_ready",
        "urgency",
        "created_at",
        "id",
        postgresql_where=text("status = 'pending' AND waits_for IS NULL"),
    ),
    Index(
        "idx_tasks_claim",
        "instance_id",
        "urgency",
        "created_at",
        "id",
        postgresql_where=text("status = 'pending' AND waits_for IS NULL AND instance_id IS NOT NULL"),
    ),
    Index("idx_tasks_waits_for", "waits_for", postgresql_where=text("waits_for IS NOT NULL")),
    Index("idx_tasks_tags", "tags", postgresql_using="gin"),
    # New entries wait in a list that every look-up reads through: 4 MB of it unless told otherwise.
    Index("idx_tasks_search", "search", postgresql_using="gin", postgresql_with={"gin_pending_list_limit": 64}),
    Index("idx_tasks_id_prefix", "id", postgresql_ops={"id": "varchar_pattern_ops"}),
    Index(
        "idx_tasks_id_suffix",
        literal_column("reverse(id::text)").label("backwards"),
        postgresql_ops={"backwards": "text_pattern_ops"},
    ),
)

task_dependencies = Table(
    "task_dependencies",
    metadata,
    _owner("task_id", "tasks"),
    _owner("depends_on_id", "tasks"),
    PrimaryKeyConstraint("task_id", "depends_on_id"),
    CheckConstraint("task_id <> depends_on_id", name="not_itself"),
    Index("idx_dependencies_depends_on", "depends_on_id"),
)

task_delegations = Table(
    "task_delegations",
    metadata,
    _id(primary_key=True),
    _owner("task_id", "tasks"),
    _id("episode_id"),
    Column("source_instance_id", String(36), ForeignKey("hopper_instances.id", ondelete="SET NULL")),
    Column("target_instance_id", String(36), ForeignKey("hopper_instances.id", ondelete="SET NULL")),
    Column("delegation_type", String(50)),
    Column("status", String(50)),
    _time("delegated_at", now=True),
    _time("completed_at"),
    _count("expired_leases"),
    Index("idx_delegations_task", "task_id", "delegated_at"),
    Index("idx_delegations_target", "target_instance_id", "delegated_at"),
    Index(
        "idx_delegations_live",
        "task_id",
        unique=True,
        postgresql_where=text("status IN ('pending', 'accepted')"),
    ),
)

task_leases = Table(
    "task_leases",
    metadata,
    Column("task_id", String(36), ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    _owner("instance_id", "hopper_instances"),
    Column("token", String(36), nullable=False, unique=True),
    Column("worker", String(200)),
    _time("acquired_at", now=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _time("returned_at"),
    Column("reason", Text),
    Index("idx_leases_due", "instance_id", "expires_at", postgresql_where=text("returned_at IS NULL")),
)

routing_episodes = Table(
    "routing_episodes",
    metadata,
    _id(nullable=False),
    Column("task_id", String(36), ForeignKey("tasks.id", ondelete="CASCADE")),
    _id("chosen_instance"),
    Column("confidence", Float),
    Column("raw_confidence", Float),
    Column("strategy", String(50)),
    Column("decision_factors", JSONB),
    Column("alternatives", JSONB),
    Column("outcome_success", Boolean),
    _id("outcome_instance"),
    Column("outcome_duration", String(50)),
    Column("source", String(50)),
    _id("source_instance_id"),
    Column("summary_key", String(128)),
    _time("routed_at", now=True),
    _time("completed_at"),
    _time("corrected_at"),
    Column("degraded", Boolean, server_default=text("false"), nullable=False),
    Column("chosen_instance_scope", String(50)),
    Column("tags", JSONB),
    _scope(),
    PrimaryKeyConstraint("id", "scope"),
    UniqueConstraint("summary_key", "scope"),
    Index("idx_episodes_task", "task_id"),
    Index("idx_episodes_outcome", "outcome_success"),
    Index("idx_episodes_known", "completed_at", "id", postgresql_where=text("outcome_instance IS NOT NULL")),
    Index("idx_episodes_completed", "completed_at", "id", postgresql_where=text("completed_at IS NOT NULL")),
    Index("idx_episodes_northbound", "source_instance_id", postgresql_where=text("source = 'northbound'")),
    Index(
        "idx_episodes_news",
        literal_column("GREATEST(completed_at, corrected_at)"),
        "id",
        postgresql_where=text("completed_at IS NOT NULL OR corrected_at IS NOT NULL"),
    ),
    postgresql_partition_by="LIST (scope)",
)

routing_patterns = Table(
    "routing_patterns",
    metadata,
    _id(primary_key=True),
    Column("name", String(200), nullable=False),
    Column("description", Text),
    Column("pattern_type", String(50)),
    _id("target_instance"),
    Column("tag_criteria", JSONB),
    Column("text_criteria", JSONB),
    Column("priority_criteria", String(50)),
    Column("confidence", Float, server_default="0.5", nullable=False),
    _count("usage_count"),
    _count("success_count"),
    _count("failure_count"),
    Column("is_active", Boolean, server_default=text("true"), nullable=False),
    Column("source", String(50)),
    _id("source_instance_id"),
    Column("learned_key", String(64), unique=True),
    Column("switched_by_person", Boolean, server_default=text("false"), nullable=False),
    Column("target_scope", String(50)),
    Column("target_name", String(200)),
    _count("source_count"),
    _version(),
    _time("created_at", now=True),
    _time("last_used_at"),
    _time("last_refined_at"),
    Index("idx_patterns_target", "target_instance"),
    Index("idx_patterns_active", "is_active"),
    Index("idx_patterns_deciding", "id", postgresql_where=text("is_active AND source <> 'northbound'")),
)

pattern_derivations = Table(
    "pattern_derivations",
    metadata,
    _owner("pattern_id", "routing_patterns"),
    _owner("derived_from_id", "routing_patterns"),
    PrimaryKeyConstraint("pattern_id", "derived_from_id"),
)

rejected_rules = Table(
    "rejected_rules",
    metadata,
    Column("learned_key", String(64), primary_key=True),
    _time("rejected_at", now=True),
)

consolidations = Table(
    "consolidations",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("consolidated_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

sync_sources = Table(
    "sync_sources",
    metadata,
    _id("source_instance_id", primary_key=True),
    Column("name", String(200), nullable=False),
    Column("contribution_cap", Integer, nullable=False),
    Column("is_muted", Boolean, server_default=text("false"), nullable=False),
    Column("sequence", BigInteger, server_default="0", nullable=False),
    _time("created_at", now=True),
    _time("last_synced_at"),
)

pattern_contributions = Table(
    "pattern_contributions",
    metadata,
    _owner("pattern_id", "routing_patterns"),
    _source(),
    _count("usage_count"),
    _count("success_count"),
    _count("failure_count"),
    Column("confidence", Float, nullable=False),
    Column("sequence", BigInteger, server_default="0", nullable=False),
    _time("updated_at", now=True),
    PrimaryKeyConstraint("pattern_id", "source_instance_id"),
    Index("idx_contributions_source", "source_instance_id"),
)

task_feedback = Table(
    "task_feedback",
    metadata,
    Column("task_id", String(36), ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    Column("was_good_match", Boolean),
    Column("routing_feedback", Text),
    _id("should_have_routed_to"),
    Column("quality_score", Float),
    Column("complexity_rating", Integer),
    Column("required_rework", Boolean),
    Column("source", String(50)),
    _id("source_instance_id"),
    _time("created_at", now=True),
)


def _feedback_totals() -> list[Column[object]]:
    return [
        _count("total_feedback"),
        _count("good_matches"),
        _count("bad_matches"),
        Column("avg_quality_score", Float),
        Column("avg_complexity", Float),
        _time("updated_at", now=True),
    ]


source_feedback_stats = Table(
    "source_feedback_stats",
    metadata,
    _source(primary_key=True),
    *_feedback_totals(),
    Column("sequence", BigInteger, server_default="0", nullable=False),
)

global_statistics = Table(
    "global_statistics",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    *_feedback_totals(),
    Column("identity", String(36), server_default=text("gen_random_uuid()"), nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

sync_log = Table(
    "sync_log",
    metadata,
    _id(primary_key=True),
    _source(nullable=False),
    Column("sync_type", String(50)),
    Column("items_synced", Integer),
    _time("synced_at", now=True),
    Index("idx_sync_log_source", "source_instance_id", "synced_at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(primary_key=True),
    Column("name", String(200), nullable=False),
    Column("key_hash", String(64), nullable=False, unique=True),
    Column("role", String(20), nullable=False),
    # A key never outlives the part of the tree that it is bound to: without it, it would be bound to nothing.
    Column("instance_id", String(36), ForeignKey("hopper_instances.id", ondelete="CASCADE")),
    _source(),
    _time("created_at", now=True),
    _id("created_by"),
    _time("expires_at"),
    _time("last_used_at"),
    _time("revoked_at"),
)

# Not joined to the keys and entities that it names: what was done stays known when they are gone.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _time("at", now=True),
    _id("key_id", nullable=False),
    Column("key_name", String(200), nullable=False),
    Column("action", String(100), nullable=False),
    Column("entity_type", String(20)),
    _id("entity_id"),
    Column("request_id", String(64)),
    Index("idx_audit_at", "at"),
    Index("idx_audit_entity", "entity_id"),
)

text_models = Table(
    "text_models",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    _version(),
    Column("through", DateTime(timezone=True), nullable=False),
    _id("through_episode", nullable=False),
    Column("outcomes", Integer, nullable=False),
    _count("awaited"),
    Column("content", LargeBinary, nullable=False),
    _time("created_at", now=True),
    CheckConstraint("id = 1", name="one_row"),
)

projections = Table(
    "projections",
    metadata,
    Column("projection", String(50), primary_key=True),
    Column("identity", String(36), server_default=text("gen_random_uuid()"), nullable=False),
    _time("followed_since"),
    Column("reserved", BigInteger, server_default="0", nullable=False),
    Column("applied", BigInteger, server_default="0", nullable=False),
    Column("rebuilding", Boolean, server_default=text("false"), nullable=False),
)

projection_queue = Table(
    "projection_queue",
    metadata,
    Column("projection", String(50), nullable=False),
    Column("entity_type", String(50), nullable=False),
    Column("entity_id", String(36), nullable=False),
    Column("version", Integer, server_default="1", nullable=False),
    _time("enqueued_at", now=True),
    _count("attempts"),
    _time("not_before", now=True),
    Column("last_error", Text),
    PrimaryKeyConstraint("projection", "entity_type", "entity_id"),
    Index("idx_queue_due", "projection", "not_before"),
)

# A connection counts in its own row, or two writers would wait for each other.
graph_changes = Table(
    "graph_changes",
    metadata,
    Column("stripe", SmallInteger, primary_key=True, autoincrement=False),
    Column("changes", BigInteger, server_default="0", nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", String(300), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("entity_id", String(36), nullable=False),
    _time("created_at", now=True),
)


embedding_models = Table(
    "embedding_models",
    metadata,
    Column("model", String(100), primary_key=True),
    Column("provider", String(50), nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("base_url", Text),
    _time("wanted_at"),
    _time("searched_at"),
)


def _embeddings(table: str, owner: Column[str], *more: Any, **options: Any) -> Table:
    return Table(
        table,
        metadata,
        owner,
        Column("model", String(100), nullable=False),
        Column("embedding", Vector, nullable=False),
        Column("content_hash", String(64), nullable=False),
        _time("created_at", now=True),
        *more,
        **options,
    )


task_embeddings = _embeddings("task_embeddings", _owner("task_id", "tasks"), PrimaryKeyConstraint("task_id", "model"))
pattern_embeddings = _embeddings(
    "pattern_embeddings", _owner("pattern_id", "routing_patterns"), PrimaryKeyConstraint("pattern_id", "model")
)
# Only episodes with a known outcome are searched, and only they are in the index.
episode_embeddings = _embeddings(
    "episode_embeddings",
    _id("episode_id", nullable=False),
    Column("is_known", Boolean, server_default=text("false"), nullable=False),
    _scope(),
    PrimaryKeyConstraint("episode_id", "model", "scope"),
    ForeignKeyConstraint(
        ["episode_id", "scope"],
        ["routing_episodes.id", "routing_episodes.scope"],
        onupdate="CASCADE",  # an embedding moves with its episode
        ondelete="CASCADE",
    ),
    postgresql_partition_by="LIST (scope)",
)

task_origins = Table(
    "task_origins",
    metadata,
    Column("source", String(50), nullable=False),
    Column("external_id", String(180), nullable=False),
    _id("task_id", nullable=False),  # not a foreign key: that a task was removed here is remembered
    Column("said", JSONB, nullable=False),
    _time("read_at", now=True),
    Column("as_of", DateTime(timezone=True)),
    PrimaryKeyConstraint("source", "external_id"),
)
