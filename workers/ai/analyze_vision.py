"""Stage vision_analysis: what is on the clean photo. The same pixels are looked at once."""

from __future__ import annotations

import hashlib
import time

from eco2.pipeline.v1.messages_pb2 import AnalysisJob, Sight
from eco2.waste.v1.internal_pb2 import Outcome

from services.kit.errors import Fault
from services.kit.objects import Bucket
from workers.ai.answers import Answers
from workers.ai.providers import Vision
from workers.ai.troubles import to_end
from workers.stages import Progress

MAX_BYTES = 8 << 20


def digest(image_sha256: bytes, prompt_version: str) -> bytes:
    """What the answer depends on beside the model. Similar is not the same: dirty and clean look alike."""
    return hashlib.sha256(image_sha256 + prompt_version.encode()).digest()


class AnalyzeVision:
    def __init__(self, objects: Bucket, vision: Vision, sights: Answers[Sight]):
        self._objects, self._vision, self._sights = objects, vision, sights

    def run(self, job: AnalysisJob, progress: Progress) -> Outcome:
        def look() -> Sight:
            photo = self._objects.get(job.image.object_key, MAX_BYTES)
            progress(40)
            return self._vision.look(photo, job.user_id)

        try:
            asked = digest(job.image.sha256, self._vision.prompt_version)
            sight, sight.cached = self._sights.get(asked, self._vision.model, look)
        except Fault as fault:
            end = to_end(fault, time.time() - job.create_time.ToSeconds())
            if end is fault:
                raise
            raise end from fault
        progress(80)
        return Outcome(sight=sight)
