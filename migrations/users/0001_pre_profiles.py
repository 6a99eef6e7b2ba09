"""Profiles, settings, avatars, and the erasures under way and done."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    # Object keys are made of the id, so nothing in the object store names the user. Discarded ones have no user any
    # more, and go when nobody can upload to them any longer.
    op.execute("""
        CREATE TABLE avatars (
            id uuid PRIMARY KEY,
            user_id uuid,
            size_bytes bigint NOT NULL CHECK (size_bytes > 0),
            created_at timestamptz NOT NULL,
            discarded_at timestamptz,
            CHECK ((user_id IS NULL) = (discarded_at IS NOT NULL))
        )
    """)
    op.execute("CREATE INDEX avatars_by_user ON avatars (user_id) WHERE user_id IS NOT NULL")
    op.execute("CREATE INDEX avatars_discarded ON avatars (discarded_at) WHERE discarded_at IS NOT NULL")
    op.execute("""
        CREATE TABLE profiles (
            user_id uuid PRIMARY KEY,
            username varchar(100) NOT NULL,
            nickname varchar(100) NOT NULL,
            bio varchar(500) NOT NULL DEFAULT '',
            -- Its avatar_url is derived from this.
            avatar_id uuid UNIQUE REFERENCES avatars (id),
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE settings (
            user_id uuid PRIMARY KEY,
            notification_enabled boolean NOT NULL DEFAULT true,
            language varchar(2) NOT NULL DEFAULT 'ko' CHECK (language IN ('ko', 'en')),
            theme varchar(10) NOT NULL DEFAULT 'light' CHECK (theme IN ('light', 'dark', 'system')),
            -- NULL until they are changed for the first time.
            updated_at timestamptz
        )
    """)
    # The user is named for as long as it takes, and not in the proof that stays.
    op.execute("""
        CREATE TABLE erasures (
            id uuid PRIMARY KEY,
            user_id uuid CONSTRAINT erasures_user_unique UNIQUE,
            requested_at timestamptz NOT NULL,
            completed_at timestamptz,
            CHECK ((user_id IS NULL) = (completed_at IS NOT NULL))
        )
    """)
    op.execute("""
        CREATE TABLE erasure_steps (
            erasure_id uuid NOT NULL REFERENCES erasures (id) ON DELETE CASCADE,
            domain varchar(50) NOT NULL,
            position int NOT NULL,
            removed_count bigint NOT NULL DEFAULT 0,
            attempts int NOT NULL DEFAULT 0,
            -- In a row.
            failures int NOT NULL DEFAULT 0,
            next_attempt_at timestamptz NOT NULL,
            erased_at timestamptz,
            confirmed_at timestamptz,
            PRIMARY KEY (erasure_id, domain),
            CHECK (confirmed_at IS NULL OR erased_at IS NOT NULL)
        )
    """)
    op.execute("CREATE INDEX erasure_steps_due ON erasure_steps (next_attempt_at) WHERE confirmed_at IS NULL")
    op.execute("""
        CREATE TABLE tombstones (
            -- SHA-256 of the user id; see services/kit/tombstones.py.
            hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
            buried_at timestamptz NOT NULL,
            removed_count bigint NOT NULL DEFAULT 0
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE tombstones, erasure_steps, erasures, settings, profiles, avatars")
