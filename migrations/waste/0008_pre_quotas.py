"""How many analyses each user has begun today, and which photos nobody has had analysed."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # A counter, since those that were deleted since count too. day: of the calendar in Seoul.
    op.execute("""
        CREATE TABLE analysis_days (
            user_id uuid PRIMARY KEY,
            day date NOT NULL,
            count int NOT NULL CHECK (count > 0)
        )
    """)
    # They are few: an analysis takes a photo out, and so does a day.
    op.execute("CREATE INDEX images_unused ON images (user_id, created_at) WHERE uploaded_at IS NULL")


def downgrade() -> None:
    op.execute("DROP INDEX images_unused")
    op.execute("DROP TABLE analysis_days")
