"""Items and their rules."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE items (
            id uuid PRIMARY KEY,
            key varchar(100) NOT NULL CONSTRAINT items_key_unique UNIQUE,
            name varchar(200) NOT NULL,
            material varchar(20) NOT NULL,
            category varchar(50) NOT NULL,
            category_middle varchar(50) NOT NULL,
            description text NOT NULL,
            how_to_recycle jsonb NOT NULL,
            do_not_do jsonb NOT NULL,
            images jsonb NOT NULL DEFAULT '[]'
        )
    """)
    op.execute("CREATE INDEX items_by_category ON items (category, name)")
    op.execute("""
        CREATE TABLE recycling_rules (
            id uuid PRIMARY KEY,
            item_id uuid NOT NULL UNIQUE REFERENCES items (id) ON DELETE CASCADE,
            rule jsonb NOT NULL,
            source_url text NOT NULL,
            regional boolean NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE user_queries (
            id uuid PRIMARY KEY,
            user_id uuid,
            query text NOT NULL,
            result jsonb NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX user_queries_by_user ON user_queries (user_id, created_at)")


def downgrade() -> None:
    op.execute("DROP TABLE user_queries, recycling_rules, items")
