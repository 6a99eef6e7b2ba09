"""A TCP proxy for AMQP that can make a connection deaf: it lives on by its heartbeats and hears nothing else."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

HEARTBEAT, HEADER_BYTES = 8, 7


class DeafProxy:
    """Forwards to the broker at `host`:`port`; its own `port` is a free one."""

    def __init__(self, host: str, port: int):
        self._broker = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._deaf: list[threading.Event] = []
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def deafen(self) -> None:
        """From now on the present connections hear nothing but heartbeats; new ones hear all."""
        for each in self._deaf:
            each.set()

    def close(self) -> None:
        for each in self._sockets:
            # Perhaps nobody is connected any more.
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            broker, deaf = socket.create_connection(self._broker), threading.Event()
            self._deaf.append(deaf)
            self._sockets += [client, broker]
            threading.Thread(target=self._say, args=(client, broker), daemon=True).start()
            threading.Thread(target=self._hear, args=(broker, client, deaf), daemon=True).start()

    def _say(self, client: socket.socket, broker: socket.socket) -> None:
        try:
            while data := client.recv(65536):
                broker.sendall(data)
            broker.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _hear(self, broker: socket.socket, client: socket.socket, deaf: threading.Event) -> None:
        """Frame by frame: type, channel, size; payload; end."""
        try:
            with broker.makefile("rb") as stream:
                while len(header := stream.read(HEADER_BYTES)) == HEADER_BYTES:
                    kind, _, size = struct.unpack(">BHI", header)
                    rest = stream.read(size + 1)
                    if kind == HEARTBEAT or not deaf.is_set():
                        client.sendall(header + rest)
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
