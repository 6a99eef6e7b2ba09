"""S3 is stopped by SIGKILL and loses its election log at each start: neither may cost an object."""

import contextlib
import hashlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest

from stack import api
from stack.parts import S3

SIZES = (100, 5_000, 400_000, 2_000_000)


@pytest.fixture
def home() -> Iterator[Path]:
    with api.data_folder(None) as folder:
        yield folder.path


def client_of(access: S3) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=access.endpoint_url,
        region_name=access.region,
        aws_access_key_id=access.access_key_id,
        aws_secret_access_key=access.secret_access_key,
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )


def put_until_it_dies(client: Any, bucket: str, prefix: str, enough: threading.Event) -> dict[str, str]:
    """Key → digest of each object whose upload was acknowledged. Sets `enough` after twenty."""
    acknowledged: dict[str, str] = {}
    chance = random.Random(1)
    while True:
        key, body = f"{prefix}/{len(acknowledged)}", chance.randbytes(chance.choice(SIZES))
        try:
            client.put_object(Bucket=bucket, Key=key, Body=body)
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return acknowledged
        acknowledged[key] = hashlib.sha256(body).hexdigest()
        if len(acknowledged) == 20:
            enough.set()


def test_every_acknowledged_object_is_read_again_after_it_was_stopped_under_load(home: Path):
    kept: dict[str, str] = {}
    enough = threading.Event()
    with api.infrastructure(home, parts=("s3",)) as infra, contextlib.closing(client_of(infra.s3)) as client:
        writer = threading.Thread(target=lambda: kept.update(put_until_it_dies(client, infra.s3.bucket, "a", enough)))
        writer.start()
        assert enough.wait(60)
        infra.stop("s3")
        writer.join()
    # Another block of ports, too.
    with api.infrastructure(home, parts=("s3",)) as infra, contextlib.closing(client_of(infra.s3)) as client:
        for key, digest in kept.items():
            body = client.get_object(Bucket=infra.s3.bucket, Key=key)["Body"].read()
            assert hashlib.sha256(body).hexdigest() == digest, key
    assert len(kept) >= 20
