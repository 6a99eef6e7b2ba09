"""Bring the database `ecoeco` up to date: create it, set its roles, upgrade every schema to its head.

Usage: python -m migrations        Environment: POSTGRES_ADMIN_URL (a superuser, any database of the server),
DB_PASSWORDS_FILE (JSON, login role → password). Safe to repeat, and to run while services are up.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config as Alembic
from psycopg import sql

from services.kit import config, telemetry

HERE = Path(__file__).parent
DATABASE = "ecoeco"
# Two runs at once (two replicas of a job) take turns.
TURN = 4_032_026

log = logging.getLogger("migrations")


@dataclasses.dataclass(frozen=True)
class Config:
    postgres_admin_url: str = config.secret()
    db_passwords: str = config.secret()


def schemas() -> list[str]:
    """The schemas that have a lineage."""
    return sorted(path.name for path in HERE.iterdir() if path.is_dir() and any(path.glob("[0-9]*.py")))


def apply(admin_url: str, passwords: dict[str, str], database: str = DATABASE) -> None:
    """Create and upgrade `database`. passwords: login role → password; roles not named keep theirs."""
    with psycopg.connect(admin_url, autocommit=True) as admin:
        if not admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    url = sa.make_url(admin_url).set(drivername="postgresql+psycopg", database=database)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:turn)"), {"turn": TURN})
        roles = (HERE / "roles.sql").read_text().replace("DATABASE ecoeco", f'DATABASE "{database}"')
        driver = connection.connection.driver_connection
        driver.execute(roles)
        for role, password in passwords.items():
            driver.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))
        connection.commit()
        for schema in schemas():
            upgrade(connection, schema)


def upgrade(connection: sa.Connection, schema: str, revision: str = "head") -> None:
    """Upgrade one schema, acting as its owner."""
    settings = Alembic()
    settings.set_main_option("script_location", str(HERE))
    settings.set_main_option("version_locations", str(HERE / schema))
    settings.set_main_option("path_separator", "os")
    settings.attributes.update(connection=connection, schema=schema)
    command.upgrade(settings, revision)
    log.info("up to date", extra={"fields": {"schema": schema}})


if __name__ == "__main__":
    telemetry.setup("migrations")
    settings = config.load(Config)
    apply(settings.postgres_admin_url, json.loads(settings.db_passwords))
