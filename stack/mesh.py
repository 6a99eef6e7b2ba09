"""The parts that are ours: migrations, services, workers, the gateway, and Envoy in front of them."""

import contextlib
import json
import os
import re
import socket
import string
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from stack import parts, probes
from stack.home import CHECKOUT, FIRST_PORT, Home, HomeError, Ports
from stack.parts import BASE_ENV, Part

DATABASE = "ecoeco"
JWT_ISSUER, JWT_AUDIENCE = "https://eco2.local", "eco2-api"
BACKBONE = CHECKOUT / ".eco2/models/vision.onnx"

# Schema → login role, as in SPEC.md.
ROLES = {
    "auth": "api_auth_role",
    "users": "api_users_role",
    "locations": "api_locations_role",
    "waste": "api_waste_role",
    "recycle_info": "api_recycle_role",
    "chat_llm": "api_chat_role",
    "tasks": "worker_role",
}

# Service → the variable that holds its database's URL. A service that is listed here runs.
SERVICES = {
    "auth": "API_AUTH_DB_URL",
    "locations": "API_LOCATIONS_DB_URL",
    "users": "API_USERS_DB_URL",
    "waste": "API_WASTE_DB_URL",
    "recycle_info": "API_RECYCLE_DB_URL",
    "chat_llm": "API_CHAT_DB_URL",
    "tasks": "WORKER_DB_URL",
}
# Those that keep something of a user, in the order in which they erase one; users itself comes last.
ERASING = ("auth", "locations", "recycle_info", "waste", "chat_llm", "tasks")
WORKERS = ("storage", "ai")

# What a person may set for all parts, and for those that use models; nothing else of the caller's environment reaches
# a part.
PASSED_ON = ("LOG_LEVEL",)
MODEL_SETTINGS = (
    *("MODEL_PROVIDER", "OPENAI_API_KEY_FILE", "OPENAI_BASE_URL", "OPENAI_MODEL", "OPENAI_REASONING_EFFORT"),
    *("OPENAI_USER_TOKENS", "OPENAI_ALL_TOKENS"),
)


# And for log-ins: the relay for mails, the providers to sign in with, how often one may try.
PASSED_ON_TO_AUTH = (
    *("SMTP_HOST", "SMTP_PORT", "SMTP_SECURITY", "SMTP_USERNAME", "SMTP_PASSWORD", "MAIL_FROM", "PASSWORD_RESET_PAGE"),
    *("OAUTH_PROVIDERS", "OAUTH_REDIRECT_URIS", "LOGIN_ACCOUNT_LIMIT", "LOGIN_ADDRESS_LIMIT", "RESET_ACCOUNT_LIMIT"),
    *("RESET_ADDRESS_LIMIT", "SIGN_IN_ADDRESS_LIMIT", "REGISTER_ADDRESS_LIMIT"),
)


def everything(home: Home, ports: Ports) -> list[Part]:
    """All parts of the mesh, in the order in which a person thinks of them."""
    return [
        *parts.infrastructure(home, ports),
        descriptors(home),
        migrations(home, ports),
        *(service(home, ports, name) for name in SERVICES),
        *(worker(home, ports, name) for name in WORKERS),
        gateway(home, ports),
        envoy(home, ports),
    ]


def chosen(every: list[Part], names: Sequence[str]) -> list[Part]:
    """The named parts and all that they need; every part when none is named."""
    known = {part.name: part for part in every}
    wanted, found = list(names), set()
    while wanted:
        name = wanted.pop()
        if name not in known:
            raise HomeError(f"there is no part {name}; there are {', '.join(known)}")
        found.add(name)
        wanted += known[name].needs
    return [part for part in every if part.name in found or not names]


def process(module: str, **options: object) -> Part:
    """A process of ours: `python -m module`."""
    env = BASE_ENV | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'proto/gen'}"}
    env |= {name: value for name, value in os.environ.items() if name in PASSED_ON}
    env |= options.pop("env", {})
    return Part(argv=(sys.executable, "-m", module), env=env, **options)


def descriptors(home: Home) -> Part:
    """The descriptor set of all protos: Envoy transcodes by it, the gateway reflects it."""
    protos = [*sorted((CHECKOUT / "proto/eco2").rglob("*.proto"))]
    # Error details need their types in the set, or Envoy answers with an empty body.
    protos += [CHECKOUT / "proto/google/rpc" / name for name in ("status.proto", "error_details.proto")]
    flags = ("-Iproto", "--include_imports", "--include_source_info", f"--descriptor_set_out={descriptor_set(home)}")
    return Part(
        name="descriptors",
        argv=(sys.executable, "-m", "grpc_tools.protoc", *flags, *(str(p.relative_to(CHECKOUT)) for p in protos)),
        env=BASE_ENV,
        one_shot=True,
    )


