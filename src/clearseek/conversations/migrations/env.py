"""What Alembic runs: the migrations, inside the transaction that `database.migrate` opened."""

from __future__ import annotations

from alembic import context

from clearseek.conversations.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
