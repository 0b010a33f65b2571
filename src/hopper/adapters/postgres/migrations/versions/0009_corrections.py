"""Corrections of outcomes have a time of their own; a text model knows how many vectors it was made without."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("routing_episodes", sa.Column("corrected_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "idx_episodes_news",
        "routing_episodes",
        [sa.literal_column("GREATEST(completed_at, corrected_at)"), "id"],
        postgresql_where=sa.text("completed_at IS NOT NULL OR corrected_at IS NOT NULL"),
    )
    op.add_column("text_models", sa.Column("awaited", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("text_models", "awaited")
    op.drop_index("idx_episodes_news", table_name="routing_episodes")
    op.drop_column("routing_episodes", "corrected_at")
