"""Conversations, messages with the answers among them, prompts, feedback."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    # summary: what was said in the messages up to summarized_number, which the model no longer gets to read.
    op.execute("""
        CREATE TABLE conversations (
            id uuid PRIMARY KEY,
            user_id uuid NOT NULL,
            title varchar(200) NOT NULL,
            request_id uuid,
            request_hash bytea,
            summary text NOT NULL DEFAULT '',
            summarized_number int NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            CONSTRAINT conversations_request_unique UNIQUE (user_id, request_id)
        )
    """)
    op.execute("CREATE INDEX conversations_by_user ON conversations (user_id, updated_at DESC, id DESC)")
    # The one with the highest version is used of those that are not retired.
    op.execute("""
        CREATE TABLE llm_prompts (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name varchar(50) NOT NULL,
            version int NOT NULL CHECK (version > 0),
            content text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            retired_at timestamptz,
            CONSTRAINT llm_prompts_version_unique UNIQUE (name, version)
        )
    """)
    # number: the order within a conversation, which clocks of several processes cannot tell.
    # Of answers only: asked (what to answer with, such as where the user is), and who writes it: claim names the
    # attempt, which is dead once lease_until has passed; claim_count, unlike attempts, also counts those given back.
    op.execute("""
        CREATE TABLE messages (
            id uuid PRIMARY KEY,
            conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
            number int NOT NULL CHECK (number > 0),
            role varchar(10) NOT NULL CHECK (role IN ('user', 'assistant')),
            content text NOT NULL,
            created_at timestamptz NOT NULL,
            completed_at timestamptz,
            request_id uuid,
            request_hash bytea,
            state varchar(10) NOT NULL
                CHECK (state IN ('QUEUED', 'RUNNING', 'SUCCEEDED', 'STOPPED', 'FAILED')),
            asked jsonb NOT NULL DEFAULT '{}',
            attempts smallint NOT NULL DEFAULT 0 CHECK (attempts BETWEEN 0 AND 2),
            claim uuid,
            claim_count int NOT NULL DEFAULT 0,
            lease_until timestamptz,
            citations jsonb NOT NULL DEFAULT '[]',
            provider varchar(50) NOT NULL DEFAULT '',
            fallback_reason varchar(100) NOT NULL DEFAULT '',
            prompt_id bigint REFERENCES llm_prompts (id),
            failure_reason varchar(100),
            failure_message text,
            CONSTRAINT messages_number_unique UNIQUE (conversation_id, number),
            CONSTRAINT messages_request_unique UNIQUE (conversation_id, request_id),
            CHECK (role = 'assistant' OR state = 'SUCCEEDED'),
            CHECK ((state = 'RUNNING') = (claim IS NOT NULL)),
            CHECK ((claim IS NULL) = (lease_until IS NULL)),
            CHECK ((state = 'FAILED') = (failure_reason IS NOT NULL)),
            CHECK ((state IN ('QUEUED', 'RUNNING')) = (completed_at IS NULL))
        )
    """)
    op.execute("""
        CREATE UNIQUE INDEX messages_one_under_way ON messages (conversation_id) WHERE state IN ('QUEUED', 'RUNNING')
    """)
    op.execute("CREATE INDEX messages_to_claim ON messages (created_at) WHERE state IN ('QUEUED', 'RUNNING')")
    op.execute("""
        CREATE TABLE feedback (
            message_id uuid PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE,
            helpful boolean NOT NULL,
            comment text NOT NULL,
            updated_at timestamptz NOT NULL
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE feedback, messages, llm_prompts, conversations")
