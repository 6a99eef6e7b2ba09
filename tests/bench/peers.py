"""The same task for the peers: it does nothing; acknowledged late, its result in PostgreSQL, messages persistent.

Run by their own commands: `celery -A tests.bench.peers …`, `dramatiq tests.bench.peers`. Addresses come from the
environment, as theirs do. Dramatiq has no result store in PostgreSQL, so its task writes its row itself, as its users
do.
"""

from __future__ import annotations

import os

import celery
import dramatiq
import psycopg_pool
from dramatiq.brokers.rabbitmq import RabbitmqBroker

BROKER, DATABASE = os.environ["BENCH_BROKER_URL"], os.environ["BENCH_DATABASE_URL"]

app = celery.Celery("bench", broker=BROKER, backend=f"db+{DATABASE.replace('postgresql', 'postgresql+psycopg')}")
app.conf.update(
    task_acks_late=True,
    # Times the number of processes or threads; 50 in all.
    worker_prefetch_multiplier=25,
    task_default_queue="bench_celery",
    task_default_delivery_mode="persistent",
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


@app.task(name="nothing")
def nothing(number: int) -> int:
    return number


broker = RabbitmqBroker(url=BROKER)
dramatiq.set_broker(broker)
_pool: list[psycopg_pool.ConnectionPool] = []


def pool() -> psycopg_pool.ConnectionPool:
    """One a process, made after the fork."""
    if not _pool:
        _pool.append(
            psycopg_pool.ConnectionPool(DATABASE, min_size=1, max_size=8, kwargs={"autocommit": True}, open=True)
        )
    return _pool[0]


@dramatiq.actor(queue_name="bench_dramatiq", max_retries=3)
def nothing_dramatiq(number: int) -> None:
    with pool().connection() as connection:
        connection.execute(
            "INSERT INTO bench_dramatiq (number, done) VALUES (%s, clock_timestamp()) ON CONFLICT DO NOTHING", [number]
        )
