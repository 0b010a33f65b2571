"""A project's newest tasks are found at once, however many others there are."""

from alembic import op

from hopper.adapters.postgres.phases import Index

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

change = Index(revision, "idx_tasks_project", "ON tasks (project, created_at, id) WHERE project IS NOT NULL")


def upgrade() -> None:
    change.at_once(op.get_bind())


def downgrade() -> None:
    op.drop_index("idx_tasks_project", table_name="tasks")
