"""The text model that the router learned, confidences before calibration, and which episodes can be learned from."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "text_models",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("through", sa.DateTime(timezone=True), nullable=False),
        sa.Column("through_episode", sa.String(length=36), nullable=False),
        sa.Column("outcomes", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("text_models_one_row_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("text_models_pkey")),
    )
    # Weights hardly shrink, and compressing megabytes of them would take longer than storing them.
    op.execute("ALTER TABLE text_models ALTER COLUMN content SET STORAGE EXTERNAL")
    op.add_column(
        "episode_embeddings", sa.Column("is_known", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.execute(
        """UPDATE episode_embeddings v SET is_known = true FROM routing_episodes e
           WHERE e.id = v.episode_id AND (e.outcome_instance IS NOT NULL OR e.outcome_success IS NOT NULL)"""
    )
    op.add_column("routing_episodes", sa.Column("raw_confidence", sa.Float(), nullable=True))


def downgrade() -> None:
    op.drop_column("routing_episodes", "raw_confidence")
    op.drop_column("episode_embeddings", "is_known")
    op.drop_table("text_models")
