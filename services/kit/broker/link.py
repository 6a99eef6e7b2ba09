"""What the publisher and the consumer share: a connection that stays up."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

import pika
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel

from services.kit.broker.topology import Topology, declare

log = logging.getLogger(__name__)

# How long the broker may take to answer that a connection is closed.
FAREWELL_S = 3.0


class Link:
    """One connection with one channel, on a thread of its own, kept up until `close`."""

    def __init__(self, url: str, topology: Topology, name: str):
        self._topology, self._name = topology, name
        self._parameters = pika.URLParameters(url)
        # A connection that went without a word is given up after two; no work runs on this thread that could miss one.
        self._parameters.heartbeat = 10
        self._parameters.socket_timeout = 5
        self._parameters.stack_timeout = 10
        self._parameters.blocked_connection_timeout = 60
        self._parameters.client_properties = {"connection_name": name}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._loop: IOLoop | None = None
        self._channel: Channel | None = None
        self._connection: pika.SelectConnection | None = None
        self._scheduled: set[Callable[[], None]] = set()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.ready = threading.Event()

    def _run(self) -> None:
        pause_s = 0.1
        while not self._closing.is_set():
            loop = IOLoop()
            self._connection = pika.SelectConnection(
                self._parameters,
                on_open_callback=lambda connection: connection.channel(on_open_callback=self._opened),
                on_open_error_callback=lambda _, error: self._lost(error),
                on_close_callback=lambda _, error: self._lost(error),
                custom_ioloop=loop,
            )
            with self._lock:
                self._loop = loop
            loop.call_later(1, self._beat)
            if self._closing.is_set():
                # Asked between the check above and the moment when the loop could be told.
                loop.add_callback(self._hang_up)
            try:
                loop.start()
            except Exception:
                # A bug in a callback must not leave a process that looks alive and is deaf.
                log.exception("%s starts over", self._name)
            with self._lock:
                self._loop = None
                self._scheduled.clear()
            self._channel = None
            self._ended()
            loop.close()
            if self.ready.is_set():
                self.ready.clear()
                pause_s = 0.1
            self._tick()
            self._closing.wait(pause_s * random.uniform(0.5, 1.5))
            pause_s = min(pause_s * 2, 5)

    def _opened(self, channel: Channel) -> None:
        # A channel that the broker closes takes its connection along: one way to recover instead of two.
        channel.add_on_close_callback(lambda channel, error: self._hang_up(error))
        declare(channel, self._topology, lambda: self._declared(channel))

    @property
    def _open(self) -> bool:
        return self._channel is not None and self._channel.is_open

    def _declared(self, channel: Channel) -> None:
        self._channel = channel
        self._begin(channel)
        self.ready.set()
        log.info("%s is connected", self._name)

    def _hang_up(self, error: Exception | None = None) -> None:
        if error is not None and not self._closing.is_set():
            log.warning("%s lost its channel: %s", self._name, error)
        if self._connection is not None and not (self._connection.is_closing or self._connection.is_closed):
            self._connection.close()
            self._loop.call_later(FAREWELL_S, self._abort)

    def _abort(self) -> None:
        # A peer that is deaf hears no farewell either. The socket must go too, or the broker would go on trusting it
        # with messages; pika has no public way.
        log.warning("%s drops a connection that does not close", self._name)
        if self._connection._transport is not None:
            self._connection._transport.abort()

    def _lost(self, error: BaseException) -> None:
        if not self._closing.is_set():
            log.warning("%s has no connection: %r", self._name, error)
        # Without this the loop would go on alone and close() would wait for it for ever.
        self._loop.stop()

    def _beat(self) -> None:
        self._tick()
        if self._loop is not None:
            self._loop.call_later(1, self._beat)

    def _schedule(self, work: Callable[[], None]) -> None:
        """Have the thread do `work`, once however often it is asked before it gets there."""
        with self._lock:
            if self._loop is not None and work not in self._scheduled:
                self._scheduled.add(work)
                self._loop.add_callback_threadsafe(lambda: self._do(work))

    def _do(self, work: Callable[[], None]) -> None:
        with self._lock:
            self._scheduled.discard(work)
        work()

    def _stop(self, timeout_s: float) -> None:
        self._closing.set()
        self._schedule(self._hang_up)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            # The broker does not answer our farewell; the socket ends with the thread.
            with self._lock:
                if self._loop is not None:
                    self._loop.add_callback_threadsafe(self._loop.stop)
            self._thread.join(1)

    def _begin(self, channel: Channel) -> None:
        """The topology is there and the channel ready."""
        raise NotImplementedError

    def _ended(self) -> None:
        """The channel is gone."""

    def _tick(self) -> None:
        """Called about once a second."""
