"""Where tasks came from, and what was said of them there, so that an import can be repeated."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "task_origins",
        sa.Column("source", sa.String(length=50), nullable=False),
        sa.Column("external_id", sa.String(length=180), nullable=False),
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("said", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("source", "external_id", name=op.f("task_origins_pkey")),
    )


def downgrade() -> None:
    op.drop_table("task_origins")
