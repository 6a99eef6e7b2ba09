"""The central record of all work, and its history.

The states are drawn in services/tasks/states.py.
"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    # Identifiers compare byte by byte: the tasks of one analysis are then one range of the unique index.
    op.execute("""
        CREATE TABLE task_results (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            task_id varchar(255) COLLATE "C" NOT NULL CONSTRAINT task_results_task_id_unique UNIQUE,
            task_name varchar(100) NOT NULL,
            worker_name varchar(100) NOT NULL,
            status varchar(10) NOT NULL
                CONSTRAINT task_results_status CHECK (status IN ('pending', 'running', 'success', 'failure')),
            attempt integer NOT NULL CONSTRAINT task_results_attempt CHECK (attempt >= 1),
            user_id uuid,
            result jsonb,
            error text NOT NULL,
            created_at timestamptz NOT NULL,
            started_at timestamptz,
            completed_at timestamptz,
            next_attempt_at timestamptz,
            synced_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT task_results_completed CHECK ((completed_at IS NOT NULL) = (status IN ('success', 'failure')))
        )
    """)
    op.execute("CREATE INDEX task_results_by_user ON task_results (user_id, created_at, id)")
    op.execute("CREATE INDEX task_results_by_worker ON task_results (worker_name)")
    op.execute("CREATE INDEX task_results_by_status ON task_results (status)")
    op.execute("CREATE INDEX task_results_by_completion ON task_results (completed_at)")
    op.execute("""
        CREATE TABLE task_history (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            task_id varchar(255) COLLATE "C" NOT NULL REFERENCES task_results (task_id) ON DELETE CASCADE,
            attempt integer NOT NULL CONSTRAINT task_history_attempt CHECK (attempt >= 1),
            event_type varchar(10) NOT NULL
                CONSTRAINT task_history_event_type CHECK (event_type IN ('queued', 'started', 'completed', 'failed')),
            event_data jsonb NOT NULL,
            timestamp timestamptz NOT NULL,
            CONSTRAINT task_history_event_unique UNIQUE (task_id, attempt, event_type)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE task_history, task_results")
