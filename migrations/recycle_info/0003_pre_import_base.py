"""Which rules shipped when others were imported."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # Empty: imported by a release that did not say.
    op.execute("ALTER TABLE rule_imports ADD COLUMN shipped text NOT NULL DEFAULT ''")


def downgrade() -> None:
    op.execute("ALTER TABLE rule_imports DROP COLUMN shipped")
