"""A model's provider is remembered with where it is, so that it can be asked when the settings name another one."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("embedding_models", sa.Column("base_url", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("embedding_models", "base_url")
