"""Keys have roles, and may be bound to a part of the instance tree; who did what is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("role", sa.String(length=20), nullable=True))
    op.execute("UPDATE api_keys SET role = 'sync'")
    op.alter_column("api_keys", "role", nullable=False)
    op.add_column("api_keys", sa.Column("instance_id", sa.String(length=36), nullable=True))
    op.create_foreign_key(
        op.f("api_keys_instance_id_fkey"), "api_keys", "hopper_instances", ["instance_id"], ["id"], ondelete="CASCADE"
    )
    op.add_column("api_keys", sa.Column("created_by", sa.String(length=36), nullable=True))
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("key_id", sa.String(length=36), nullable=False),
        sa.Column("key_name", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=100), nullable=False),
        sa.Column("entity_type", sa.String(length=20), nullable=True),
        sa.Column("entity_id", sa.String(length=36), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_log_pkey")),
    )
    op.create_index("idx_audit_at", "audit_log", ["at"], unique=False)
    op.create_index("idx_audit_entity", "audit_log", ["entity_id"], unique=False)


def downgrade() -> None:
    op.drop_table("audit_log")
    op.execute("DELETE FROM api_keys WHERE role <> 'sync'")
    op.drop_column("api_keys", "expires_at")
    op.drop_column("api_keys", "created_by")
    op.drop_constraint(op.f("api_keys_instance_id_fkey"), "api_keys", type_="foreignkey")
    op.drop_column("api_keys", "instance_id")
    op.drop_column("api_keys", "role")
