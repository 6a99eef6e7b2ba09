"""Questions in the order of time, for their retention; who has been erased; rules that were imported."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("CREATE INDEX user_queries_by_time ON user_queries (created_at)")
    op.execute("""
        CREATE TABLE tombstones (
            -- SHA-256 of the user id; see services/kit/tombstones.py.
            hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
            buried_at timestamptz NOT NULL,
            removed_count bigint NOT NULL DEFAULT 0
        )
    """)

    # There when the items are imported ones, which a start must not replace by those that ship.
    op.execute("""
        CREATE TABLE rule_imports (
            only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
            overrides jsonb NOT NULL,
            imported_by text NOT NULL,
            imported_at timestamptz NOT NULL DEFAULT now()
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE rule_imports")
    op.execute("DROP TABLE tombstones")
    op.execute("DROP INDEX user_queries_by_time")
