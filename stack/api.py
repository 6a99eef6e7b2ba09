"""The stack as a Python object, for tests and benches: the same parts and the same supervisor as `make up`."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from stack import mesh
from stack import parts as parts_of
from stack.home import Home, Ports, claim_ports
from stack.parts import S3, Part
from stack.supervisor import START_LIMIT_S, Supervisor, end_leftovers


class Infrastructure:
    """Running servers, their addresses, and a hand on each of them.

    `stop(name)` stops one and leaves it stopped, `start(name)` starts it again, `kill(name)` is kill -9 (the supervisor
    starts the part again, with backoff), `signal(name, number)` any other signal, `wait_ready(*names)` waits.
    """

    def __init__(self, home: Home, supervisor: Supervisor, ports: Ports) -> None:
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


class Mesh(Infrastructure):
    """The whole stack, with Envoy in front."""

    @property
    def edge_url(self) -> str:
        """REST and web pages, without a slash at the end."""
        return f"http://{self.edge_target}"

    @property
    def edge_target(self) -> str:
        """host:port for gRPC, in plain text."""
        return f"127.0.0.1:{self.ports['edge']}"

    def target(self, name: str) -> str:
        """host:port of a part's own gRPC server, behind Envoy."""
        return f"127.0.0.1:{self.ports[name]}"


@contextlib.contextmanager
def infrastructure(
    home: Path | None = None, parts: Sequence[str] = parts_of.INFRASTRUCTURE, timeout: float = 90.0
) -> Iterator[Infrastructure]:
    """Starts these servers on free ports, yields when all are ready, stops them at the end.

    Fails with StartError, whose text has the last lines of the part that could not start.
    """
    with _running(home, lambda folder, ports: parts_of.infrastructure(folder, ports, tuple(parts)), timeout) as running:
        yield Infrastructure(*running)


@contextlib.contextmanager
def whole(home: Path | None = None, only: Sequence[str] = (), timeout: float = START_LIMIT_S) -> Iterator[Mesh]:
    """As `infrastructure`, with all parts; or with those named in `only` and what they need."""
    with _running(home, lambda *where: mesh.chosen(mesh.everything(*where), only), timeout) as running:
        yield Mesh(*running)


@contextlib.contextmanager
def _running(
    path: Path | None, make: Callable[[Home, Ports], list[Part]], timeout: float
) -> Iterator[tuple[Home, Supervisor, Ports]]:
    with contextlib.ExitStack() as resources:
        home = resources.enter_context(data_folder(path))
        end_leftovers(home)
        ports = claim_ports(home, anywhere=True)
        resources.callback(ports.release)
        supervisor = Supervisor(home, make(home, ports))
        resources.callback(supervisor.shutdown)
        supervisor.start_all()
        supervisor.wait_ready(timeout=timeout)
        yield home, supervisor, ports
