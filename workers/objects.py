"""The object store, as far as workers need it: read what was uploaded, keep what was made of it."""

from __future__ import annotations

import boto3
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.kit.errors import NotFound, ResourceExhausted, Unavailable


class Objects:
    """One bucket. Every call ends within seconds. Each fails with Unavailable when the store cannot be reached."""

    def __init__(self, endpoint_url: str, bucket: str, region: str, access_key_id: str, secret_access_key: str):
        self._bucket = bucket
        self._client = boto3.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=region,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                connect_timeout=2,
                read_timeout=5,
                retries={"total_max_attempts": 2},
                max_pool_connections=16,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def get(self, key: str, max_bytes: int) -> bytes:
        """The object. Fails with NotFound, and with ResourceExhausted, before a byte is read, when it is larger."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            with answer["Body"] as body:
                if answer["ContentLength"] > max_bytes:
                    raise ResourceExhausted(f"{key} has {answer['ContentLength']} bytes, more than {max_bytes}")
                return body.read()
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                raise NotFound(f"no object {key}", reason="OBJECT_NOT_FOUND") from error
            raise Unavailable(f"the object store refused to give {key}", reason="STORE_UNAVAILABLE") from error
        except (BotoCoreError, OSError) as error:
            raise Unavailable("the object store cannot be reached", reason="STORE_UNAVAILABLE") from error

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Keep it privately, in place of what was there."""
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=content_type)
        except ClientError as error:
            raise Unavailable(f"the object store refused to keep {key}", reason="STORE_UNAVAILABLE") from error
        except (BotoCoreError, OSError) as error:
            raise Unavailable("the object store cannot be reached", reason="STORE_UNAVAILABLE") from error

    def close(self) -> None:
        self._client.close()
