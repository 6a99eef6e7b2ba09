"""A worker as a process of its own."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable

from services.kit import server
from workers.runtime import Worker

log = logging.getLogger(__name__)

# After how many seconds a thread that computes gives way to one that waits to go on. A task passes through seven
# threads; with Python's own 5 ms half of the tasks under load took a quarter longer, at no higher throughput.
SWITCH_S = 0.0005


def serve(worker: Worker, listen: str, *closing: Callable[[], None]) -> None:
    """Work until SIGTERM or SIGINT, drain, then call each of `closing` in order. For the main thread.

    SIGUSR1 pauses: takes nothing new and finishes what is here. SIGUSR2 resumes. gRPC health at `listen` says SERVING
    while work arrives.
    """
    sys.setswitchinterval(SWITCH_S)
    acts = {signal.SIGUSR1: worker.consumer.pause, signal.SIGUSR2: worker.consumer.resume}

    def heed(number, frame) -> None:
        log.warning("an operator asks to %s", acts[number].__name__)
        # On a thread, since the interrupted one may hold a lock that this needs.
        threading.Thread(target=acts[number], args=("operator",), name="operator").start()

    for number in acts:
        signal.signal(number, heed)
    worker.start()
    health = server.Server(listen, [], healthy=lambda: worker.consumer.listening)
    server.run(health, worker.close, *closing, probe_interval_s=0)
