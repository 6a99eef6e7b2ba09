"""Runs one schema's migrations on the connection that `migrations.upgrade` passes, as the schema's owner."""

import sqlalchemy as sa
from alembic import context

connection: sa.Connection = context.config.attributes["connection"]
schema: str = context.config.attributes["schema"]

connection.execute(sa.text(f'SET ROLE "{schema}_owner"'))
connection.execute(sa.text(f'SET search_path = "{schema}"'))
# A migration that must wait for a lock would make every query behind it wait too.
connection.execute(sa.text("SET lock_timeout = '3s'"))
context.configure(connection=connection, version_table_schema=schema, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
# Default privileges gave the service the right to write here; only migrations may.
login = connection.execute(
    sa.text(
        "SELECT grantee FROM information_schema.role_table_grants"
        " WHERE table_schema = :schema AND table_name = 'alembic_version' AND grantee <> :owner LIMIT 1"
    ),
    {"schema": schema, "owner": f"{schema}_owner"},
).scalar()
if login:
    connection.execute(sa.text(f'REVOKE ALL ON "{schema}".alembic_version FROM "{login}"'))
connection.commit()
connection.execute(sa.text("RESET ROLE"))
connection.commit()
