"""The object store: what we read, keep and remove there, and URLs for clients who do it themselves."""

from __future__ import annotations

import base64
import contextlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import boto3
from botocore import client
from botocore.exceptions import BotoCoreError, ClientError

from services.kit import config
from services.kit.errors import NotFound, ResourceExhausted, Unavailable

# How long after a URL to upload to has ended an upload that began in time may still come in.
LATE = timedelta(minutes=10)
# Keys a request, with up to two folders each: S3 removes at most 1000 in one.
_MOST = 300


@dataclass(frozen=True, kw_only=True)
class Access:
    """What the configuration of a process says of the object store."""

    s3_endpoint_url: str
    s3_bucket: str
    s3_region: str
    s3_access_key_id: str
    s3_secret_access_key: str = config.secret()
    # As clients reach it, where that differs.
    s3_public_url: str = ""

    def bucket(self) -> Bucket:
        return Bucket(
            self.s3_endpoint_url,
            self.s3_bucket,
            self.s3_region,
            self.s3_access_key_id,
            self.s3_secret_access_key,
            self.s3_public_url,
        )


@dataclass(frozen=True)
class Put:
    """A presigned PUT: the client must send `headers` as they are, and exactly the announced bytes."""

    url: str
    headers: dict[str, str]


class Bucket:
    """One bucket. Every call ends within seconds, and fails with Unavailable (STORE_UNAVAILABLE) when the store cannot
    be reached or refuses. public_url: the endpoint as clients reach it, where that differs from ours."""

    def __init__(
        self,
        endpoint_url: str,
        bucket: str,
        region: str,
        access_key_id: str,
        secret_access_key: str,
        public_url: str = "",
    ):
        def connect(url: str):
            return boto3.client(
                "s3",
                endpoint_url=url,
                region_name=region,
                aws_access_key_id=access_key_id,
                aws_secret_access_key=secret_access_key,
                config=client.Config(
                    signature_version="s3v4",
                    s3={"addressing_style": "path"},
                    connect_timeout=2,
                    read_timeout=5,
                    retries={"total_max_attempts": 2},
                    max_pool_connections=16,
                    # A checksum of botocore's own choice would be signed beside the client's.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )

        self._bucket = bucket
        self._client = connect(endpoint_url)
        self._public = connect(public_url) if public_url else self._client

    def presign_put(self, key: str, content_type: str, size_bytes: int, sha256: bytes, expires_s: int) -> Put:
        """Key, type, length and checksum are all signed, so that the store itself refuses anything else."""
        checksum = base64.b64encode(sha256).decode()
        url = self._public.generate_presigned_url(
            "put_object",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "ContentType": content_type,
                "ContentLength": size_bytes,
                "ChecksumSHA256": checksum,
            },
            ExpiresIn=expires_s,
        )
        return Put(url, {"Content-Type": content_type, "x-amz-checksum-sha256": checksum})

    def presign_get(self, key: str, expires_s: int) -> str:
        return self._public.generate_presigned_url(
            "get_object", Params={"Bucket": self._bucket, "Key": key}, ExpiresIn=expires_s
        )

    def find_size(self, key: str) -> int | None:
        """How many bytes the object has; None when there is none."""
        try:
            with _reaching(key):
                return self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]
        except NotFound:
            return None

    def get(self, key: str, max_bytes: int) -> bytes:
        """The object. Fails with NotFound, and with ResourceExhausted, before a byte is read, when it is larger."""
        with _reaching(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            with answer["Body"] as body:
                if answer["ContentLength"] > max_bytes:
                    raise ResourceExhausted(f"{key} has {answer['ContentLength']} bytes, more than {max_bytes}")
                return body.read()

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Keep it privately, in place of what was there."""
        with _reaching(key):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=content_type)

    def delete(self, keys: Iterable[str]) -> int:
        """Remove these objects, and the folders that they leave empty; one that is not there is removed already. How
        many keys there were."""
        left, count = iter(keys), 0
        while batch := list(itertools.islice(left, _MOST)):
            listed = {"Objects": [{"Key": key} for key in (*batch, *_folders(batch))], "Quiet": True}
            with _reaching(batch[0]):
                answer = self._client.delete_objects(Bucket=self._bucket, Delete=listed)
            if answer.get("Errors"):
                error = answer["Errors"][0]
                raise Unavailable(f"{error['Key']} is not removed: {error['Code']}", reason="STORE_UNAVAILABLE")
            count += len(batch)
        return count

    def list_keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin so."""
        for page in self._pages(Prefix=prefix):
            yield from (found["Key"] for found in page.get("Contents", ()))

    def list_folders(self, prefix: str) -> Iterator[str]:
        """What stands in the keys between `prefix`, which ends with a slash, and the next slash; each once."""
        for page in self._pages(Prefix=prefix, Delimiter="/"):
            yield from (found["Prefix"][len(prefix) : -1] for found in page.get("CommonPrefixes", ()))

    def close(self) -> None:
        self._client.close()
        self._public.close()

    def _pages(self, **options: str) -> Iterator[dict]:
        pages = iter(self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, **options))
        while True:
            with _reaching(options["Prefix"]):
                page = next(pages, None)
            if page is None:
                return
            yield page


def _folders(keys: Iterable[str]) -> list[str]:
    """The folders of keys, the deepest first. S3 has none; SeaweedFS keeps them, names and all, until an object of that
    name is removed, and leaves those that are not empty. The first level is for all, and stays."""
    found = set()
    for key in keys:
        parts = key.split("/")[:-1]
        found |= {"/".join(parts[:count]) + "/" for count in range(2, min(len(parts), 3) + 1)}
    return sorted(found, key=lambda folder: -folder.count("/"))


@contextlib.contextmanager
def _reaching(key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            raise NotFound(f"no object {key}", reason="OBJECT_NOT_FOUND") from error
        raise Unavailable(f"the object store refused {key}", reason="STORE_UNAVAILABLE") from error
    except (BotoCoreError, OSError) as error:
        raise Unavailable("the object store cannot be reached", reason="STORE_UNAVAILABLE") from error
