"""Whether a server really serves. Each probe returns when it does and raises, soon, when it does not."""

import base64
import contextlib
import socket
import urllib.request
from collections.abc import Callable

Probe = Callable[[], None]

TIMEOUT_S = 2.0


def tcp(port: int) -> Probe:
    def probe() -> None:
        socket.create_connection(("127.0.0.1", port), TIMEOUT_S).close()

    return probe


def http(url: str, user: str | None = None, password: str | None = None) -> Probe:
    """A GET that must answer 2xx."""
    request = urllib.request.Request(url)
    if user is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())

    def probe() -> None:
        urllib.request.urlopen(request, timeout=TIMEOUT_S).close()

    return probe


def postgres(url: str) -> Probe:
    def probe() -> None:
        import psycopg

        with psycopg.connect(url, connect_timeout=int(TIMEOUT_S)) as connection:
            connection.execute("SELECT 1")

    return probe


def redis(url: str) -> Probe:
    def probe() -> None:
        import redis

        with contextlib.closing(redis.Redis.from_url(url, socket_timeout=TIMEOUT_S)) as client:
            client.ping()

    return probe


def s3(endpoint_url: str, bucket: str, region: str, access_key_id: str, secret_access_key: str) -> Probe:
    """Makes the bucket when it is missing; then an object must go in and come out again."""

    def probe() -> None:
        socket.create_connection(("127.0.0.1", int(endpoint_url.rpartition(":")[2])), TIMEOUT_S).close()
        import boto3
        import botocore.config

        config = botocore.config.Config(
            connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries={"total_max_attempts": 1}
        )
        client = boto3.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=region,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            config=config,
        )
        with contextlib.closing(client):
            with contextlib.suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket=bucket)
            client.put_object(Bucket=bucket, Key="probe", Body=b"ready")
            found = client.get_object(Bucket=bucket, Key="probe")["Body"].read()
            if found != b"ready":
                raise ValueError(f"the probe object came back as {found!r}")

    return probe


def grpc_health(port: int) -> Probe:
    """grpc.health.v1 Check of the whole server must answer SERVING."""

    def probe() -> None:
        socket.create_connection(("127.0.0.1", port), TIMEOUT_S).close()
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            request = health_pb2.HealthCheckRequest(service="")
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_S)
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise ConnectionError(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    return probe
