"""Where the thing of an analysis is thrown away."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # Empty: the rules of the country.
    op.execute("ALTER TABLE analyses ADD COLUMN region_code text NOT NULL DEFAULT ''")


def downgrade() -> None:
    op.execute("ALTER TABLE analyses DROP COLUMN region_code")
