"""The seed's tables and the additions of the design. Vectors get their type from `vector_type.py`."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("source_instance_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("api_keys_pkey")),
        sa.UniqueConstraint("key_hash", name=op.f("api_keys_key_hash_key")),
    )
    op.create_table(
        "global_statistics",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("total_feedback", sa.Integer(), server_default="0", nullable=False),
        sa.Column("good_matches", sa.Integer(), server_default="0", nullable=False),
        sa.Column("bad_matches", sa.Integer(), server_default="0", nullable=False),
        sa.Column("avg_quality_score", sa.Float(), nullable=True),
        sa.Column("avg_complexity", sa.Float(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("global_statistics_one_row_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("global_statistics_pkey")),
    )
    op.create_table(
        "hopper_instances",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("scope", sa.String(length=50), nullable=False),
        sa.Column("instance_type", sa.String(length=50), nullable=False),
        sa.Column("status", sa.String(length=50), nullable=False),
        sa.Column("parent_id", sa.String(length=36), nullable=True),
        sa.Column("config", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["hopper_instances.id"], name=op.f("hopper_instances_parent_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("hopper_instances_pkey")),
    )
    op.create_index("idx_instances_created", "hopper_instances", ["created_at", "id"], unique=False)
    op.create_index("idx_instances_parent", "hopper_instances", ["parent_id"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.String(length=300), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("entity_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("idempotency_keys_pkey")),
    )
    op.create_table(
        "projection_queue",
        sa.Column("projection", sa.String(length=50), nullable=False),
        sa.Column("entity_type", sa.String(length=50), nullable=False),
        sa.Column("entity_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("enqueued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("projection", "entity_type", "entity_id", name=op.f("projection_queue_pkey")),
    )
    op.create_index("idx_queue_due", "projection_queue", ["projection", "not_before"], unique=False)
    op.create_table(
        "routing_patterns",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("pattern_type", sa.String(length=50), nullable=True),
        sa.Column("target_instance", sa.String(length=36), nullable=True),
        sa.Column("tag_criteria", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("text_criteria", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("priority_criteria", sa.String(length=50), nullable=True),
        sa.Column("confidence", sa.Float(), server_default="0.5", nullable=False),
        sa.Column("usage_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("success_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failure_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("source", sa.String(length=50), nullable=True),
        sa.Column("source_instance_id", sa.String(length=36), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_refined_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("routing_patterns_pkey")),
    )
    op.create_index("idx_patterns_active", "routing_patterns", ["is_active"], unique=False)
    op.create_index("idx_patterns_target", "routing_patterns", ["target_instance"], unique=False)
    op.create_table(
        "source_feedback_stats",
        sa.Column("source_instance_id", sa.String(length=36), nullable=False),
        sa.Column("total_feedback", sa.Integer(), server_default="0", nullable=False),
        sa.Column("good_matches", sa.Integer(), server_default="0", nullable=False),
        sa.Column("bad_matches", sa.Integer(), server_default="0", nullable=False),
        sa.Column("avg_quality_score", sa.Float(), nullable=True),
        sa.Column("avg_complexity", sa.Float(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("source_instance_id", name=op.f("source_feedback_stats_pkey")),
    )
    op.create_table(
        "sync_log",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("source_instance_id", sa.String(length=36), nullable=False),
        sa.Column("sync_type", sa.String(length=50), nullable=True),
        sa.Column("items_synced", sa.Integer(), nullable=True),
        sa.Column("synced_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("sync_log_pkey")),
    )
    op.create_index("idx_sync_log_source", "sync_log", ["source_instance_id", "synced_at"], unique=False)
    op.create_table(
        "pattern_contributions",
        sa.Column("pattern_id", sa.String(length=36), nullable=False),
        sa.Column("source_instance_id", sa.String(length=36), nullable=False),
        sa.Column("usage_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("success_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failure_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["pattern_id"],
            ["routing_patterns.id"],
            name=op.f("pattern_contributions_pattern_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("pattern_id", "source_instance_id", name=op.f("pattern_contributions_pkey")),
    )
    op.create_index("idx_contributions_source", "pattern_contributions", ["source_instance_id"], unique=False)
    op.create_table(
        "pattern_derivations",
        sa.Column("pattern_id", sa.String(length=36), nullable=False),
        sa.Column("derived_from_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["derived_from_id"],
            ["routing_patterns.id"],
            name=op.f("pattern_derivations_derived_from_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["pattern_id"],
            ["routing_patterns.id"],
            name=op.f("pattern_derivations_pattern_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("pattern_id", "derived_from_id", name=op.f("pattern_derivations_pkey")),
    )
    op.create_table(
        "pattern_embeddings",
        sa.Column("pattern_id", sa.String(length=36), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("embedding", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["pattern_id"],
            ["routing_patterns.id"],
            name=op.f("pattern_embeddings_pattern_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("pattern_id", "model", name=op.f("pattern_embeddings_pkey")),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("title", sa.String(length=500), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=50), nullable=False),
        sa.Column("priority", sa.String(length=50), nullable=True),
        sa.Column("project", sa.String(length=200), nullable=True),
        sa.Column("instance_id", sa.String(length=36), nullable=True),
        sa.Column("tags", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("source", sa.String(length=50), nullable=True),
        sa.Column("source_instance_id", sa.String(length=36), nullable=True),
        sa.Column("parent_task_id", sa.String(length=36), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "search",
            postgresql.TSVECTOR(),
            sa.Computed(
                "setweight(to_tsvector('english', title), 'A') || setweight(to_tsvector('english', coalesce(description, '')), 'B')",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(["instance_id"], ["hopper_instances.id"], name=op.f("tasks_instance_id_fkey")),
        sa.ForeignKeyConstraint(
            ["parent_task_id"], ["tasks.id"], name=op.f("tasks_parent_task_id_fkey"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("tasks_pkey")),
    )
    op.create_index("idx_tasks_created", "tasks", ["created_at", "id"], unique=False)
    op.create_index("idx_tasks_id_prefix", "tasks", ["id"], unique=False, postgresql_ops={"id": "varchar_pattern_ops"})
    op.create_index(
        "idx_tasks_id_suffix",
        "tasks",
        [sa.literal_column("reverse(id::text)").label("backwards")],
        unique=False,
        postgresql_ops={"backwards": "text_pattern_ops"},
    )
    op.create_index("idx_tasks_instance", "tasks", ["instance_id"], unique=False)
    op.create_index("idx_tasks_parent", "tasks", ["parent_task_id"], unique=False)
    op.create_index("idx_tasks_search", "tasks", ["search"], unique=False, postgresql_using="gin")
    op.create_index("idx_tasks_source", "tasks", ["source", "source_instance_id"], unique=False)
    op.create_index("idx_tasks_status", "tasks", ["status"], unique=False)
    op.create_index("idx_tasks_status_created", "tasks", ["status", "created_at", "id"], unique=False)
    op.create_index(
        "idx_tasks_triage",
        "tasks",
        ["created_at", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'pending' AND instance_id IS NULL"),
    )
    op.create_index("idx_tasks_tags", "tasks", ["tags"], unique=False, postgresql_using="gin")
    op.create_table(
        "routing_episodes",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("task_id", sa.String(length=36), nullable=True),
        sa.Column("chosen_instance", sa.String(length=36), nullable=True),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("strategy", sa.String(length=50), nullable=True),
        sa.Column("decision_factors", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("alternatives", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("outcome_success", sa.Boolean(), nullable=True),
        sa.Column("outcome_instance", sa.String(length=36), nullable=True),
        sa.Column("outcome_duration", sa.String(length=50), nullable=True),
        sa.Column("source", sa.String(length=50), nullable=True),
        sa.Column("source_instance_id", sa.String(length=36), nullable=True),
        sa.Column("summary_key", sa.String(length=128), nullable=True),
        sa.Column("routed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("routing_episodes_task_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("routing_episodes_pkey")),
        sa.UniqueConstraint("summary_key", name=op.f("routing_episodes_summary_key_key")),
    )
    op.create_index(
        "idx_episodes_known",
        "routing_episodes",
        ["completed_at", "id"],
        unique=False,
        postgresql_where=sa.text("outcome_instance IS NOT NULL"),
    )
    op.create_index("idx_episodes_outcome", "routing_episodes", ["outcome_success"], unique=False)
    op.create_index("idx_episodes_task", "routing_episodes", ["task_id"], unique=False)
    op.create_table(
        "task_delegations",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("episode_id", sa.String(length=36), nullable=True),
        sa.Column("source_instance_id", sa.String(length=36), nullable=True),
        sa.Column("target_instance_id", sa.String(length=36), nullable=True),
        sa.Column("delegation_type", sa.String(length=50), nullable=True),
        sa.Column("status", sa.String(length=50), nullable=True),
        sa.Column("delegated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["source_instance_id"],
            ["hopper_instances.id"],
            name=op.f("task_delegations_source_instance_id_fkey"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["target_instance_id"],
            ["hopper_instances.id"],
            name=op.f("task_delegations_target_instance_id_fkey"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("task_delegations_task_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("task_delegations_pkey")),
    )
    op.create_index(
        "idx_delegations_live",
        "task_delegations",
        ["task_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('pending', 'accepted')"),
    )
    op.create_index("idx_delegations_target", "task_delegations", ["target_instance_id", "delegated_at"], unique=False)
    op.create_index("idx_delegations_task", "task_delegations", ["task_id", "delegated_at"], unique=False)
    op.create_table(
        "task_dependencies",
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("depends_on_id", sa.String(length=36), nullable=False),
        sa.CheckConstraint("task_id <> depends_on_id", name=op.f("task_dependencies_not_itself_check")),
        sa.ForeignKeyConstraint(
            ["depends_on_id"],
            ["tasks.id"],
            name=op.f("task_dependencies_depends_on_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("task_dependencies_task_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", "depends_on_id", name=op.f("task_dependencies_pkey")),
    )
    op.create_index("idx_dependencies_depends_on", "task_dependencies", ["depends_on_id"], unique=False)
    op.create_table(
        "task_embeddings",
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("embedding", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("task_embeddings_task_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", "model", name=op.f("task_embeddings_pkey")),
    )
    op.create_table(
        "task_feedback",
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("was_good_match", sa.Boolean(), nullable=True),
        sa.Column("routing_feedback", sa.Text(), nullable=True),
        sa.Column("should_have_routed_to", sa.String(length=36), nullable=True),
        sa.Column("quality_score", sa.Float(), nullable=True),
        sa.Column("complexity_rating", sa.Integer(), nullable=True),
        sa.Column("required_rework", sa.Boolean(), nullable=True),
        sa.Column("source", sa.String(length=50), nullable=True),
        sa.Column("source_instance_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("task_feedback_task_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_id", name=op.f("task_feedback_pkey")),
    )
    op.create_table(
        "task_leases",
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("worker", sa.String(length=200), nullable=True),
        sa.Column("acquired_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["hopper_instances.id"],
            name=op.f("task_leases_instance_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("task_leases_task_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_id", name=op.f("task_leases_pkey")),
    )
    op.create_index("idx_leases_expiry", "task_leases", ["expires_at"], unique=False)
    op.create_table(
        "episode_embeddings",
        sa.Column("episode_id", sa.String(length=36), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("embedding", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["episode_id"],
            ["routing_episodes.id"],
            name=op.f("episode_embeddings_episode_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("episode_id", "model", name=op.f("episode_embeddings_pkey")),
    )


def downgrade() -> None:
    op.drop_table("episode_embeddings")
    op.drop_index("idx_leases_expiry", table_name="task_leases")
    op.drop_table("task_leases")
    op.drop_table("task_feedback")
    op.drop_table("task_embeddings")
    op.drop_index("idx_dependencies_depends_on", table_name="task_dependencies")
    op.drop_table("task_dependencies")
    op.drop_index("idx_delegations_task", table_name="task_delegations")
    op.drop_index("idx_delegations_target", table_name="task_delegations")
    op.drop_index(
        "idx_delegations_live",
        table_name="task_delegations",
        postgresql_where=sa.text("status IN ('pending', 'accepted')"),
    )
    op.drop_table("task_delegations")
    op.drop_index("idx_episodes_task", table_name="routing_episodes")
    op.drop_index("idx_episodes_outcome", table_name="routing_episodes")
    op.drop_index(
        "idx_episodes_known",
        table_name="routing_episodes",
        postgresql_where=sa.text("outcome_instance IS NOT NULL"),
    )
    op.drop_table("routing_episodes")
    op.drop_index("idx_tasks_tags", table_name="tasks", postgresql_using="gin")
    op.drop_index("idx_tasks_status", table_name="tasks")
    op.drop_index("idx_tasks_source", table_name="tasks")
    op.drop_index("idx_tasks_search", table_name="tasks", postgresql_using="gin")
    op.drop_index("idx_tasks_parent", table_name="tasks")
    op.drop_index("idx_tasks_instance", table_name="tasks")
    op.drop_index("idx_tasks_id_suffix", table_name="tasks")
    op.drop_index("idx_tasks_id_prefix", table_name="tasks", postgresql_ops={"id": "varchar_pattern_ops"})
    op.drop_index("idx_tasks_created", table_name="tasks")
    op.drop_table("tasks")
    op.drop_table("pattern_embeddings")
    op.drop_table("pattern_derivations")
    op.drop_index("idx_contributions_source", table_name="pattern_contributions")
    op.drop_table("pattern_contributions")
    op.drop_index("idx_sync_log_source", table_name="sync_log")
    op.drop_table("sync_log")
    op.drop_table("source_feedback_stats")
    op.drop_index("idx_patterns_target", table_name="routing_patterns")
    op.drop_index("idx_patterns_active", table_name="routing_patterns")
    op.drop_table("routing_patterns")
    op.drop_index("idx_queue_due", table_name="projection_queue")
    op.drop_table("projection_queue")
    op.drop_table("idempotency_keys")
    op.drop_index("idx_instances_parent", table_name="hopper_instances")
    op.drop_index("idx_instances_created", table_name="hopper_instances")
    op.drop_table("hopper_instances")
    op.drop_table("global_statistics")
    op.drop_table("api_keys")
