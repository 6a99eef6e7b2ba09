"""What each part of the mesh is: how to start it, what it needs, when it is ready."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stack import probes
from stack.home import CHECKOUT, POSTGRES_USER, Home, HomeError, Ports

POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")
INFRASTRUCTURE = ("postgres", "rabbitmq", "redis", "s3")

# Numerical libraries would start a thread a core in each process, on top of ours.
BASE_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Part:
    """One process. `prepare` runs before each start and `tidy` after each end; `ready` raises until the part serves;
    a one-shot part is ready when it has exited with 0."""

    name: str
    argv: tuple[str, ...]
    ready: probes.Probe | None = None
    needs: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = CHECKOUT
    port: int | None = None
    user: str | None = None
    prepare: Callable[[], None] | None = None
    tidy: Callable[[], None] | None = None
    one_shot: bool = False
    start_timeout: float = 60.0
    stop_signal: int = signal.SIGTERM
    stop_grace: float = 10.0


def installed(name: str, *places: Path) -> str:
    """The path of a server's program. Fails with HomeError when it is not installed."""
    for place in places:
        if (place / name).exists():
            return str(place / name)
    found = shutil.which(name)
    if not found:
        raise HomeError(f"{name} is not installed; run `make setup`")
    return found


def postgres(home: Home, ports: Ports) -> list[Part]:
    """The superuser is `postgres`; only its password is made here, roles are the migrations' work."""
    folder = home.folder("postgres")
    env = BASE_ENV | {"HOME": str(folder), "LC_ALL": "C.UTF-8"}
    initdb, server = installed("initdb", POSTGRES_BIN), installed("postgres", POSTGRES_BIN)

    def prepare() -> None:
        if POSTGRES_USER:
            shutil.chown(folder, POSTGRES_USER, POSTGRES_USER)
        if (folder / "data" / "PG_VERSION").exists():
            return
        # A cluster half made by a run that was interrupted cannot be told from a good one, so it gets its name last.
        shutil.rmtree(folder / "new", ignore_errors=True)
        password = home.write("postgres/password", home.secret("postgres"))
        if POSTGRES_USER:
            shutil.chown(password, POSTGRES_USER, POSTGRES_USER)
        options = ["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"]
        made = subprocess.run(
            [initdb, "-D", str(folder / "new"), f"--pwfile={password}", *options],
            user=POSTGRES_USER,
            group=POSTGRES_USER,
            extra_groups=[] if POSTGRES_USER else None,
            cwd="/",
            env=env,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
        )
        password.unlink()
        if made.returncode:
            raise HomeError(f"initdb failed:\n{made.stdout}")
        (folder / "new").rename(folder / "data")

    settings = {
        "listen_addresses": "127.0.0.1",
        "port": ports["postgres"],
        # The path of a socket may have 107 bytes and the folder's may be longer; all of us connect over TCP.
        "unix_socket_directories": "",
        "max_connections": 200,
    }
    return [
        Part(
            name="postgres",
            argv=(
                server,
                *("-D", str(folder / "data")),
                *(word for key, value in settings.items() for word in ("-c", f"{key}={value}")),
            ),
            ready=probes.postgres(postgres_admin_url(home, ports)),
            env=env,
            cwd=Path("/"),
            port=ports["postgres"],
            user=POSTGRES_USER,
            prepare=prepare,
            # SIGTERM would wait for every client to leave; SIGINT ends their sessions and stops cleanly.
            stop_signal=signal.SIGINT,
        )
    ]


def postgres_admin_url(home: Home, ports: Ports, database: str = "postgres") -> str:
    return f"postgresql://postgres:{home.secret('postgres')}@127.0.0.1:{ports['postgres']}/{database}"


def rabbitmq(home: Home, ports: Ports) -> list[Part]:
    folder = home.folder("rabbitmq")
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    if not found:
        raise HomeError("rabbitmq-server is not installed; run `make setup`")
    loopback = "127.0.0.1"
    config = {
        "listeners.tcp.1": f"{loopback}:{ports['rabbitmq']}",
        "management.tcp.ip": loopback,
        "management.tcp.port": ports["rabbitmq_management"],
        "prometheus.tcp.ip": loopback,
        "prometheus.tcp.port": ports["rabbitmq_prometheus"],
        "default_user": "eco2",
        "default_pass": home.secret("rabbitmq"),
        "default_vhost": "eco2",
        "vm_memory_high_watermark.absolute": "512MB",
        "disk_free_limit.absolute": "50MB",
        "log.console": "true",
        "log.console.use_colors": "off",
        "log.file": "false",
    }
    home.write("rabbitmq/rabbitmq.conf", "".join(f"{key} = {value}\n" for key, value in config.items()))
    home.write("rabbitmq/enabled_plugins", "[rabbitmq_management,rabbitmq_prometheus].\n")
    env = BASE_ENV | {
        "PATH": "/usr/local/sbin:/usr/sbin:/sbin:" + BASE_ENV["PATH"],
        "HOME": str(home.folder("rabbitmq/home")),
        "RABBITMQ_NODENAME": "eco2@localhost",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_MNESIA_BASE": str(home.folder("rabbitmq/mnesia")),
        "RABBITMQ_LOG_BASE": str(home.folder("rabbitmq/log")),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_DIST_PORT": str(ports["rabbitmq_dist"]),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
        ),
        # The script then becomes the node instead of waiting beside it: one process, whose pid is the part's.
        "RUNNING_UNDER_SYSTEMD": "true",
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "ERL_EPMD_ADDRESS": loopback,
    }
    health = f"http://{loopback}:{ports['rabbitmq_management']}/api/health/checks/port-listener/{ports['rabbitmq']}"
    return [
        # Left to itself the node would start an epmd that outlives it.
        Part(
            name="epmd",
            argv=(installed("epmd"), "-port", str(ports["epmd"]), "-address", loopback),
            ready=probes.tcp(ports["epmd"]),
            env=BASE_ENV | {"HOME": env["HOME"]},
            port=ports["epmd"],
        ),
        Part(
            name="rabbitmq",
            argv=(str(found[-1]),),
            ready=probes.http(health, "eco2", home.secret("rabbitmq")),
            needs=("epmd",),
            env=env,
            cwd=folder,
            port=ports["rabbitmq"],
            stop_grace=20.0,
        ),
    ]


