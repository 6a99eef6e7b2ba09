"""The data folder: where it is, its secrets and its block of ports."""

import contextlib
import hashlib
import json
import os
import pwd
import random
import re
import secrets
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

# PostgreSQL refuses to run as root; then the package's own account runs it.
POSTGRES_USER = "postgres" if os.geteuid() == 0 else None

# RabbitMQ and Envoy stumble over any other character in the path of their files.
PLAIN_PATH = re.compile(r"[A-Za-z0-9 ._@+=:~/-]+")

# What people and commands look for in `.eco2`, wherever the data folder is.
LINKED = ("journal", "log", "secrets")

# Below the ephemeral range (32768 and up), so that no outgoing connection takes a port of ours by chance.
FIRST_PORT, BLOCK, BLOCKS = 21000, 40, 150


class HomeError(Exception):
    """The data folder cannot be used; the text says why and what to do."""


class Home:
    """A data folder that exists, is ours, and is reachable by the user that runs PostgreSQL."""

    def __init__(self, path: Path) -> None:
        """Creates the folder. Fails with HomeError when it is not ours or the servers cannot use it."""
        self.path = path.absolute()
        if not PLAIN_PATH.fullmatch(str(self.path)):
            raise HomeError(f"RabbitMQ needs a path of plain letters, not {self.path}; set ECO2_HOME to another folder")
        if not self.path.is_dir():
            self.path.mkdir(mode=0o711, parents=True)
        if self.path.stat().st_uid != os.geteuid():
            raise HomeError(f"{self.path} belongs to another user; set ECO2_HOME to a folder of your own")
        self.path.chmod(0o711)
        if not reachable(self.path):
            raise HomeError(f"the user {POSTGRES_USER} cannot reach {self.path}; set ECO2_HOME to another folder")
        (self.path / "secrets").mkdir(mode=0o700, exist_ok=True)
        (self.path / "log").mkdir(mode=0o700, exist_ok=True)

    def folder(self, name: str) -> Path:
        folder = self.path / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def write(self, name: str, content: str) -> Path:
        """Replaces a file atomically; only its owner can read it."""
        target = self.path / name
        handle, temporary = tempfile.mkstemp(dir=target.parent)
        with os.fdopen(handle, "w") as file:
            file.write(content)
        Path(temporary).replace(target)
        return target

    def secret_file(self, name: str, content: str) -> Path:
        return self.write(f"secrets/{name}", content)

    def secret(self, name: str) -> str:
        """The secret of this name, made at the first call. Its letters need no quoting in a URL or a configuration."""
        file = self.path / "secrets" / name
        if not file.exists():
            self.secret_file(name, secrets.token_hex(24))
        return file.read_text()

    def login_passwords(self, roles: list[str]) -> dict[str, str]:
        return {role: self.secret(f"password-{role}") for role in roles}


def reachable(folder: Path) -> bool:
    """Whether PostgreSQL's user may search the folder and all its parents."""
    if POSTGRES_USER is None:
        return os.access(folder, os.X_OK)
    try:
        group = pwd.getpwnam(POSTGRES_USER).pw_gid
    except KeyError:
        raise HomeError(f"the user {POSTGRES_USER} does not exist; run `make setup`") from None
    identity = [f"--reuid={POSTGRES_USER}", f"--regid={group}", "--clear-groups"]
    return subprocess.run(["setpriv", *identity, "test", "-x", str(folder)], check=False).returncode == 0


def default_path(checkout: Path = CHECKOUT) -> Path:
    """`.eco2` in the checkout, or a folder of ours in /var/tmp when the servers cannot use one in the checkout; then
    `.eco2/log` and its like lead there."""
    if PLAIN_PATH.fullmatch(str(checkout)) and reachable(checkout):
        _link(checkout / ".eco2", checkout / ".eco2")
        return checkout / ".eco2"
    digest = hashlib.sha256(str(checkout).encode()).hexdigest()[:12]
    path = Path("/var/tmp") / f"eco2-{digest}"
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o711)
    found = path.lstat()
    # Anyone may have put something under this name: /var/tmp is open to all.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise HomeError(f"{path} is not a folder that only you can write; set ECO2_HOME to another folder")
    _link(checkout / ".eco2", path)
    return path


def _link(own: Path, path: Path) -> None:
    """Without effect on folders that are there. A link of a checkout that was elsewhere before is replaced."""
    for name in LINKED:
        link = own / name
        if link.is_symlink() and (path == own or link.readlink() != path / name):
            link.unlink(missing_ok=True)
        if path != own:
            own.mkdir(exist_ok=True)
            with contextlib.suppress(FileExistsError):
                link.symlink_to(path / name)


class Ports:
    """A contiguous block of free loopback ports, kept for this process until `release`."""

    # The order is part of no contract: every configuration is rendered at start.
    NAMES = (
        "guard",
        "postgres",
        "epmd",
        "rabbitmq",
        "rabbitmq_management",
        "rabbitmq_prometheus",
        "rabbitmq_dist",
        "redis",
        "s3",
        "s3_grpc",
        "s3_master",
        "s3_master_grpc",
        "s3_volume",
        "s3_volume_grpc",
        "s3_filer",
        "s3_filer_grpc",
        "edge",
        "envoy_admin",
        "auth",
        "locations",
        "users",
        "waste",
        "recycle_info",
        "chat_llm",
        "tasks",
        "gateway",
        "gateway_http",
        "worker_storage",
        "worker_ai",
    )

    def __init__(self, base: int, guard: socket.socket, edge: int | None = None) -> None:
        self._numbers = {name: base + number for number, name in enumerate(self.NAMES)}
        if edge is not None:
            self._numbers["edge"] = edge
        self._guard = guard

    def __getitem__(self, name: str) -> int:
        return self._numbers[name]

    def release(self) -> None:
        self._guard.close()


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    try:
        # As servers do: an old connection in TIME_WAIT does not make the port busy, a listener does.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        bound.listen(1)
    except OSError:
        bound.close()
        raise
    return bound


def is_free(port: int) -> bool:
    try:
        _bound(port).close()
    except OSError:
        return False
    return True


def _candidates(home: Home, anywhere: bool) -> Iterator[int]:
    remembered = home.path / "ports.json"
    if remembered.exists():
        yield json.loads(remembered.read_text())["guard"]
    bases = [FIRST_PORT + BLOCK * number for number in range(BLOCKS)]
    yield from random.sample(bases, BLOCKS) if anywhere else bases


def claim_ports(home: Home, *, edge: int | None = None, anywhere: bool = False) -> Ports:
    """Claims the block used last time if it is free, else another one, and remembers it. The edge's port may lie
    elsewhere. Fails with HomeError when that one, or every block, is busy.

    `anywhere` tries blocks in a random order, for many stacks that start at once. The guard port stays bound, so two
    stacks never hold the same block, even while neither has started a server yet.
    """
    if edge is not None and not is_free(edge):
        raise HomeError(f"port {edge} is in use by something else; choose another: `make up ECO2_PORT=…`")
    for base in _candidates(home, anywhere):
        try:
            guard = _bound(base)
        except OSError:
            continue
        if all(is_free(base + number) for number in range(1, len(Ports.NAMES))):
            ports = Ports(base, guard, edge)
            home.write("ports.json", json.dumps({name: ports[name] for name in Ports.NAMES}, indent=1))
            return ports
        guard.close()
    raise HomeError(f"no free block of ports between {FIRST_PORT} and {FIRST_PORT + BLOCK * BLOCKS - 1}")
