"""Analyses that their users have cancelled."""

from alembic import op

revision = "0006"
down_revision = "0005"

# By the names that PostgreSQL gave to those of 0001: which states there are, and which of them have an end.
STATES, ENDS = "analyses_state_check", "analyses_check2"


def upgrade() -> None:
    _allow("'QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED'", "'SUCCEEDED', 'FAILED', 'CANCELLED'")


def downgrade() -> None:
    op.execute("""
        UPDATE analyses SET state = 'FAILED', failure_reason = 'CANCELLED', failure_message = ''
        WHERE state = 'CANCELLED'
    """)
    _allow("'QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED'", "'SUCCEEDED', 'FAILED'")


def _allow(states: str, ended: str) -> None:
    op.execute(f"""
        ALTER TABLE analyses
            DROP CONSTRAINT {STATES},
            DROP CONSTRAINT {ENDS},
            ADD CONSTRAINT {STATES} CHECK (state IN ({states})),
            ADD CONSTRAINT {ENDS} CHECK ((state IN ({ended})) = (completed_at IS NOT NULL))
    """)
