"""What looked at a photo by which instructions, and when a failed analysis is worth trying again."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE analyses ADD COLUMN failure_retry_at timestamptz")
    op.execute("ALTER TABLE gpt_vision_results ADD COLUMN prompt_version varchar(100) NOT NULL DEFAULT ''")


def downgrade() -> None:
    op.execute("ALTER TABLE gpt_vision_results DROP COLUMN prompt_version")
    op.execute("ALTER TABLE analyses DROP COLUMN failure_retry_at")
