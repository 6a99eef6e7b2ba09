"""How objects and what is in Redis are called. Workers know the same names: workers/storage/image_uploader.py,
progress.py, cancellations.py."""

from __future__ import annotations

UPLOADS = "uploads/"
ORIGINAL = UPLOADS + "{user_id}/{image_id}/original.{extension}"
THUMBNAIL = "thumbnails/{image_id}.jpg"

# The stream that tells workers which analyses have been cancelled, or deleted under way.
CANCELLED = "cancelled"


def progress_key(analysis_id: object) -> str:
    """Of the hash in Redis that says how far an analysis is."""
    return f"analysis:{analysis_id}"
