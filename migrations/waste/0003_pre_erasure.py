"""Who has been erased, and whose uploads may still be on their way."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE tombstones (
            -- SHA-256 of the user id; see services/kit/tombstones.py.
            hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
            buried_at timestamptz NOT NULL,
            removed_count bigint NOT NULL DEFAULT 0
        )
    """)
    # A URL to upload to, once given out, works until it ends.
    op.execute("""
        CREATE TABLE late_uploads (
            hash bytea PRIMARY KEY REFERENCES tombstones (hash),
            expires_at timestamptz NOT NULL
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE late_uploads, tombstones")
