"""Accounts, the sessions they are logged in with, and each session's family of refresh tokens.

Access tokens are JWTs and have no rows. A session is one log-in; revoking it ends every refresh token of its family.
"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE users (
            id uuid PRIMARY KEY,
            username varchar(100) NOT NULL,
            email varchar(255) NOT NULL,
            password_hash text NOT NULL,
            created_at timestamptz NOT NULL
        )
    """)
    # Phones write a capital first, and some keyboards send Hangul as separate jamo: both are the same name.
    op.execute("CREATE UNIQUE INDEX users_username_unique ON users (lower(normalize(username)))")
    op.execute("CREATE UNIQUE INDEX users_email_unique ON users (lower(email))")
    op.execute("""
        CREATE TABLE sessions (
            id uuid PRIMARY KEY,
            user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            created_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            revoked_at timestamptz
        )
    """)
    op.execute("CREATE INDEX sessions_by_user ON sessions (user_id)")
    op.execute("""
        CREATE TABLE refresh_tokens (
            id uuid PRIMARY KEY,
            session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
            user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            -- SHA-256 of the token.
            token bytea NOT NULL CONSTRAINT refresh_tokens_token_unique UNIQUE CHECK (octet_length(token) = 32),
            expires_at timestamptz NOT NULL,
            -- When it was first exchanged.
            used_at timestamptz
        )
    """)
    op.execute("CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id)")
    op.execute("CREATE INDEX refresh_tokens_by_user ON refresh_tokens (user_id)")


def downgrade() -> None:
    op.execute("DROP TABLE refresh_tokens, sessions, users")
