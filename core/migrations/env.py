"""Alembic's way in: always on a connection that `core.migrations.upgrade` opened."""

from alembic import context

from core.ledger_tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