def descriptor_set(home: Home) -> Path:
    return home.path / "eco2.binpb"


def migrations(home: Home, ports: Ports) -> Part:
    passwords = home.login_passwords(list(ROLES.values()))
    admin = parts.postgres_admin_url(home, ports)
    return process(
        "migrations",
        name="migrations",
        needs=("postgres",),
        one_shot=True,
        env={
            "POSTGRES_ADMIN_URL_FILE": str(home.secret_file("postgres-admin-url", admin)),
            "DB_PASSWORDS_FILE": str(home.secret_file("db-passwords.json", json.dumps(passwords))),
        },
    )


def database_url(home: Home, ports: Ports, schema: str) -> str:
    role = ROLES[schema]
    password = home.login_passwords([role])[role]
    options = quote(f"-csearch_path={schema}")
    return f"postgresql://{role}:{password}@127.0.0.1:{ports['postgres']}/{DATABASE}?options={options}"


def shared_env(home: Home, ports: Ports) -> dict[str, str]:
    """Addresses of what several processes use, and files with the secrets for it."""
    access = parts.s3_access(home, ports)
    return {
        "RABBITMQ_URL_FILE": str(home.secret_file("rabbitmq-url", parts.rabbitmq_url(home, ports))),
        "REDIS_URL_FILE": str(home.secret_file("redis-url", parts.redis_url(home, ports))),
        "S3_ENDPOINT_URL": access.endpoint_url,
        "S3_BUCKET": access.bucket,
        "S3_REGION": access.region,
        "S3_ACCESS_KEY_ID": access.access_key_id,
        "S3_SECRET_ACCESS_KEY_FILE": str(home.secret_file("s3-secret-access-key", access.secret_access_key)),
        **{f"{name.upper()}_TARGET": f"127.0.0.1:{ports[name]}" for name in SERVICES},
    }


def service(home: Home, ports: Ports, name: str) -> Part:
    file = home.secret_file(f"{name}-db-url", database_url(home, ports, name))
    env = shared_env(home, ports) | {"LISTEN": f"127.0.0.1:{ports[name]}", f"{SERVICES[name]}_FILE": str(file)}
    needs = ["migrations", "redis"]
    if name == "auth":
        home.secret("refresh-token-key")
        env |= {
            "JWT_KEY_FILE": str(jwt_key_file(home)),
            "JWT_ISSUER": JWT_ISSUER,
            "JWT_AUDIENCE": JWT_AUDIENCE,
            "REFRESH_TOKEN_KEY_FILE": str(home.path / "secrets/refresh-token-key"),
            "PUBLIC_URL": public_url(ports),
            # On one machine all who register have one address, those that a load is made of among them.
            "REGISTER_ADDRESS_LIMIT": "100000/3600",
            **{name: os.environ[name] for name in PASSED_ON_TO_AUTH if name in os.environ},
        }
    if name == "users":
        env |= {"ERASURE_TARGETS": ",".join(f"{each}=127.0.0.1:{ports[each]}" for each in ERASING)}
    if name == "chat_llm":
        env |= model_env(home)
    if name in ("auth", "users", "waste", "tasks"):
        needs += ["rabbitmq"]
    if name in ("users", "waste"):
        needs += ["s3"]
    return process(
        f"services.{name}",
        name=name,
        needs=tuple(needs),
        ready=probes.grpc_health(ports[name]),
        env=env,
        port=ports[name],
        stop_grace=15.0,
    )


def worker(home: Home, ports: Ports, name: str) -> Part:
    port = ports[f"worker_{name}"]
    env = shared_env(home, ports)
    env |= {"LISTEN": f"127.0.0.1:{port}", "JOURNAL_DIR": str(home.folder(f"journal/{name}"))}
    if name == "ai":
        env |= model_env(home) | {"BACKBONE_PATH": str(BACKBONE)}
    return process(
        f"workers.{name}",
        name=f"worker-{name}",
        needs=("rabbitmq", "redis", "s3"),
        ready=probes.grpc_health(port),
        env=env,
        port=port,
        stop_grace=15.0,
    )


