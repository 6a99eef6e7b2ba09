"""Registrations that others have not been told of yet, and who has been erased."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # An outbox: rows live for milliseconds, written with the user, deleted once the broker has confirmed the event.
    op.execute("""
        CREATE TABLE registrations (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            user_id uuid NOT NULL UNIQUE REFERENCES users (id) ON DELETE CASCADE,
            request_id varchar(100) NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE tombstones (
            -- SHA-256 of the user id; see services/kit/tombstones.py.
            hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
            buried_at timestamptz NOT NULL,
            removed_count bigint NOT NULL DEFAULT 0
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE tombstones, registrations")
