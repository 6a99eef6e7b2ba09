"""Erasing a user, exactly, although workers and clients go on meanwhile.

- A tombstone comes first, so that no image can be announced any more (rpc.Waste.CreateImage).
- The originals go before what was made of them, and a worker that has made something looks whether its original is
  still there (workers/storage/image_uploader.py): whichever of the two comes last removes it.
- A URL to upload to that is already out works for a quarter of an hour. `sweep` removes what comes in by it; until then
  only the id's hash is kept.

Every step may be repeated, and a call that is cut off goes on where it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from uuid import UUID

from services.kit import tombstones
from services.kit.cache import Board
from services.kit.database import Database
from services.kit.objects import LATE, Bucket
from services.waste import erase_store, removal_store
from services.waste.keys import THUMBNAIL, UPLOADS, progress_key

log = logging.getLogger(__name__)

BATCH = 500
# How often late uploads are looked for, while any are possible.
SWEEP_S = 60.0


class Eraser:
    """upload_s: how long a URL to upload to lives. now: the time, with its zone."""

    def __init__(self, database: Database, bucket: Bucket, board: Board, upload_s: float, now: Callable[[], datetime]):
        self._database, self._bucket, self._board = database, bucket, board
        self._upload_s, self._now = upload_s, now

    def erase(self, user_id: UUID) -> int:
        """How much has been removed of this user, by this call and earlier ones."""
        with self._database.writing() as tx:
            tombstones.bury(tx, user_id)
        with self._database.writing() as tx:
            # After the burial, so that it sees the last image.
            erase_store.expect_late_uploads(tx, user_id, tombstones.digest(user_id), self._upload_s, self._now())
        removed = self._remove_objects(str(user_id)) + self._remove_deleted(user_id)
        with self._database.writing() as tx:
            tombstones.count_removed(tx, user_id, removed)
        while self._remove_images(user_id):
            pass
        with self._database.writing() as tx:
            # Last, since an analysis of an image can begin as long as there is its row.
            removed = erase_store.delete_messages_of(tx, user_id)
            erase_store.delete_days(tx, user_id)
            return tombstones.count_removed(tx, user_id, removed)

    def sweep(self) -> bool:
        """Remove what was uploaded for erased users after they were."""
        now = self._now()
        with self._database.reading() as connection:
            late = {row.hash: row.expires_at for row in erase_store.list_late_uploads(connection)}
        if late:
            for folder in self._bucket.list_folders(UPLOADS):
                if _digest(folder) in late:
                    log.info("removed %d late uploads", self._remove_objects(folder))
            with self._database.writing() as tx:
                # Only those whose last possible upload was there to be seen.
                erase_store.delete_late_uploads(tx, [hash for hash, until in late.items() if until + LATE < now])
        return False

    def _remove_objects(self, user_id: str) -> int:
        folder = f"{UPLOADS}{user_id}/"
        originals = [key for key in self._bucket.list_keys(folder) if "/original." in key]
        removed = self._bucket.delete(originals)
        # Of late uploads nothing else knows the images.
        self._remove_thumbnails(key.split("/")[2] for key in originals)
        # Listed again, since until now more could be made of the originals. The last one names the folder itself, which
        # may be all that is left.
        return removed + self._bucket.delete([*self._bucket.list_keys(folder), folder]) - 1

    def _remove_deleted(self, user_id: UUID) -> int:
        """What is left of photos that they deleted themselves (removal.py); how many rows."""
        with self._database.reading() as connection:
            images = removal_store.list_removals_of(connection, user_id)
        self._remove_thumbnails(images)
        with self._database.writing() as tx:
            return removal_store.delete_removals(tx, images)

    def _remove_images(self, user_id: UUID) -> bool:
        """One batch of rows with what belongs to them elsewhere; False when there was none."""
        with self._database.reading() as connection:
            images = erase_store.list_images(connection, user_id, BATCH)
        self._remove_thumbnails(images)
        with self._database.writing() as tx:
            erase_store.lock_images(tx, images)
            analyses = erase_store.list_analyses_of(tx, images)
            removed = self._board.remove(map(progress_key, analyses))
            removed += erase_store.delete_images(tx, images, analyses)
            tombstones.count_removed(tx, user_id, removed)
        return bool(images)

    def _remove_thumbnails(self, images: Iterable[object]) -> None:
        # Of all images, since a worker may have made one that it has not told of.
        self._bucket.delete(THUMBNAIL.format(image_id=image_id) for image_id in images)


def _digest(folder: str) -> bytes | None:
    try:
        return tombstones.digest(UUID(folder))
    except ValueError:
        return None
