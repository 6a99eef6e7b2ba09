"""The stack as a Python object, for tests and benches: the same parts and the same supervisor as `make up`."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from stack import parts as parts_of
from stack.home import Home, claim_ports
from stack.parts import S3
from stack.supervisor import Supervisor


class Infrastructure:
    """Running servers, their addresses, and a hand on each of them.

    `stop(name)` stops one and leaves it stopped, `start(name)` starts it again, `kill(name)` is kill -9 (the supervisor
    starts the part again, with backoff), `signal(name, number)` any other signal, `wait_ready(*names)` waits.
    """

    def __init__(self, home: Home, supervisor: Supervisor, ports: parts_of.Ports) -> None:
        self.home = home
        self.ports = ports
        self.supervisor = supervisor
        self.start, self.stop, self.kill, self.signal = (
            supervisor.start,
            supervisor.stop,
            supervisor.kill,
            supervisor.signal,
        )
        self.wait_ready, self.status, self.pid = supervisor.wait_ready, supervisor.status, supervisor.pid

    @property
    def postgres_admin_url(self) -> str:
        """Superuser, database `postgres`."""
        return parts_of.postgres_admin_url(self.home, self.ports)

    @property
    def rabbitmq_url(self) -> str:
        return parts_of.rabbitmq_url(self.home, self.ports)

    @property
    def rabbitmq_management_url(self) -> str:
        """With user and password, as the AMQP URL's."""
        password = self.home.secret("rabbitmq")
        return f"http://eco2:{password}@127.0.0.1:{self.ports['rabbitmq_management']}"

    @property
    def redis_url(self) -> str:
        """Without a database number."""
        return parts_of.redis_url(self.home, self.ports)

    @property
    def s3(self) -> S3:
        """endpoint_url, bucket (exists), region, access_key_id, secret_access_key."""
        return parts_of.s3_access(self.home, self.ports)


@contextlib.contextmanager
def data_folder(path: Path | None) -> Iterator[Home]:
    """The data folder at `path`, or a new one that is deleted at the end.

    pytest's tmp_path does not do: its parents are closed to the user that runs PostgreSQL.
    """
    if path is not None:
        yield Home(path)
        return
    temporary = Path(tempfile.mkdtemp(prefix="eco2-"))
    try:
        yield Home(temporary)
    finally:
        shutil.rmtree(temporary)


@contextlib.contextmanager
def infrastructure(
    home: Path | None = None, parts: Sequence[str] = parts_of.INFRASTRUCTURE, timeout: float = 90.0
) -> Iterator[Infrastructure]:
    """Starts these servers on free ports, yields when all are ready, stops them at the end.

    Fails with StartError, whose text has the last lines of the part that could not start.
    """
    with data_folder(home) as folder:
        ports = claim_ports(folder, anywhere=True)
        supervisor = Supervisor(folder, parts_of.infrastructure(folder, ports, tuple(parts)))
        try:
            supervisor.start_all()
            supervisor.wait_ready(timeout=timeout)
            yield Infrastructure(folder, supervisor, ports)
        finally:
            supervisor.shutdown()
            ports.release()