def rabbitmq_url(home: Home, ports: Ports) -> str:
    return f"amqp://eco2:{home.secret('rabbitmq')}@127.0.0.1:{ports['rabbitmq']}/eco2"


def redis(home: Home, ports: Ports) -> list[Part]:
    folder = home.folder("redis")
    config = {
        "bind": "127.0.0.1",
        "port": ports["redis"],
        "requirepass": home.secret("redis"),
        # Where the server is started: a path in this file would need quoting.
        "dir": ".",
        "appendonly": "yes",
        "save": '""',
        "maxmemory-policy": "noeviction",
    }
    file = home.write("redis/redis.conf", "".join(f"{key} {value}\n" for key, value in config.items()))
    return [
        Part(
            name="redis",
            argv=(installed("redis-server"), str(file)),
            ready=probes.redis(redis_url(home, ports)),
            env=BASE_ENV,
            cwd=folder,
            port=ports["redis"],
        )
    ]


def redis_url(home: Home, ports: Ports) -> str:
    """Without a database number: the process that connects appends its own."""
    return f"redis://:{home.secret('redis')}@127.0.0.1:{ports['redis']}"


@dataclass(frozen=True)
class S3:
    endpoint_url: str
    bucket: str
    region: str
    access_key_id: str
    secret_access_key: str


def s3_access(home: Home, ports: Ports) -> S3:
    return S3(f"http://127.0.0.1:{ports['s3']}", "eco2", "us-east-1", "eco2", home.secret("s3"))


def s3(home: Home, ports: Ports) -> list[Part]:
    access = s3_access(home, ports)
    folder = home.folder("s3")
    identity = {
        "name": "eco2",
        "credentials": [{"accessKey": access.access_key_id, "secretKey": access.secret_access_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = home.write("s3.json", json.dumps({"identities": [identity]}))

    def prepare() -> None:
        # The master's election log: with an old one it waits 17 s for peers. Volumes announce themselves anyway.
        for old in folder.glob("m[0-9]*"):
            shutil.rmtree(old)

    def tidy() -> None:
        # It opens these beside its ports, no flag says where, and removes none.
        for port in [ports[name] for name in Ports.NAMES if name.startswith("s3")]:
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink()

    flags = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.port": ports["s3_master"],
        "master.port.grpc": ports["s3_master_grpc"],
        "master.volumeSizeLimitMB": 128,
        "master.telemetry": "false",
        "volume.port": ports["s3_volume"],
        "volume.port.grpc": ports["s3_volume_grpc"],
        "volume.max": 200,
        "volume.preStopSeconds": 0,
        "filer": "true",
        "filer.port": ports["s3_filer"],
        "filer.port.grpc": ports["s3_filer_grpc"],
        "s3": "true",
        "s3.port": ports["s3"],
        "s3.port.grpc": ports["s3_grpc"],
        "s3.config": config,
        # 0 keeps them shut; else they open 8181 and 9101 for all comers.
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
    }
    return [
        Part(
            name="s3",
            argv=(
                installed("weed", Path(sys.prefix) / "bin"),
                "-logtostderr=true",
                "server",
                *(f"-{key}={value}" for key, value in flags.items()),
            ),
            ready=probes.s3(**vars(access)),
            env=BASE_ENV | {"HOME": str(folder)},
            cwd=folder,
            port=ports["s3"],
            prepare=prepare,
            tidy=tidy,
            # SIGTERM waits 15 s for a subscription of its own that never ends. What it has acknowledged is with the
            # kernel by then, as after a crash: tests/stack kills it under load and reads every object again.
            stop_signal=signal.SIGKILL,
        )
    ]


def infrastructure(home: Home, ports: Ports, names: tuple[str, ...] = INFRASTRUCTURE) -> list[Part]:
    makers = {"postgres": postgres, "rabbitmq": rabbitmq, "redis": redis, "s3": s3}
    return [part for name in names for part in makers[name](home, ports)]
