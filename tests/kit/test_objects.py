"""The bucket on a real store. Presigned uploads: tests/services/waste, tests/stack/test_s3.py."""

from __future__ import annotations

import uuid

import pytest

from services.kit import config
from services.kit.errors import NotFound, ResourceExhausted, Unavailable
from services.kit.objects import Access, Bucket


@pytest.fixture
def bucket(servers):
    opened = Bucket(**vars(servers.s3))
    yield opened
    opened.close()


@pytest.fixture
def folder() -> str:
    return f"test/{uuid.uuid4()}/"


def test_what_is_kept_is_read_listed_and_removed(bucket, folder):
    keys = {f"{folder}{number:04}/a b+c.jpg" for number in range(1005)}
    for key in sorted(keys):
        bucket.put(key, b"data", "image/jpeg")
    one = min(keys)
    assert bucket.get(one, 4) == b"data"
    assert bucket.find_size(one) == 4
    # More than one page, and more than one request removes.
    assert set(bucket.list_keys(folder)) == keys
    assert list(bucket.list_folders(folder)) == [f"{number:04}" for number in range(1005)]
    assert bucket.delete([*keys, f"{folder}none"]) == 1006
    assert list(bucket.list_keys(folder)) == list(bucket.list_folders(folder)) == []
    assert bucket.find_size(one) is None
    assert bucket.delete([]) == 0


def test_a_configuration_gives_the_bucket_and_what_clients_see_of_it(servers, folder):
    given = {f"S3_{name.removeprefix('s3_').upper()}": value for name, value in vars(servers.s3).items()}
    opened = config.load(Access, given | {"S3_PUBLIC_URL": "https://photos.example"}).bucket()
    opened.put(f"{folder}a", b"1", "text/plain")
    assert opened.presign_get(f"{folder}a", 60).startswith("https://photos.example/")
    assert opened.find_size(f"{folder}a") == 1
    opened.close()


def test_what_is_not_there_or_too_large_is_said_so(bucket, folder):
    with pytest.raises(NotFound):
        bucket.get(f"{folder}none", 10)
    bucket.put(f"{folder}a", b"12345", "text/plain")
    with pytest.raises(ResourceExhausted):
        bucket.get(f"{folder}a", 4)


def test_a_store_that_cannot_be_reached_or_refuses_is_unavailable(servers, folder):
    access = vars(servers.s3)
    for wrong in ({"endpoint_url": "http://127.0.0.1:1"}, {"secret_access_key": "wrong"}):
        away = Bucket(**access | wrong)
        for call, arguments in (
            (away.get, ("a", 1)),
            (away.put, ("a", b"", "text/plain")),
            (away.find_size, ("a",)),
            (away.delete, (["a"],)),
            (lambda bucket: list(bucket.list_keys(folder)), (away,)),
            (lambda bucket: list(bucket.list_folders(folder)), (away,)),
        ):
            with pytest.raises(Unavailable):
                call(*arguments)
        away.close()
