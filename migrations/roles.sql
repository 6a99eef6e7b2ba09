-- Who may do what in the database `ecoeco`. Run as a superuser, before every migration; repeating it changes nothing.
--
-- Each schema has two roles: <schema>_owner, which nobody logs in as and only migrations act as, and the login role of
-- its service, which reads and writes rows of its own schema and can do nothing else anywhere.

REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON DATABASE ecoeco FROM PUBLIC;

DO $$
DECLARE
    pair record;
BEGIN
    FOR pair IN
        SELECT * FROM (VALUES
            ('auth', 'api_auth_role'),
            ('users', 'api_users_role'),
            ('locations', 'api_locations_role'),
            ('waste', 'api_waste_role'),
            ('recycle_info', 'api_recycle_role'),
            ('chat_llm', 'api_chat_role'),
            ('tasks', 'worker_role')
        ) AS pairs (schema, login)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = pair.schema || '_owner') THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', pair.schema || '_owner');
        END IF;
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = pair.login) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT', pair.login);
        END IF;
        EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', pair.schema, pair.schema || '_owner');
        EXECUTE format('GRANT CONNECT ON DATABASE ecoeco TO %I', pair.login);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', pair.schema, pair.login);
        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I',
            pair.schema || '_owner', pair.schema, pair.login);
        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT USAGE ON SEQUENCES TO %I',
            pair.schema || '_owner', pair.schema, pair.login);
        -- New functions are executable by everybody unless this is said for the role as a whole.
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC', pair.schema || '_owner');
        EXECUTE format('ALTER ROLE %I SET search_path = %I', pair.login, pair.schema);
        EXECUTE format('ALTER ROLE %I SET statement_timeout = ''5s''', pair.login);
        EXECUTE format('ALTER ROLE %I SET lock_timeout = ''3s''', pair.login);
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''10s''', pair.login);
    END LOOP;
END
$$;

-- The nearest centres come from a GiST index over cubes. Not from earthdistance, which is SQL functions over cube whose
-- bodies need a search_path: a dump that uses them in an index or a column cannot be restored.
CREATE EXTENSION IF NOT EXISTS cube SCHEMA locations;
CREATE EXTENSION IF NOT EXISTS btree_gist SCHEMA locations;
