"""How often the graph has changed, so that an answer that was kept is known to be current."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "graph_changes",
        sa.Column("stripe", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("changes", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("stripe", name=op.f("graph_changes_pkey")),
    )
    op.execute("INSERT INTO graph_changes (stripe) SELECT generate_series(0, 63)")


def downgrade() -> None:
    op.drop_table("graph_changes")
