"""How Alembic reaches the database. `migrate.py` hands the connection over."""

from alembic import context

from hopper.adapters.postgres.migrate import is_another_type, is_ours
from hopper.adapters.postgres.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    compare_type=is_another_type,
    compare_server_default=True,
    include_object=is_ours,
)
with context.begin_transaction():
    context.run_migrations()
