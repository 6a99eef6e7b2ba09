"""Images, analyses, what was seen in them, feedback, and the outbox."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE images (
            id uuid PRIMARY KEY,
            user_id uuid NOT NULL,
            s3_key text NOT NULL CONSTRAINT images_s3_key_unique UNIQUE,
            content_type varchar(100) NOT NULL,
            size_bytes bigint NOT NULL CHECK (size_bytes > 0),
            sha256 bytea NOT NULL CHECK (length(sha256) = 32),
            created_at timestamptz NOT NULL,
            uploaded_at timestamptz,
            clean_key text,
            thumbnail_key text,
            clean_sha256 bytea,
            width int,
            height int
        )
    """)
    op.execute("CREATE INDEX images_by_user ON images (user_id, created_at)")
    op.execute("""
        CREATE TABLE analyses (
            id uuid PRIMARY KEY,
            user_id uuid NOT NULL,
            image_id uuid NOT NULL REFERENCES images (id),
            state varchar(10) NOT NULL DEFAULT 'QUEUED' CHECK (state IN ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED')),
            question text NOT NULL,
            language varchar(2) NOT NULL,
            request_id uuid,
            request_hash bytea,
            waste_type varchar(50),
            confidence numeric(5, 4),
            analysis_result jsonb,
            failure_reason varchar(100),
            failure_message text,
            created_at timestamptz NOT NULL,
            completed_at timestamptz,
            CONSTRAINT analyses_request_unique UNIQUE (user_id, request_id),
            CHECK ((state = 'SUCCEEDED') = (analysis_result IS NOT NULL)),
            CHECK ((state = 'FAILED') = (failure_reason IS NOT NULL)),
            CHECK ((state IN ('SUCCEEDED', 'FAILED')) = (completed_at IS NOT NULL))
        )
    """)
    op.execute("CREATE INDEX analyses_by_user ON analyses (user_id, id DESC)")
    op.execute("CREATE INDEX analyses_by_image ON analyses (image_id)")
    op.execute("""
        CREATE TABLE gpt_vision_results (
            analysis_id uuid PRIMARY KEY REFERENCES analyses (id) ON DELETE CASCADE,
            provider varchar(50) NOT NULL,
            model varchar(100) NOT NULL,
            cached boolean NOT NULL,
            sight jsonb NOT NULL,
            created_at timestamptz NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE feedback (
            analysis_id uuid PRIMARY KEY REFERENCES analyses (id) ON DELETE CASCADE,
            user_id uuid NOT NULL,
            correct boolean NOT NULL,
            comment text NOT NULL,
            updated_at timestamptz NOT NULL
        )
    """)
    # Rows live for milliseconds: written with the analysis, deleted once the broker has confirmed the message.
    op.execute("""
        CREATE TABLE outbox (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            queue varchar(100) NOT NULL,
            body bytea NOT NULL,
            request_id varchar(100) NOT NULL,
            created_at timestamptz NOT NULL
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE outbox, feedback, gpt_vision_results, analyses, images")
