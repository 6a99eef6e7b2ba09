"""What sessions show their owner, passwords chosen anew by mail, accounts at providers, and the keys that sign."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # A person who came from a provider may have neither.
    op.execute("ALTER TABLE users ALTER COLUMN email DROP NOT NULL, ALTER COLUMN password_hash DROP NOT NULL")
    # When its owner showed that the address is theirs: by a mailed link, or by a provider that vouches for it.
    op.execute("ALTER TABLE users ADD COLUMN email_verified_at timestamptz")
    op.execute("""
        ALTER TABLE sessions
            ADD COLUMN last_used_at timestamptz,
            ADD COLUMN user_agent varchar(300) NOT NULL DEFAULT '',
            ADD COLUMN address varchar(45) NOT NULL DEFAULT ''
    """)
    op.execute("CREATE INDEX sessions_by_revocation ON sessions (revoked_at) WHERE revoked_at IS NOT NULL")
    op.execute("CREATE INDEX sessions_by_expiry ON sessions (expires_at)")
    op.execute("CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at)")
    op.execute("""
        CREATE TABLE password_resets (
            id uuid PRIMARY KEY,
            -- SHA-256 of the token, which is derived from the id by a secret that is not in the database.
            token bytea NOT NULL CONSTRAINT password_resets_token_unique UNIQUE CHECK (octet_length(token) = 32),
            -- As it was asked for; emptied when the mail is out.
            email varchar(255) NOT NULL,
            -- Set when the mail goes out; stays NULL when nobody has this address.
            user_id uuid REFERENCES users (id) ON DELETE CASCADE,
            created_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            attempts int NOT NULL DEFAULT 0,
            -- NULL when there is nothing more to send.
            next_attempt_at timestamptz,
            used_at timestamptz
        )
    """)
    op.execute("CREATE INDEX password_resets_due ON password_resets (next_attempt_at)")
    op.execute("CREATE INDEX password_resets_by_user ON password_resets (user_id)")
    op.execute("CREATE INDEX password_resets_by_expiry ON password_resets (expires_at)")
    op.execute("""
        CREATE TABLE social_accounts (
            id uuid PRIMARY KEY,
            user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            provider varchar(20) NOT NULL CHECK (provider IN ('google', 'kakao', 'naver')),
            -- The provider's own id of the person, which never changes; an address may.
            subject varchar(255) NOT NULL,
            created_at timestamptz NOT NULL,
            CONSTRAINT social_accounts_subject_unique UNIQUE (provider, subject)
        )
    """)
    op.execute("CREATE INDEX social_accounts_by_user ON social_accounts (user_id)")
    op.execute("""
        CREATE TABLE signing_keys (
            -- RFC 7638 thumbprint.
            kid varchar(43) PRIMARY KEY,
            -- The public half, RFC 7517.
            jwk jsonb NOT NULL,
            created_at timestamptz NOT NULL,
            -- When a server that signs with it, or is about to, last said so.
            seen_at timestamptz NOT NULL
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE signing_keys, social_accounts, password_resets")
    op.execute("DROP INDEX refresh_tokens_by_expiry, sessions_by_expiry, sessions_by_revocation")
    op.execute("ALTER TABLE sessions DROP COLUMN last_used_at, DROP COLUMN user_agent, DROP COLUMN address")
    op.execute("DELETE FROM users WHERE email IS NULL OR password_hash IS NULL")
    op.execute("ALTER TABLE users DROP COLUMN email_verified_at")
    op.execute("ALTER TABLE users ALTER COLUMN email SET NOT NULL, ALTER COLUMN password_hash SET NOT NULL")
