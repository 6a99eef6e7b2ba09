"""The object store, as far as this domain needs it: where to PUT a photo, whether it is there, where to see it."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import boto3
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.kit.errors import Unavailable


@dataclass(frozen=True)
class Put:
    """A presigned PUT: the client must send `headers` as they are, and exactly the announced bytes."""

    url: str
    headers: dict[str, str]


class Bucket:
    """One bucket. public_url: the endpoint as clients reach it, where that differs from ours."""

    def __init__(self, endpoint_url: str, public_url: str, name: str, region: str, key_id: str, secret: str):
        def client(url: str):
            return boto3.client(
                "s3",
                endpoint_url=url,
                region_name=region,
                aws_access_key_id=key_id,
                aws_secret_access_key=secret,
                config=Config(
                    signature_version="s3v4",
                    s3={"addressing_style": "path"},
                    connect_timeout=2,
                    read_timeout=3,
                    retries={"max_attempts": 2},
                    max_pool_connections=8,
                    # A checksum of botocore's own choice would be signed beside the client's.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )

        self._name = name
        self._client, self._public = client(endpoint_url), client(public_url or endpoint_url)

    def presign_put(self, key: str, content_type: str, size_bytes: int, sha256: bytes, expires_s: int) -> Put:
        """Key, type, length and checksum are all signed, so that the store itself refuses anything else."""
        checksum = base64.b64encode(sha256).decode()
        url = self._public.generate_presigned_url(
            "put_object",
            Params={
                "Bucket": self._name,
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
            "get_object", Params={"Bucket": self._name, "Key": key}, ExpiresIn=expires_s
        )

    def exists(self, key: str, size_bytes: int) -> bool:
        """Whether an object of that length is there. Fails with UNAVAILABLE (STORE_UNAVAILABLE)."""
        try:
            return self._client.head_object(Bucket=self._name, Key=key)["ContentLength"] == size_bytes
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise Unavailable("the object store refused to answer", reason="STORE_UNAVAILABLE") from error
        except BotoCoreError as error:
            raise Unavailable("the object store cannot be reached", reason="STORE_UNAVAILABLE") from error
