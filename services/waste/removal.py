"""Taking photos out of the object store, exactly, although workers and clients go on meanwhile: those that were
deleted, and those that nobody has had analysed.

The row in `removals` comes with the transaction that deletes the image. From then on `sweep` removes its objects, again
and again until nothing can be uploaded under its key any more. The original goes before what was made of it, so that a
worker that is making something finds it gone and removes that itself (workers/storage/image_uploader.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from services.kit import tombstones
from services.kit.database import Database
from services.kit.errors import TRANSIENT
from services.kit.objects import LATE, Bucket
from services.waste import removal_store
from services.waste.keys import THUMBNAIL

log = logging.getLogger(__name__)

BATCH = 500
SWEEP_S = 60.0
_FIRST = UUID(int=0)


class Remover:
    """upload_s: how long a URL to upload to lives. unused_s: after how long a photo goes that was not analysed. now:
    the time, with its zone."""

    def __init__(
        self, database: Database, bucket: Bucket, upload_s: float, unused_s: float, now: Callable[[], datetime]
    ):
        self._database, self._bucket, self._unused_s, self._now = database, bucket, unused_s, now
        self._until = timedelta(seconds=upload_s) + LATE

    def remove(self, image_id: UUID, s3_key: str) -> None:
        """At once, or with the next sweep when the store is away."""
        try:
            self._remove(image_id, s3_key)
        except TRANSIENT as fault:
            log.warning("the objects of %s are removed later: %s", image_id, fault.message)

    def sweep(self) -> bool:
        """Remove what may have come since, and forget the photos of which nothing can come any more."""
        while self._give_up() == BATCH:
            pass
        after = _FIRST
        while True:
            now = self._now()
            with self._database.reading() as connection:
                rows = removal_store.list_removals(connection, after, BATCH)
            if not rows:
                return False
            for row in rows:
                self._remove(row.image_id, row.s3_key)
            with self._database.writing() as tx:
                # Only those whose last possible upload was there to be seen.
                past = [row.image_id for row in rows if row.announced_at + self._until < now]
                removal_store.delete_removals(tx, past)
            after = rows[-1].image_id

    def _give_up(self) -> int:
        """A batch of photos that were not analysed becomes removals; how many. One that is analysed at this moment
        stays, or its analysis finds it gone."""
        with self._database.reading() as connection:
            rows = removal_store.list_unused(connection, self._unused_s, BATCH)
        if not rows:
            return 0
        with self._database.writing() as tx:
            # While somebody is erased nothing of theirs may move from one table to another.
            buried = tombstones.find_buried(tx, {row.user_id for row in rows})
            given_up = [row.id for row in rows if str(row.user_id) not in buried]
            return removal_store.delete_unused(tx, given_up)

    def _remove(self, image_id: UUID, s3_key: str) -> None:
        self._bucket.delete([s3_key])
        folder = s3_key.rpartition("/")[0] + "/"
        self._bucket.delete([*self._bucket.list_keys(folder), THUMBNAIL.format(image_id=image_id)])
