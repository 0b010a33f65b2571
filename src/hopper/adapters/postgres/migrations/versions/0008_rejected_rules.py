"""Rules whose learned patterns people deleted are remembered, so that they aren't learned again."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rejected_rules",
        sa.Column("learned_key", sa.String(length=64), nullable=False),
        sa.Column("rejected_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("learned_key", name=op.f("rejected_rules_pkey")),
    )


def downgrade() -> None:
    op.drop_table("rejected_rules")
