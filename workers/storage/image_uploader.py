"""Stage user_input: the upload is checked, cleaned and kept, with a thumbnail and the hash of its pixels."""

from __future__ import annotations

import hashlib

from eco2.pipeline.v1.messages_pb2 import AnalysisJob, CleanImage
from eco2.waste.v1.internal_pb2 import Outcome

from services.kit.errors import NotFound, ResourceExhausted
from services.kit.objects import Bucket
from workers.stages import Permanent, Progress
from workers.storage import photo

GONE = (
    "IMAGE_NOT_FOUND",
    {"ko": "사진을 찾을 수 없어요. 다시 올려 주세요.", "en": "The photo is gone. Please upload it again."},
)


class ImageUploader:
    def __init__(self, objects: Bucket):
        self._objects = objects

    def run(self, job: AnalysisJob, progress: Progress) -> Outcome:
        try:
            uploaded = self._objects.get(job.image_key, photo.MAX_BYTES)
        except NotFound:
            # Perhaps since an attempt that died here, so what that one made goes too.
            self._remove(job)
            raise Permanent(*GONE) from None
        except ResourceExhausted:
            raise Permanent(*photo.TOO_LARGE) from None
        progress(30)
        made = photo.clean(uploaded)
        progress(70)
        image = CleanImage(
            object_key=clean_key(job),
            thumbnail_key=thumbnail_key(job),
            sha256=hashlib.sha256(made.clean).digest(),
            width=made.width,
            height=made.height,
            size_bytes=len(made.clean),
        )
        self._objects.put(image.object_key, made.clean, "image/jpeg")
        self._objects.put(image.thumbnail_key, made.thumbnail, "image/jpeg")
        # Whoever erases the user removes the original first. If that has happened, it is for us to remove the rest.
        if self._objects.find_size(job.image_key) is None:
            self._remove(job)
            raise Permanent(*GONE)
        return Outcome(image=image)

    def _remove(self, job: AnalysisJob) -> None:
        self._objects.delete([clean_key(job), thumbnail_key(job)])


def clean_key(job: AnalysisJob) -> str:
    return f"uploads/{job.user_id}/{job.image_id}/clean.jpg"


def thumbnail_key(job: AnalysisJob) -> str:
    return f"thumbnails/{job.image_id}.jpg"
