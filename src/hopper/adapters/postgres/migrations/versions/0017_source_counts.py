"""How many sources a pattern counts for; those whose contributions have no cases don't count."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("routing_patterns", sa.Column("source_count", sa.Integer(), server_default="0", nullable=False))
    op.execute(
        """UPDATE routing_patterns p SET source_count = (
               SELECT count(*) FROM pattern_contributions c JOIN sync_sources s USING (source_instance_id)
               WHERE c.pattern_id = p.id AND NOT s.is_muted AND s.contribution_cap > 0
                   AND greatest(c.usage_count, c.success_count, c.failure_count) > 0)
           WHERE source = 'northbound'"""
    )


def downgrade() -> None:
    op.drop_column("routing_patterns", "source_count")
