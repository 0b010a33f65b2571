"""The record of embedding models: which one is searched, and which one search is to move to."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "embedding_models",
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("provider", sa.String(length=50), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("wanted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("searched_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("model", name=op.f("embedding_models_pkey")),
    )
    # Until now there was only this model.
    op.execute(
        """INSERT INTO embedding_models (model, provider, dimension, wanted_at, searched_at)
           SELECT 'wordllama-256', 'wordllama', 256, now(), now()
           WHERE EXISTS (SELECT FROM task_embeddings WHERE model = 'wordllama-256')
               OR EXISTS (SELECT FROM episode_embeddings WHERE model = 'wordllama-256')"""
    )


def downgrade() -> None:
    op.drop_table("embedding_models")
