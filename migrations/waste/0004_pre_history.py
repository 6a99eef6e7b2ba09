"""What the user says it was, and photos that are gone but whose objects may not be."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    # NULL where the user did not say.
    op.execute("""
        ALTER TABLE feedback
            ADD COLUMN true_material varchar(50),
            ADD COLUMN true_category varchar(100),
            ADD COLUMN true_item_id varchar(100)
    """)
    # A row lives until nothing can be uploaded under its key any more.
    op.execute("""
        CREATE TABLE removals (
            image_id uuid PRIMARY KEY,
            user_id uuid NOT NULL,
            s3_key text NOT NULL,
            announced_at timestamptz NOT NULL
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE removals")
    op.execute("ALTER TABLE feedback DROP COLUMN true_material, DROP COLUMN true_category, DROP COLUMN true_item_id")
