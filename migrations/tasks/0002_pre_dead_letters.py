"""What no worker could finish, and who had it tried again."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # key: the task_id, or of a message that is no job the SHA-256 of its bytes in hex; with queue and attempt it tells
    # a second copy from a second death. replayed_at and replayed_by are the audit trail: a row is replayed once, and
    # nothing deletes it.
    op.execute("""
        CREATE TABLE dead_letters (
            id uuid PRIMARY KEY,
            key varchar(255) COLLATE "C" NOT NULL,
            task_id varchar(255) COLLATE "C",
            queue varchar(255) COLLATE "C" NOT NULL,
            attempt integer NOT NULL CONSTRAINT dead_letters_attempt CHECK (attempt >= 1),
            user_id uuid,
            reason varchar(100) NOT NULL,
            error text NOT NULL,
            stack text NOT NULL,
            payload bytea NOT NULL,
            headers jsonb NOT NULL,
            died_at timestamptz NOT NULL DEFAULT now(),
            replayed_at timestamptz,
            replayed_by varchar(150),
            CONSTRAINT dead_letters_copy_unique UNIQUE (queue, key, attempt),
            CONSTRAINT dead_letters_replayed CHECK ((replayed_at IS NULL) = (replayed_by IS NULL))
        )
    """)
    op.execute("CREATE INDEX dead_letters_by_user ON dead_letters (user_id, id)")
    op.execute("CREATE INDEX dead_letters_by_task ON dead_letters (task_id)")
    op.execute("CREATE INDEX dead_letters_waiting ON dead_letters (queue, reason, id) WHERE replayed_at IS NULL")


def downgrade() -> None:
    op.execute("DROP TABLE dead_letters")
