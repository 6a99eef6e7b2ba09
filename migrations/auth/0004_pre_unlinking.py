"""Whether an account may be linked to one at a provider because both have shown that they have the same address."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    # False once its owner has unlinked something, which would otherwise come back with the next sign-in.
    op.execute("ALTER TABLE users ADD COLUMN links_by_email boolean NOT NULL DEFAULT true")


def downgrade() -> None:
    op.execute("ALTER TABLE users DROP COLUMN links_by_email")
