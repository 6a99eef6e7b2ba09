"""Each login role can use its own schema and is refused everything else, table by table and privilege by privilege."""

import psycopg
import pytest
from psycopg import sql

import migrations.__main__ as migrations
from tests.conftest import LOGINS

PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


@pytest.fixture
def admin(postgres, database_name):
    with psycopg.connect(postgres.url(database_name), autocommit=True) as connection:
        yield connection


def tables(admin) -> list[tuple[str, str]]:
    """Every table, view and foreign table outside PostgreSQL's own schemas."""
    return admin.execute("""
        SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
            AND n.nspname NOT LIKE 'pg_toast%'
        ORDER BY 1, 2
    """).fetchall()


def test_each_role_is_refused_on_every_foreign_table(admin):
    found = tables(admin)
    assert {schema for schema, _ in found} >= {"recycle_info"}
    refused, wrong = 0, []
    for schema, login in LOGINS.items():
        for other, table in found:
            if other == schema:
                continue
            for privilege in PRIVILEGES:
                granted = admin.execute(
                    "SELECT has_table_privilege(%s, %s, %s)", [login, f'"{other}"."{table}"', privilege]
                ).fetchone()[0]
                refused += not granted
                if granted:
                    wrong.append((login, other, table, privilege))
    print(f"{len(LOGINS)} roles, {len(found)} tables: {refused} privileges refused, {len(wrong)} granted")
    assert not wrong


def test_each_role_is_really_refused_when_it_tries(postgres, database_name, admin):
    attempts = 0
    for schema, login in LOGINS.items():
        with psycopg.connect(postgres.url(database_name, schema), autocommit=True) as connection:
            for other, table in tables(admin):
                if other == schema:
                    continue
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(
                        sql.SQL("SELECT 1 FROM {}.{}").format(sql.Identifier(other), sql.Identifier(table))
                    )
                attempts += 1
            for statement in (
                sql.SQL("CREATE TABLE {}.intruder (a int)").format(sql.Identifier(schema)),
                sql.SQL("CREATE TABLE public.intruder (a int)"),
                sql.SQL("CREATE SCHEMA intruder"),
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
            assert connection.execute("SHOW search_path").fetchone()[0] == schema
            assert connection.execute("SHOW statement_timeout").fetchone()[0] == "5s"
        assert login in postgres.passwords
    print(f"{attempts} selects refused")


def test_a_service_cannot_touch_its_own_version_table(admin):
    for schema, table in tables(admin):
        if table == "alembic_version":
            for privilege in PRIVILEGES:
                assert not admin.execute(
                    "SELECT has_table_privilege(%s, %s, %s)", [LOGINS[schema], f'"{schema}".alembic_version', privilege]
                ).fetchone()[0]


def test_a_service_reads_and_writes_every_other_table_of_its_own(admin):
    for schema, table in tables(admin):
        if table == "alembic_version":
            continue
        for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            assert admin.execute(
                "SELECT has_table_privilege(%s, %s, %s)", [LOGINS[schema], f'"{schema}"."{table}"', privilege]
            ).fetchone()[0], (schema, table, privilege)


def test_only_services_may_connect_and_none_may_make_temporary_tables(postgres):
    with psycopg.connect(postgres.url("template"), autocommit=True) as admin:
        rows = admin.execute(
            "SELECT rolname, has_database_privilege(rolname, 'template', 'CONNECT'),"
            " has_database_privilege(rolname, 'template', 'TEMP') FROM pg_roles WHERE NOT rolsuper AND rolcanlogin"
        ).fetchall()
    assert {name for name, _, _ in rows} == set(LOGINS.values())
    assert all(may_connect and not may_temp for _, may_connect, may_temp in rows)


def test_applying_again_changes_nothing(postgres):
    def state():
        with psycopg.connect(postgres.url("template")) as admin:
            return admin.execute("SELECT relname, relacl::text FROM pg_class ORDER BY relname, oid").fetchall()

    before = state()
    migrations.apply(postgres.admin_url, {}, database="template")
    assert state() == before
