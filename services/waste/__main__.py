"""The waste process. Usage: python -m services.waste, configured by the environment (see Config)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event

from eco2.pipeline.v1 import messages_pb2
from eco2.waste.v1 import internal_pb2_grpc, waste_pb2_grpc

from services.kit import cache, config, revocations, server, telemetry
from services.kit.broker import Publisher, Relay, Topology
from services.kit.broker.relay import CONFIRM_S
from services.kit.chores import Chore
from services.kit.database import Database
from services.kit.objects import Access
from services.kit.quotas import Most
from services.waste.erasure import SWEEP_S, Eraser
from services.waste.keys import CANCELLED
from services.waste.orphans import SWEEP_S as ORPHANS_S
from services.waste.orphans import Orphans
from services.waste.outbox import OUTBOX
from services.waste.outcomes import WasteInternal
from services.waste.removal import SWEEP_S as REMOVAL_S
from services.waste.removal import Remover
from services.waste.rpc import FIRST_QUEUE, UPLOAD_S, Limits, Waste

# Progress of analyses: Redis database 1.
PROGRESS_DB, PROGRESS_CHANNEL, PROGRESS_TTL_S = 1, "eco2.analysis", 86_400
# Of these the oldest are forgotten first: by then their work has ended, or it ends in vain.
CANCELLED_MOST = 20_000


@dataclass(frozen=True)
class Config(Access):
    listen: str
    api_waste_db_url: str = config.secret()
    rabbitmq_url: str = config.secret()
    redis_url: str = config.secret()
    # After so many seconds without a word from a worker an analysis begins anew, and after as many again it has FAILED.
    # Longer than all tries of a task: 5 of up to 120 s each, and 156 s between them.
    orphan_after_s: float = 1800.0
    # Of one user: photos announced and never analysed, and analyses begun a day, by the calendar of Seoul.
    most_images: Most = Most(100)
    most_analyses: Most = Most(10_000)
    # A photo that is not analysed within so many seconds is removed.
    unused_after_s: float = 86_400.0

    def __post_init__(self):
        if self.unused_after_s < UPLOAD_S:
            raise SystemExit(f"configuration: UNUSED_AFTER_S must be at least the {UPLOAD_S} s that an upload may take")


def now() -> datetime:
    return datetime.now(UTC)


def main() -> None:
    telemetry.setup("waste")
    settings = config.load(Config)
    database, draining = Database(settings.api_waste_db_url, pool_size=8), Event()
    redis = cache.connect(settings.redis_url, PROGRESS_DB)
    board = cache.Board(redis, PROGRESS_CHANNEL, PROGRESS_TTL_S)
    listener = cache.Listener(redis, PROGRESS_CHANNEL)
    ended = revocations.Revocations(cache.connect(settings.redis_url, revocations.DB))
    bucket = settings.bucket()
    topology = Topology.of(messages_pb2.Stage.DESCRIPTOR)
    publisher = Publisher(settings.rabbitmq_url, topology, name="waste-outbox", timeout_s=CONFIRM_S - 1)
    relay = Relay(database, publisher, OUTBOX)
    eraser = Eraser(database, bucket, board, UPLOAD_S, now)
    sweeping = Chore("late-uploads", eraser.sweep, SWEEP_S)
    remover = Remover(database, bucket, UPLOAD_S, settings.unused_after_s, now)
    removing = Chore("removals", remover.sweep, REMOVAL_S)
    internal = WasteInternal(database, board, eraser.erase, now)
    orphans = Orphans(database, bucket, FIRST_QUEUE, settings.orphan_after_s, relay.wake, internal.announce, now)
    finding = Chore("orphans", orphans.sweep, min(ORPHANS_S, settings.orphan_after_s))
    cancelled = cache.Trail(redis, CANCELLED, PROGRESS_TTL_S, CANCELLED_MOST)
    limits = Limits(settings.most_images, settings.unused_after_s, settings.most_analyses)
    waste = Waste(
        database, bucket, board, listener, cancelled, internal.announce, relay.wake, remover, limits, draining, now
    )
    services = [
        (waste_pb2_grpc.add_WasteServiceServicer_to_server, waste),
        (internal_pb2_grpc.add_WasteInternalServiceServicer_to_server, internal),
    ]
    waits = server.Pool(
        frozenset(f"/eco2.waste.v1.WasteService/{name}" for name in ("WaitAnalysis", "WatchAnalysis")),
        limit=200,
        reason="TOO_MANY_WAITERS",
        each=16,
    )
    # It ends when the database is clean, however many objects and rows that takes.
    erasures = server.Pool(
        frozenset({"/eco2.waste.v1.WasteInternalService/EraseUser"}), limit=2, reason="TOO_MANY_ERASURES"
    )
    relay.start()
    sweeping.start()
    removing.start()
    finding.start()
    server.run(
        server.Server(settings.listen, services, pools=[waits, erasures], draining=draining, revocations=ended),
        relay.close,
        sweeping.close,
        removing.close,
        finding.close,
        publisher.close,
        listener.close,
        ended.close,
        bucket.close,
        database.close,
    )


if __name__ == "__main__":
    main()
