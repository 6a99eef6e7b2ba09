"""PostgreSQL through SQLAlchemy Core: short reads without a transaction, writes within one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
import sqlalchemy as sa
from sqlalchemy import exc

from services.kit.errors import DeadlineExceeded, Unavailable


class Database:
    """A pool of connections as one login role.

    url: `postgresql://…`, whose role pins its own search_path. pool_size: connections at most; the sum over all
    processes must stay below the server's max_connections.
    """

    def __init__(self, url: str, pool_size: int = 4, connect_timeout_s: int = 3):
        # No pre-ping: a dead connection fails one call and empties the pool, and a ping would cost each call a trip.
        self._engine = sa.create_engine(
            sa.make_url(url).set(drivername="postgresql+psycopg"),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=connect_timeout_s,
            # Errors are logged, and their parameters are what people told us.
            hide_parameters=True,
            connect_args={
                "connect_timeout": connect_timeout_s,
                # A peer that is gone without a word is noticed after about ten seconds.
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
            },
        )
        # The transaction around a single read costs more than the read.
        self._reads = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection without a transaction, for statements that stand alone."""
        with _translated(), self._reads.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction: committed at the end of the block, rolled back when it raises."""
        with _translated(), self._engine.begin() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()


def violated(error: exc.IntegrityError) -> str:
    """The name of the constraint that a statement ran into."""
    return error.orig.diag.constraint_name or ""


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.QueryCanceled):
            raise DeadlineExceeded("the database took too long", reason="DATABASE_SLOW") from error
        if error.connection_invalidated or isinstance(error, exc.OperationalError):
            raise Unavailable("the database cannot be reached", reason="DATABASE_UNAVAILABLE") from error
        raise
    except exc.TimeoutError as error:
        raise Unavailable("all database connections are busy", reason="DATABASE_BUSY") from error
