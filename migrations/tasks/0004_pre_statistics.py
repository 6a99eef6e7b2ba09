"""What operators ask of all tasks since some time, and what is old enough to forget."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("CREATE INDEX task_results_by_creation ON task_results (created_at)")
    op.execute("CREATE INDEX dead_letters_by_death ON dead_letters (died_at)")


def downgrade() -> None:
    op.execute("DROP INDEX task_results_by_creation, dead_letters_by_death")
