"""The four tasks of the pipeline on a real object store, Redis, journal and a real gRPC peer for the rules."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import uuid

import pytest
from eco2.pipeline.v1.messages_pb2 import Sight
from eco2.recycle_info.v1 import internal_pb2, internal_pb2_grpc
from eco2.recycle_info.v1.recycle_info_pb2 import MATERIAL_GLASS
from PIL import Image

from services.kit import cache, config
from services.kit.errors import NotFound, Unavailable
from services.kit.objects import Bucket
from tests.workers.conftest import new_job
from workers.ai.__main__ import Config
from workers.ai.analyze_vision import AnalyzeVision, digest
from workers.ai.answers import DB, Answers
from workers.journal import Journal
from workers.stages import Permanent
from workers.storage import photo
from workers.storage.image_uploader import ImageUploader
from workers.storage.rule_retriever import RuleRetriever

# All that worker-ai needs, and nothing that chooses its models.
SETTINGS = {field.name.upper(): "x" for field in dataclasses.fields(Config) if field.default is dataclasses.MISSING}


@pytest.fixture
def objects(servers):
    opened = Bucket(**vars(servers.s3))
    yield opened
    opened.close()


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def redis(servers):
    client = cache.connect(servers.redis_url, DB)
    yield client
    client.close()


class Eyes:
    """A vision provider that counts how often it looked."""

    provider = "embedded"

    def __init__(self):
        self.model, self.prompt_version, self.looks = f"m{uuid.uuid4().hex}", "", 0

    def look(self, data: bytes, user_id: str) -> Sight:
        self.looks += 1
        return Sight(material=MATERIAL_GLASS, confidence=0.9, provider=self.provider, model=self.model)


def steps() -> tuple[list[int], object]:
    seen: list[int] = []
    return seen, seen.append


def jpeg(size=(300, 200)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "green").save(out, "JPEG")
    return out.getvalue()


def test_an_upload_is_cleaned_kept_and_hashed(objects):
    job = new_job(image_key=f"uploads/{uuid.uuid4()}")
    objects.put(job.image_key, jpeg(), "image/jpeg")
    seen, progress = steps()
    image = ImageUploader(objects).run(job, progress).image
    assert image.object_key == f"uploads/{job.user_id}/{job.image_id}/clean.jpg"
    assert image.thumbnail_key == f"thumbnails/{job.image_id}.jpg"
    kept = objects.get(image.object_key, photo.MAX_BYTES)
    assert (hashlib.sha256(kept).digest(), len(kept)) == (image.sha256, image.size_bytes)
    assert Image.open(io.BytesIO(kept)).size == (image.width, image.height) == (300, 200)
    assert Image.open(io.BytesIO(objects.get(image.thumbnail_key, photo.MAX_BYTES))).size == (256, 171)
    assert seen == sorted(seen)


def test_what_cannot_be_cleaned_ends_the_analysis_with_a_reason(objects):
    def reason(job) -> str:
        with pytest.raises(Permanent) as raised:
            ImageUploader(objects).run(job, lambda percent: None)
        return raised.value.reason

    assert reason(new_job(image_key="uploads/none")) == "IMAGE_NOT_FOUND"
    job = new_job(image_key=f"uploads/{uuid.uuid4()}")
    objects.put(job.image_key, b"not a photo", "image/jpeg")
    assert reason(job) == "NOT_AN_IMAGE"
    objects.put(job.image_key, bytes(photo.MAX_BYTES + 1), "image/jpeg")
    assert reason(job) == "IMAGE_TOO_LARGE"


def test_a_store_that_cannot_be_reached_is_a_transient_error(servers):
    away = Bucket(**(vars(servers.s3) | {"endpoint_url": "http://127.0.0.1:1"}))
    with pytest.raises(Unavailable):
        ImageUploader(away).run(new_job(), lambda percent: None)
    away.close()


def test_the_same_pixels_are_looked_at_once(objects, redis, journal):
    eyes = Eyes()
    analyze = AnalyzeVision(objects, eyes, Answers(redis, journal, "vision", Sight))
    job = new_job()
    job.image.object_key, job.image.sha256 = f"uploads/{uuid.uuid4()}", uuid.uuid4().bytes
    objects.put(job.image.object_key, jpeg(), "image/jpeg")
    first = analyze.run(job, lambda percent: None).sight
    again = analyze.run(job, lambda percent: None).sight
    assert (first.cached, again.cached, eyes.looks) == (False, True, 1)
    assert (again.material, again.confidence) == (first.material, first.confidence)
    key = f"vision:{eyes.model}:{digest(job.image.sha256, '').hex()}"
    assert json.loads(redis.get(key))["material"] == "MATERIAL_GLASS"
    assert redis.ttl(key) > 0
    # The journal still knows when Redis has lost it, and tells Redis again.
    redis.delete(key)
    assert analyze.run(job, lambda percent: None).sight.cached
    assert redis.exists(key)
    # Another model, or the same with other instructions, has not looked yet.
    eyes.model += "x"
    assert not analyze.run(job, lambda percent: None).sight.cached
    eyes.prompt_version = "2"
    assert not analyze.run(job, lambda percent: None).sight.cached


def test_without_redis_the_journal_answers(objects, journal):
    eyes, nowhere = Eyes(), cache.connect("redis://127.0.0.1:1", DB)
    analyze = AnalyzeVision(objects, eyes, Answers(nowhere, journal, "vision", Sight))
    job = new_job()
    job.image.object_key, job.image.sha256 = f"uploads/{uuid.uuid4()}", uuid.uuid4().bytes
    objects.put(job.image.object_key, jpeg(), "image/jpeg")
    assert [analyze.run(job, lambda percent: None).sight.cached for _ in range(2)] == [False, True]


def test_the_rule_is_asked_for_what_was_seen_and_said(rules, channel):
    rules.answer = internal_pb2.ResolveRuleResponse()
    rules.answer.rule.rule_id = "r1"
    retriever = RuleRetriever(internal_pb2_grpc.RecycleInfoInternalServiceStub(channel(rules.target)))
    job = new_job(question="유리병이에요", language_code="ko", region_code="11680")
    job.sight.material, job.sight.item_key, job.sight.unsure = MATERIAL_GLASS, "glass_bottle", True
    assert retriever.run(job, lambda percent: None).rule.rule_id == "r1"
    [asked] = rules.asked
    assert (asked.item_key, asked.material, asked.question, asked.unsure, asked.region_code) == (
        "glass_bottle",
        MATERIAL_GLASS,
        "유리병이에요",
        True,
        "11680",
    )


def test_no_rule_is_an_empty_rule_and_any_other_absence_an_error(rules, channel):
    retriever = RuleRetriever(internal_pb2_grpc.RecycleInfoInternalServiceStub(channel(rules.target)))
    rules.answer = NotFound("nothing", reason="NO_RULE_FOUND")
    outcome = retriever.run(new_job(), lambda percent: None)
    assert outcome.WhichOneof("outcome") == "rule"
    assert outcome.rule.rule_id == ""
    rules.answer = NotFound("nothing", reason="SOMETHING_ELSE")
    with pytest.raises(NotFound):
        retriever.run(new_job(), lambda percent: None)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"MODEL_PROVIDER": "magic"}, "MODEL_PROVIDER: must be one of auto, embedded, openai, not 'magic'"),
        ({"MODEL_PROVIDER": "openai"}, "MODEL_PROVIDER=openai needs OPENAI_API_KEY"),
    ],
)
def test_a_provider_that_cannot_be_is_refused_by_name(given, problem):
    with pytest.raises(SystemExit, match=problem):
        config.load(Config, SETTINGS | given)


@pytest.mark.parametrize(
    ("given", "provider"),
    [
        ({}, "embedded"),
        ({"OPENAI_API_KEY": "sk-1"}, "openai"),
        ({"OPENAI_API_KEY": "sk-1", "MODEL_PROVIDER": "openai"}, "openai"),
        ({"OPENAI_API_KEY": "sk-1", "MODEL_PROVIDER": "embedded"}, "embedded"),
    ],
)
def test_one_switch_chooses_the_models(given, provider):
    settings = config.load(Config, SETTINGS | given)
    assert settings.provider == provider
    assert "sk-1" not in repr(settings)
