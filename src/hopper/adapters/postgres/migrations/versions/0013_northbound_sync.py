"""Sources that sync what they learned, and what is kept of it: contributions, summaries of decisions, their scopes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

OF_A_SOURCE = ("api_keys", "pattern_contributions", "source_feedback_stats", "sync_log")


def upgrade() -> None:
    op.create_table(
        "sync_sources",
        sa.Column("source_instance_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("contribution_cap", sa.Integer(), nullable=False),
        sa.Column("is_muted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_synced_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("source_instance_id", name=op.f("sync_sources_pkey")),
    )
    for table in OF_A_SOURCE:
        op.create_foreign_key(
            op.f(f"{table}_source_instance_id_fkey"),
            table,
            "sync_sources",
            ["source_instance_id"],
            ["source_instance_id"],
            ondelete="CASCADE",
        )
    op.add_column("pattern_contributions", sa.Column("confidence", sa.Float(), nullable=False))
    for table in ("pattern_contributions", "source_feedback_stats"):
        op.add_column(table, sa.Column("sequence", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column(
        "global_statistics",
        sa.Column("identity", sa.String(length=36), server_default=sa.text("gen_random_uuid()"), nullable=False),
    )
    op.execute("INSERT INTO global_statistics (id) VALUES (1) ON CONFLICT DO NOTHING")
    op.add_column("routing_episodes", sa.Column("chosen_instance_scope", sa.String(length=50), nullable=True))
    op.add_column("routing_episodes", sa.Column("tags", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.create_index(
        "idx_episodes_northbound",
        "routing_episodes",
        ["source_instance_id"],
        unique=False,
        postgresql_where=sa.text("source = 'northbound'"),
    )
    op.add_column("routing_patterns", sa.Column("target_scope", sa.String(length=50), nullable=True))
    op.create_index(
        "idx_patterns_deciding",
        "routing_patterns",
        ["id"],
        unique=False,
        postgresql_where=sa.text("is_active AND source <> 'northbound'"),
    )


def downgrade() -> None:
    op.execute("DELETE FROM routing_patterns WHERE source = 'northbound'")
    op.execute("DELETE FROM routing_episodes WHERE source = 'northbound'")
    op.drop_index("idx_patterns_deciding", table_name="routing_patterns")
    op.drop_column("routing_patterns", "target_scope")
    op.drop_index("idx_episodes_northbound", table_name="routing_episodes")
    op.drop_column("routing_episodes", "tags")
    op.drop_column("routing_episodes", "chosen_instance_scope")
    op.execute("DELETE FROM global_statistics")
    op.drop_column("global_statistics", "identity")
    for table in ("source_feedback_stats", "pattern_contributions"):
        op.drop_column(table, "sequence")
    op.drop_column("pattern_contributions", "confidence")
    for table in reversed(OF_A_SOURCE):
        op.drop_constraint(op.f(f"{table}_source_instance_id_fkey"), table, type_="foreignkey")
    op.drop_table("sync_sources")