def model_env(home: Home) -> dict[str, str]:
    """What the caller set for the models; a key goes on as a file."""
    env = {name: os.environ[name] for name in MODEL_SETTINGS if os.environ.get(name)}
    if key := os.environ.get("OPENAI_API_KEY"):
        env["OPENAI_API_KEY_FILE"] = str(home.secret_file("openai-api-key", key))
    return env


def gateway(home: Home, ports: Ports) -> Part:
    env = {
        "LISTEN": f"127.0.0.1:{ports['gateway']}",
        "HTTP_LISTEN": f"127.0.0.1:{ports['gateway_http']}",
        "DESCRIPTOR_SET": str(descriptor_set(home)),
        "AUTH_TARGET": f"127.0.0.1:{ports['auth']}",
        "PUBLIC_URL": public_url(ports),
    }
    return process(
        "gateway",
        name="gateway",
        needs=("descriptors",),
        ready=probes.grpc_health(ports["gateway"]),
        env=env,
        port=ports["gateway"],
    )


def public_url(ports: Ports) -> str:
    return f"http://127.0.0.1:{ports['edge']}"


def envoy(home: Home, ports: Ports) -> Part:
    folder = home.folder("envoy")
    behind = (*SERVICES, "gateway")
    values = {
        "EDGE_ADDRESS": "127.0.0.1",
        "EDGE_PORT": ports["edge"],
        "ADMIN_ADDRESS": "127.0.0.1",
        "ADMIN_PORT": ports["envoy_admin"],
        **{f"{name.upper()}_HOST": "127.0.0.1" for name in behind},
        **{f"{name.upper()}_PORT": ports[name] for name in behind},
        "GATEWAY_HTTP_PORT": ports["gateway_http"],
        "DESCRIPTOR_SET": descriptor_set(home),
        "ACCESS_LOG": folder / "access.log",
        "JWT_ISSUER": JWT_ISSUER,
        "JWT_AUDIENCE": JWT_AUDIENCE,
        "WEB_ORIGINS": origins(os.environ.get("WEB_ORIGINS", "")),
    }
    config = folder / "envoy.yaml"

    def prepare() -> None:
        home.write("envoy/envoy.yaml", render(CHECKOUT / "envoy/envoy.yaml", values))

    return Part(
        name="envoy",
        argv=(str(envoy_binary()), "-c", str(config), "--concurrency", "1", "--use-dynamic-base-id"),
        # After what it routes to: its first health check of each then passes.
        needs=("descriptors", "gateway", *SERVICES),
        ready=probes.http(f"http://127.0.0.1:{ports['edge']}/healthz"),
        env=BASE_ENV,
        cwd=folder,
        port=ports["edge"],
        prepare=prepare,
    )


def origins(text: str) -> str:
    """For Envoy, from a list with commas. Fails with HomeError."""
    found = [each.strip() for each in text.split(",") if each.strip()]
    for each in found:
        if not re.fullmatch(r"https?://[^/\s*]+", each):
            raise HomeError(f"WEB_ORIGINS must have origins such as https://app.example.com, not {each!r}")
    return json.dumps([{"exact": each} for each in found])


def validate_envoy() -> int:
    """Has Envoy check its configuration, as it would be started. Returns its exit code; it says what is wrong."""
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(socket.socket()) as guard:
        home = Home(Path(folder))
        subprocess.run(descriptors(home).argv, cwd=CHECKOUT, check=True, timeout=60)
        part = envoy(home, Ports(FIRST_PORT, guard))
        part.prepare()
        command = (*part.argv, "--mode", "validate", "--log-level", "critical")
        return subprocess.run(command, cwd=part.cwd, check=False, timeout=60).returncode


def envoy_binary() -> Path:
    """The server itself: the script that the package installs would stand between us and its signals."""
    from envoy import _bin

    return Path(_bin.__file__).parent / "envoy"


def render(template: Path, values: Mapping[str, object]) -> str:
    """Replaces each ${NAME}. Fails with HomeError when the template names what nobody set."""
    try:
        return string.Template(template.read_text()).substitute(values)
    except KeyError as missing:
        raise HomeError(f"{template}: nothing is known for {missing}") from missing


def jwt_key_file(home: Home) -> Path:
    """The private key that signs access tokens: EC P-256, PEM, made at the first start."""
    file = home.path / "secrets/jwt-key.pem"
    if not file.exists():
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        home.secret_file(file.name, pem.decode())
    return file
