"""A TCP proxy before a peer, through which the network fails on command."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

UP, DOWN, SLOW, RESET, BLACK_HOLE = MODES = ("up", "down", "slow", "reset", "black_hole")
FAULTS = MODES[1:]
_SLOW_S = 0.05


def grpc_response(data: bytes) -> bool:
    """Whether these bytes of an HTTP/2 server begin an answer: there is a HEADERS frame among them."""
    position = 0
    while position + 9 <= len(data):
        if data[position + 3] == 1:
            return True
        position += 9 + int.from_bytes(data[position : position + 3], "big")
    return False


def postgres_commit(data: bytes) -> bool:
    """Whether PostgreSQL says here that a transaction has committed."""
    return b"COMMIT\0" in data


def amqp_ack(data: bytes) -> bool:
    """Whether RabbitMQ confirms a message here: method 80 of class 60."""
    return b"\0\x3c\0\x50" in data


def amqp_heartbeats(data: bytes) -> bytes:
    """Of whole frames from RabbitMQ the heartbeats. A frame: type, channel, size; payload; end."""
    kept, position = b"", 0
    while position + 7 <= len(data):
        end = position + 8 + int.from_bytes(data[position + 3 : position + 7], "big")
        if data[position] == 8:
            kept += data[position:end]
        position = end
    return kept


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes on to host:port.

    up: passes everything. down: refuses connections and closes those there are. slow: holds each piece for a while.
    reset: accepts, and breaks off with RST. black_hole: accepts, and nothing arrives on either side until it is up
    again. `met` counts how often a fault was in somebody's way.
    """

    def __init__(self, host: str, port: int):
        self._upstream, self._mode, self.met, self.cuts = (host, port), UP, 0, 0
        self._cut: Callable[[bytes], bool] | None = None
        self._changed = threading.Condition()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._sieves: dict[socket.socket, Callable[[bytes], bytes]] = {}
        self._closed = False
        self._listener = self._listen(0)
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    @staticmethod
    def _listen(port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        # So that the accepting thread sees that it is to stop.
        listener.settimeout(0.05)
        return listener

    def set(self, mode: str) -> None:
        with self._changed:
            self._mode = mode
            self.met = 0
            self._changed.notify_all()
        if mode in (DOWN, RESET):
            self._end_all(reset=mode == RESET)

    def forget_connections(self) -> None:
        """Swallow for ever what is sent on those there are, and tell nobody; new ones are fine."""
        self._sieves.update((end, lambda data: b"") for pair in self._pairs for end in pair)

    def deafen(self, hear: Callable[[bytes], bytes]) -> None:
        """Let those there are hear only what `hear` leaves of the peer's words, for ever; new ones hear all."""
        self._sieves.update((server, hear) for _, server in self._pairs)

    def cut_response(self, when: Callable[[bytes], bool]) -> None:
        """Break the next connection on which the peer answers like that, in place of the answer."""
        self._cut = when

    def close(self) -> None:
        self._closed = True
        self.set(DOWN)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _begin(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed:
            if self._mode == DOWN and self._listener.fileno() >= 0:
                self._listener.close()
            if self._mode == DOWN:
                with self._changed:
                    self._changed.wait(0.05)
                continue
            if self._listener.fileno() < 0:
                self._listener = self._listen(self.port)
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            client.settimeout(None)
            if self._mode == RESET:
                self._met()
                _end(client, reset=True)
            else:
                self._begin(self._connect, client)

    def _connect(self, client: socket.socket) -> None:
        self._wait_while_black()
        try:
            server = socket.create_connection(self._upstream, timeout=5)
        except OSError:
            _end(client, reset=True)
            return
        server.settimeout(None)
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs.append((client, server))
        self._begin(self._pump, client, server, False)
        self._begin(self._pump, server, client, True)

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._wait_while_black()
                data = self._sieves.get(source, bytes)(data)
                if not data:
                    continue
                if self._mode == SLOW:
                    self._met()
                    with self._changed:
                        self._changed.wait_for(lambda: self._mode != SLOW, _SLOW_S)
                if answers and self._cut and self._cut(data):
                    self._cut = None
                    self.cuts += 1
                    _end(sink, reset=True)
                    break
                sink.sendall(data)
        _end(source)
        _end(sink)

    def _wait_while_black(self) -> None:
        if self._mode == BLACK_HOLE:
            self._met()
        with self._changed:
            self._changed.wait_for(lambda: self._mode != BLACK_HOLE)

    def _met(self) -> None:
        self.met += 1

    def _end_all(self, reset: bool) -> None:
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            self._met()
            for each in pair:
                _end(each, reset)


def _end(end: socket.socket, reset: bool = False) -> None:
    with contextlib.suppress(OSError):
        if reset:
            # Closing without lingering is an RST.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            end.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        # A thread that waits in recv wakes only from a shutdown.
        end.shutdown(socket.SHUT_RD)
    end.close()
