"""A project's newest tasks are found at once, however many others there are."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "idx_tasks_project",
        "tasks",
        ["project", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("project IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("idx_tasks_project", table_name="tasks")
