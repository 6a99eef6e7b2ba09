"""The database's roles and schemas: one Alembic lineage for each schema."""
