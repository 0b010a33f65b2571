"""Which task a task repeats; words of new tasks are found as quickly as those of old ones."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("duplicate_of", sa.String(length=36), nullable=True))
    op.create_foreign_key(
        op.f("tasks_duplicate_of_fkey"), "tasks", "tasks", ["duplicate_of"], ["id"], ondelete="SET NULL"
    )
    op.create_index(
        "idx_tasks_duplicate",
        "tasks",
        ["duplicate_of"],
        unique=False,
        postgresql_where=sa.text("duplicate_of IS NOT NULL"),
    )
    op.execute("ALTER INDEX idx_tasks_search SET (gin_pending_list_limit = 64)")


def downgrade() -> None:
    op.execute("ALTER INDEX idx_tasks_search RESET (gin_pending_list_limit)")
    op.drop_index("idx_tasks_duplicate", table_name="tasks")
    op.drop_constraint(op.f("tasks_duplicate_of_fkey"), "tasks", type_="foreignkey")
    op.drop_column("tasks", "duplicate_of")
