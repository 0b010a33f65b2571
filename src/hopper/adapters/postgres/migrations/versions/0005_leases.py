"""Leases with a token, what became of them, and indexes by which the next task is found at once."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_URGENCY = "CASE priority WHEN 'urgent' THEN 1 WHEN 'high' THEN 2 WHEN 'medium' THEN 3 WHEN 'low' THEN 4 ELSE 5 END"


def upgrade() -> None:
    op.add_column("task_delegations", sa.Column("expired_leases", sa.Integer(), server_default="0", nullable=False))
    op.add_column("task_leases", sa.Column("token", sa.String(length=36), nullable=False))  # nothing wrote to it yet
    op.add_column("task_leases", sa.Column("returned_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("task_leases", sa.Column("reason", sa.Text(), nullable=True))
    op.drop_index("idx_leases_expiry", table_name="task_leases")
    op.create_index(
        "idx_leases_due",
        "task_leases",
        ["instance_id", "expires_at"],
        unique=False,
        postgresql_where=sa.text("returned_at IS NULL"),
    )
    op.create_unique_constraint(op.f("task_leases_token_key"), "task_leases", ["token"])
    op.add_column("tasks", sa.Column("waits_for", sa.String(length=36), nullable=True))
    op.execute(
        """UPDATE tasks SET waits_for = needed.id FROM task_dependencies d JOIN tasks needed ON needed.id = d.depends_on_id
           WHERE d.task_id = tasks.id AND needed.status IN ('pending', 'in_progress')"""
    )
    op.create_index(
        "idx_tasks_waits_for", "tasks", ["waits_for"], unique=False, postgresql_where=sa.text("waits_for IS NOT NULL")
    )
    op.create_foreign_key(op.f("tasks_waits_for_fkey"), "tasks", "tasks", ["waits_for"], ["id"], ondelete="SET NULL")
    op.add_column(
        "tasks", sa.Column("urgency", sa.SmallInteger(), sa.Computed(_URGENCY, persisted=True), nullable=True)
    )
    op.create_index(
        "idx_tasks_ready",
        "tasks",
        ["urgency", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'pending' AND waits_for IS NULL"),
    )
    op.create_index(
        "idx_tasks_claim",
        "tasks",
        ["instance_id", "urgency", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'pending' AND waits_for IS NULL AND instance_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("idx_tasks_claim", table_name="tasks")
    op.drop_index("idx_tasks_ready", table_name="tasks")
    op.drop_constraint(op.f("tasks_waits_for_fkey"), "tasks", type_="foreignkey")
    op.drop_index("idx_tasks_waits_for", table_name="tasks")
    op.drop_column("tasks", "waits_for")
    op.drop_column("tasks", "urgency")
    op.drop_constraint(op.f("task_leases_token_key"), "task_leases", type_="unique")
    op.drop_index("idx_leases_due", table_name="task_leases")
    op.create_index("idx_leases_expiry", "task_leases", ["expires_at"], unique=False)
    op.drop_column("task_leases", "reason")
    op.drop_column("task_leases", "returned_at")
    op.drop_column("task_leases", "token")
    op.drop_column("task_delegations", "expired_leases")
