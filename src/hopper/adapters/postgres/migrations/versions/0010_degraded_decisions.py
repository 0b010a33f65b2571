"""A decision tells whether it was made without similar past tasks, since the embedder couldn't be reached."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "routing_episodes", sa.Column("degraded", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("routing_episodes", "degraded")
