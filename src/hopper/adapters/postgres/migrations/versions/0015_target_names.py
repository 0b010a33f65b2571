"""What sources call the target of a pattern, where they choose to tell it."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("routing_patterns", sa.Column("target_name", sa.String(length=200), nullable=True))


def downgrade() -> None:
    op.drop_column("routing_patterns", "target_name")
