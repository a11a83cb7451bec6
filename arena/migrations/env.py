"""Alembic's entry: the connection comes from `arena.schema.migrate`."""

from alembic import context

from arena.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=False,  # the caller holds the transaction
)
context.run_migrations()
