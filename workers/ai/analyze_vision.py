"""Stage vision_analysis: what is on the clean photo. The same pixels are looked at once."""

from __future__ import annotations

import logging

import redis
from eco2.pipeline.v1.messages_pb2 import AnalysisJob, Sight
from eco2.waste.v1.internal_pb2 import Outcome
from google.protobuf import json_format

from services.kit import cache
from services.kit.errors import Unavailable
from services.kit.objects import Bucket
from workers.ai.providers import Vision
from workers.journal import Journal
from workers.stages import Progress

log = logging.getLogger(__name__)

# Redis database 2, shared by all workers; the journal keeps answers when Redis is away or has lost them.
CACHE_DB, CACHE_S = 2, 7 * 24 * 3600
MAX_BYTES = 8 << 20
JOURNAL_S = 5.0


class SightCache:
    """Sights by the hash of the photo and the model that looked: in Redis first, then in the journal."""

    def __init__(self, client: redis.Redis, journal: Journal):
        self._client, self._journal = client, journal

    def find(self, sha256: bytes, model: str) -> Sight | None:
        try:
            with cache.reaching():
                text = self._client.get(_key(sha256, model))
            if text:
                return json_format.Parse(text, Sight())
        except (Unavailable, json_format.ParseError) as error:
            log.warning("the shared cache gives nothing: %s", error)
        stored = self._journal.find_cached(sha256, model).result(JOURNAL_S)
        if stored is None:
            return None
        sight = Sight.FromString(stored)
        self._share(sha256, model, sight)
        return sight

    def keep(self, sha256: bytes, model: str, sight: Sight) -> None:
        self._journal.cache(sha256, model, sight.SerializeToString())
        self._share(sha256, model, sight)

    def _share(self, sha256: bytes, model: str, sight: Sight) -> None:
        try:
            with cache.reaching():
                self._client.set(_key(sha256, model), json_format.MessageToJson(sight, indent=None), ex=CACHE_S)
        except Unavailable as fault:
            log.warning("a sight is not shared: %s", fault.message)


def _key(sha256: bytes, model: str) -> str:
    return f"vision:{model}:{sha256.hex()}"


class AnalyzeVision:
    def __init__(self, objects: Bucket, vision: Vision, sights: SightCache):
        self._objects, self._vision, self._sights = objects, vision, sights

    def run(self, job: AnalysisJob, progress: Progress) -> Outcome:
        sight = self._sights.find(job.image.sha256, self._vision.model)
        if sight is None:
            photo = self._objects.get(job.image.object_key, MAX_BYTES)
            progress(40)
            sight = self._vision.look(photo)
            self._sights.keep(job.image.sha256, self._vision.model, sight)
        else:
            sight.cached = True
        progress(80)
        return Outcome(sight=sight)
