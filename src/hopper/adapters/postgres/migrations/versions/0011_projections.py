"""Which projections are followed: those that nobody follows cost no rows in the queue."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "projections",
        sa.Column("projection", sa.String(length=50), nullable=False),
        sa.Column("followed_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reserved", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("applied", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rebuilding", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("projection", name=op.f("projections_pkey")),
    )
    op.execute("INSERT INTO projections (projection, followed_since) VALUES ('embedding', now()), ('graph', NULL)")


def downgrade() -> None:
    op.execute("DELETE FROM projection_queue WHERE projection <> 'embedding'")
    op.drop_table("projections")
