"""Alembic's entry: the connection comes from `arena.db.schema.migrate`."""

from alembic import context

from arena.db.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller holds the transaction
)
context.run_migrations()
