"""When workers last said something of an analysis, and whether it was begun anew because they had fallen silent."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # By the clock of the database, as all that is compared with it.
    op.execute("""
        ALTER TABLE analyses
            ADD COLUMN heard_at timestamptz NOT NULL DEFAULT now(),
            ADD COLUMN begun_anew boolean NOT NULL DEFAULT false
    """)
    # Those that have not ended are few. Not by heard_at, so that an update of it touches no index.
    op.execute("CREATE INDEX analyses_open ON analyses (id) WHERE completed_at IS NULL")


def downgrade() -> None:
    op.execute("DROP INDEX analyses_open")
    op.execute("ALTER TABLE analyses DROP COLUMN heard_at, DROP COLUMN begun_anew")
