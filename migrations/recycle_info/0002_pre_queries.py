"""Questions in the order of time, for their retention, and who has been erased."""

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


def downgrade() -> None:
    op.execute("DROP TABLE tombstones")
    op.execute("DROP INDEX user_queries_by_time")
