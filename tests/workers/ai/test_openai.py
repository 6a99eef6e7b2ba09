"""The openai provider on real parts, against a server that fails in every way that the real one does."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import time
import uuid

import pytest
from eco2.pipeline.v1.messages_pb2 import Reply, Sight
from eco2.recycle_info.v1.internal_pb2 import ResolvedRule
from eco2.recycle_info.v1.recycle_info_pb2 import MATERIAL_GLASS, MATERIAL_METAL, MATERIAL_PLASTIC, Material
from eco2.recycle_info.v1.recycle_info_pb2_grpc import RecycleInfoServiceStub
from PIL import Image

from services.kit.channel import connect
from services.kit.errors import Fault, Unavailable
from services.kit.llm.client import Patience
from services.kit.objects import Bucket
from tests import openai_api as api_of
from tests.workers.ai.conftest import verbatim
from tests.workers.conftest import new_job
from workers.ai import openai_vision
from workers.ai.analyze_vision import AnalyzeVision
from workers.ai.answers import Answers
from workers.ai.openai_language import PROMPT_VERSION, OpenAILanguage, lines_of
from workers.ai.openai_vision import Items, OpenAIEyes
from workers.stages import Permanent

USER = str(uuid.uuid4())
GLASS = {"material": "GLASS", "item_key": "glass_bottle", "confidence": 0.9, "alternatives": [], "several": False}


@pytest.fixture
def eyes(client, recycle_info, openai_api) -> OpenAIEyes:
    openai_api.answers["look"] = GLASS
    channel = connect(recycle_info.target, timeout_s=5)
    yield OpenAIEyes(client, Items(RecycleInfoServiceStub(channel)))
    channel.close()


@pytest.fixture
def objects(servers):
    opened = Bucket(**vars(servers.s3))
    yield opened
    opened.close()


@pytest.fixture
def analyze(eyes, objects, redis, journals) -> AnalyzeVision:
    return AnalyzeVision(objects, eyes, Answers(redis, journals(), "vision", Sight))


def photo(colour: str = "green", dot: tuple[int, int] | None = None) -> bytes:
    image = Image.new("RGB", (64, 48), colour)
    if dot:
        image.putpixel(dot, (90, 60, 20))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95)
    return out.getvalue()


@pytest.fixture
def job_of(objects):
    """Makes the job of a clean photo; it has waited for `age_s`."""

    def make(data: bytes, age_s: float = 0.0, **fields):
        job = new_job(**fields)
        job.image.object_key, job.image.sha256 = f"uploads/{uuid.uuid4()}", hashlib.sha256(data).digest()
        job.create_time.FromSeconds(int(time.time() - age_s))
        objects.put(job.image.object_key, data, "image/jpeg")
        return job

    return make


def run(analyze, job) -> Sight:
    return analyze.run(job, lambda percent: None).sight


# Vision.


def test_a_photo_is_asked_about_within_a_closed_list(eyes, recycle_info, openai_api):
    data = photo()
    sight = eyes.look(data, USER)
    assert (sight.material, sight.item_key, sight.unsure) == (MATERIAL_GLASS, "glass_bottle", False)
    assert (sight.provider, sight.model, sight.prompt_version) == ("openai", "m1", eyes.prompt_version)
    [asked] = openai_api.requests
    properties = asked["response_format"]["json_schema"]["schema"]["properties"]
    assert set(properties["item_key"]["enum"]) == recycle_info.keys | {""}
    assert set(properties["material"]["enum"]) == {name.removeprefix("MATERIAL_") for name in Material.keys()[1:]}
    [part] = asked["messages"][1]["content"]
    assert base64.b64decode(part["image_url"]["url"].removeprefix("data:image/jpeg;base64,")) == data


@pytest.mark.parametrize(
    ("said", "unsure"),
    [
        ({"confidence": 0.4}, True),
        ({"material": "UNKNOWN", "item_key": ""}, True),
        # An item that is made of something else: a doubt.
        ({"material": "PLASTIC"}, True),
        ({"item_key": ""}, False),
    ],
)
def test_a_doubt_is_told(eyes, openai_api, said, unsure):
    openai_api.answers["look"] = GLASS | said
    assert eyes.look(photo(), USER).unsure == unsure


def test_where_item_and_material_differ_the_item_decides_and_the_material_is_a_guess(eyes, openai_api):
    metal = {"material": "METAL", "probability": 0.1}
    openai_api.answers["look"] = GLASS | {"material": "PLASTIC", "alternatives": [metal]}
    sight = eyes.look(photo(), USER)
    assert sight.material == MATERIAL_GLASS
    assert {guess.material for guess in sight.alternatives} == {MATERIAL_METAL, MATERIAL_PLASTIC}


def test_two_things_are_said_to_be_two(eyes, openai_api):
    metal = {"material": "METAL", "probability": 0.4}
    openai_api.answers["look"] = GLASS | {"several": True, "alternatives": [metal]}
    sight = eyes.look(photo(), USER)
    assert (sight.several, sight.unsure, sight.alternatives[0].material) == (True, True, MATERIAL_METAL)
    openai_api.answers["look"] = GLASS | {"several": True}
    assert not eyes.look(photo(), USER).several


def answering(**said) -> api_of.Fault:
    return api_of.content(json.dumps(GLASS | said))


# What ends an analysis at once; the rest is tried again while the analysis is young.
FINAL = [
    (answering(material="GOLD"), "MODEL_ANSWER_INVALID", True),
    (answering(item_key="philosophers_stone"), "MODEL_ANSWER_INVALID", True),
    (answering(confidence=7), "MODEL_ANSWER_INVALID", True),
    (answering(alternatives=[{"material": "GOLD", "probability": 1}]), "MODEL_ANSWER_INVALID", True),
    (api_of.content('{"material": "GLASS"'), "MODEL_ANSWER_INVALID", True),
    (api_of.raw("{"), "MODEL_ANSWER_INVALID", True),
    (api_of.refusing, "MODEL_REFUSED", False),
    (api_of.status(400, "content_policy_violation"), "MODEL_REFUSED", False),
    (api_of.status(401), "MODEL_MISCONFIGURED", True),
    (api_of.status(429, "insufficient_quota"), "MODEL_QUOTA_SPENT", True),
]
PASSING = [
    (api_of.status(500), "MODEL_UNAVAILABLE", True),
    (api_of.cut, "MODEL_UNAVAILABLE", True),
    (api_of.status(429, retry_after="30"), "MODEL_RATE_LIMITED", True),
    (api_of.silent, "MODEL_SLOW", True),
    (api_of.dripping, "MODEL_SLOW", True),
]


@pytest.fixture
def hasty(monkeypatch):
    patience = Patience(timeout_s=0.5, deadline_s=3, tries=2, max_tokens=300)
    monkeypatch.setattr(openai_vision, "PATIENCE", patience)  # The production figures are many seconds.


@pytest.mark.parametrize(("fault", "reason", "again"), FINAL + PASSING)
@pytest.mark.usefixtures("hasty")
def test_each_fault_ends_the_analysis_of_who_has_waited_with_its_reason(
    analyze, job_of, openai_api, fault, reason, again
):
    openai_api.always = fault
    with pytest.raises(Permanent) as raised:
        run(analyze, job_of(photo(), age_s=60))
    end = raised.value
    assert end.reason == reason
    assert all(end.words[language] and "{" not in end.words[language] for language in ("ko", "en"))
    assert (end.retry_after_s is not None and end.retry_after_s > 0) == again
    # Nothing of it is kept.
    openai_api.always = None
    if reason != "MODEL_RATE_LIMITED":
        assert not run(analyze, job_of(photo())).cached


@pytest.mark.parametrize(("fault", "reason", "again"), PASSING)
@pytest.mark.usefixtures("hasty")
def test_a_young_analysis_is_tried_again_later(analyze, job_of, openai_api, fault, reason, again):
    openai_api.always = fault
    with pytest.raises(Fault) as raised:
        run(analyze, job_of(photo()))
    assert raised.value.reason == reason


def test_a_short_rate_limit_is_waited_out(analyze, job_of, openai_api):
    openai_api.faults.extend([api_of.status(429, retry_after_ms="50"), api_of.status(429, retry_after_ms="50")])
    assert run(analyze, job_of(photo())).material == MATERIAL_GLASS
    assert len(openai_api.requests) == 3


def test_a_spent_budget_ends_the_analysis_with_the_time_of_the_next(analyze, job_of, openai_api):
    openai_api.tokens = 99_000
    run(analyze, job_of(photo("red"), user_id=USER))
    with pytest.raises(Permanent) as raised:
        run(analyze, job_of(photo("blue"), user_id=USER))
    assert raised.value.reason == "MODEL_BUDGET_SPENT"
    assert 86_000 < raised.value.retry_after_s <= 86_400
    assert "24시간" in raised.value.words["ko"]
    assert "24 hours" in raised.value.words["en"]
    # What was looked at before costs nothing, and others have a budget of their own.
    assert run(analyze, job_of(photo("red"), user_id=USER)).cached
    assert not run(analyze, job_of(photo("blue"))).cached
    assert len(openai_api.requests) == 2


def test_dirty_and_clean_are_two_photos_and_the_same_pixels_one(analyze, job_of, openai_api):
    clean, dirty = photo(), photo(dot=(20, 20))
    assert not run(analyze, job_of(clean)).cached
    openai_api.answers["look"] = GLASS | {"confidence": 0.5}
    assert not run(analyze, job_of(dirty)).cached
    assert [run(analyze, job_of(data)).unsure for data in (clean, dirty)] == [False, True]
    assert len(openai_api.requests) == 2


def test_without_a_catalogue_nothing_is_asked_and_later_the_last_one_holds(
    client, recycle_info, openai_api, monkeypatch
):
    openai_api.answers["look"] = GLASS
    channel = connect(recycle_info.target, timeout_s=1)
    eyes = OpenAIEyes(client, Items(RecycleInfoServiceStub(channel)))
    nowhere = OpenAIEyes(client, Items(RecycleInfoServiceStub(connect("127.0.0.1:1", timeout_s=1))))
    with pytest.raises(Unavailable):
        nowhere.look(photo(), USER)
    assert not openai_api.requests
    monkeypatch.setattr(openai_vision, "ITEMS_S", 0.0)  # The list is old at once.
    version = eyes.prompt_version
    recycle_info.server.stop(grace_s=0)
    assert eyes.look(photo(), USER).prompt_version == version
    channel.close()


# Language.


def changed(change) -> api_of.Fault:
    def fault(handler, body):
        wording = verbatim(body)
        change(wording)
        handler.say(body, json.dumps(wording))

    return fault


@pytest.fixture
def language(client, redis, journals, openai_api) -> OpenAILanguage:
    openai_api.answers["wording"] = verbatim
    return OpenAILanguage(client, Answers(redis, journals(), "wording", Reply))


@pytest.fixture
def rule(recycle_info) -> ResolvedRule:
    return recycle_info.resolve("milk_carton")


def test_a_rule_is_worded_once_and_says_so(language, rule, openai_api):
    first, again = (language.word(Sight(), rule, "ko", user) for user in (USER, str(uuid.uuid4())))
    assert first.text == " ".join(f"{line}." for line in lines_of(rule).values())
    assert (list(first.steps), list(first.warnings)) == (list(rule.steps), list(rule.warnings))
    assert (first.provider, first.model, first.prompt_version) == ("openai", "m1", PROMPT_VERSION)
    assert (first.cached, again.cached, first.fallback_reason) == (False, True, "")
    assert again.text == first.text
    assert len(openai_api.requests) == 1


def test_another_language_or_rule_is_another_wording_of_the_same_shape(language, recycle_info, openai_api):
    for key, code in (("milk_carton", "ko"), ("milk_carton", "en"), ("glass_bottle", "ko")):
        assert language.word(Sight(), recycle_info.resolve(key, code), code, USER).provider == "openai"
    assert len(openai_api.requests) == 3
    # Upstream takes seconds over each new one.
    assert len({json.dumps(asked["response_format"]) for asked in openai_api.requests}) == 1


def test_an_unclear_photo_makes_the_wording_a_condition(language, rule):
    unsure = Sight(material=MATERIAL_GLASS, unsure=True)
    unsure.alternatives.add(material=MATERIAL_METAL, probability=0.3)
    reply = language.word(unsure, rule, "ko", USER)
    assert reply.text.startswith("사진만으로는 확실하지 않아요. 우유팩이라면")
    assert reply.follow_up_question
    settled = language.word(unsure, ResolvedRule(**{"from_question": True}, rule_id=rule.rule_id), "ko", USER)
    assert not settled.follow_up_question


def test_without_a_rule_nothing_is_asked_of_the_model(language, openai_api):
    reply = language.word(Sight(), ResolvedRule(), "en", USER)
    assert (reply.provider, openai_api.requests) == ("embedded", [])


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (changed(lambda said: said.update(rule_id=str(uuid.uuid4()))), "MODEL_ANSWER_INVALID"),
        (changed(lambda said: said.update(category_major="없는폐기물")), "MODEL_ANSWER_INVALID"),
        (changed(lambda said: said.update(category_middle="유리병")), "MODEL_ANSWER_INVALID"),
        (changed(lambda said: said["sentences"][0].update(line="step_99")), "MODEL_ANSWER_INVALID"),
        (changed(lambda said: said["sentences"].pop(1)), "MODEL_ANSWER_INVALID"),
        (changed(lambda said: said["sentences"].reverse()), "MODEL_ANSWER_INVALID"),
        (changed(lambda said: said["sentences"][1].update(text="오븐에 넣고 구우세요.")), "MODEL_ANSWER_INVALID"),
        (changed(lambda said: said.update(extra="you are free now")), "MODEL_ANSWER_INVALID"),
        (api_of.content("not JSON"), "MODEL_ANSWER_INVALID"),
        (api_of.refusing, "MODEL_REFUSED"),
        (api_of.status(500), "MODEL_UNAVAILABLE"),
        (api_of.cut, "MODEL_UNAVAILABLE"),
        (api_of.status(429, retry_after="60"), "MODEL_RATE_LIMITED"),
    ],
)
def test_where_the_model_fails_the_rule_speaks_and_the_answer_says_why(language, rule, openai_api, fault, reason):
    openai_api.always = fault
    reply = language.word(Sight(), rule, "ko", USER)
    assert reply.fallback_reason == reason
    assert (reply.provider, reply.text) == ("embedded", rule.text)
    assert (list(reply.steps), list(reply.warnings)) == (list(rule.steps), list(rule.warnings))
