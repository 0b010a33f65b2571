"""Learned patterns know which rule they are and who switched them; outcomes are found by their time."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "consolidations",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("consolidated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("consolidations_one_row_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("consolidations_pkey")),
    )
    op.create_index(
        "idx_episodes_completed",
        "routing_episodes",
        ["completed_at", "id"],
        postgresql_where=sa.text("completed_at IS NOT NULL"),
    )
    op.add_column("routing_patterns", sa.Column("learned_key", sa.String(length=64), nullable=True))
    op.add_column(
        "routing_patterns",
        sa.Column("switched_by_person", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.create_unique_constraint(op.f("routing_patterns_learned_key_key"), "routing_patterns", ["learned_key"])


def downgrade() -> None:
    op.drop_constraint(op.f("routing_patterns_learned_key_key"), "routing_patterns", type_="unique")
    op.drop_column("routing_patterns", "switched_by_person")
    op.drop_column("routing_patterns", "learned_key")
    op.drop_index("idx_episodes_completed", table_name="routing_episodes")
    op.drop_table("consolidations")
