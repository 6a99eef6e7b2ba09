"""What this domain keeps of a person: how it begins, the pictures in the object store, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import protovalidate
import uuid_utils.compat as uuids
from eco2.auth.v1.events_pb2 import UserRegistered
from eco2.auth.v1.internal_pb2 import GetRegistrationRequest
from eco2.auth.v1.internal_pb2_grpc import AuthInternalServiceStub

from services.kit import quotas, tombstones
from services.kit.broker import Delivery
from services.kit.database import Database
from services.kit.errors import FailedPrecondition, NotFound, ResourceExhausted
from services.kit.objects import LATE, Bucket, Put
from services.users import picture, store

UPLOAD_S = 900
# A picture that was announced and not confirmed is forgotten.
FORGOTTEN = timedelta(days=1)
TIDY_S, BATCH = 60.0, 200


class People:
    """most: how many pictures a user may have announced and not made the avatar. now: the time, with its zone."""

    def __init__(
        self,
        database: Database,
        bucket: Bucket,
        auth: AuthInternalServiceStub,
        most: int,
        now: Callable[[], datetime],
    ):
        self._database, self._bucket, self._auth, self._most, self._now = database, bucket, auth, most, now

    def keep(self, deliveries: Sequence[Delivery]) -> None:
        """Those of whom auth tells, in any order and any number of times."""
        registrations = [UserRegistered.FromString(delivery.body) for delivery in deliveries]
        for registration in registrations:
            protovalidate.validate(registration)
        self._keep(registrations)

    def get(self, user_id: UUID):
        """The row of a profile, made now when the event that makes it has not arrived.

        Fails with Unauthenticated (ACCOUNT_ERASED).
        """
        with self._database.reading() as connection:
            row = store.find_profile(connection, user_id)
        if row is None:
            try:
                self._keep([self._auth.GetRegistration(GetRegistrationRequest(user_id=str(user_id))).registration])
            except NotFound:
                raise tombstones.erased() from None
            with self._database.reading() as connection:
                row = store.find_profile(connection, user_id)
        if row is None:
            raise tombstones.erased()
        return row

    def announce(self, user_id: UUID, content_type: str, size_bytes: int, sha256: bytes) -> tuple[UUID, Put]:
        """Where to upload a picture. Fails with Unauthenticated (ACCOUNT_ERASED) and ResourceExhausted
        (TOO_MANY_UPLOADS)."""
        avatar_id, now = uuids.uuid7(), self._now()
        with self._database.writing() as tx:
            tombstones.check_alive(tx, user_id)
            quotas.lock(tx, user_id)
            store.create_avatar(tx, avatar_id, user_id, size_bytes, now)
            unused = store.count_unused(tx, user_id)
            room_s = (unused.oldest + FORGOTTEN - now).total_seconds() + TIDY_S
            quotas.check(unused.count, self._most, "pictures that are not shown", "TOO_MANY_UPLOADS", room_s)
        return avatar_id, self._bucket.presign_put(_upload(avatar_id), content_type, size_bytes, sha256, UPLOAD_S)

    def show(self, user_id: UUID, avatar_id: UUID) -> None:
        """Make an uploaded picture the avatar. Fails as ConfirmAvatar says."""
        profile = self.get(user_id)
        if profile.avatar_id == avatar_id:
            return
        with self._database.reading() as connection:
            row = store.find_avatar(connection, user_id, avatar_id)
        if row is None:
            raise _no_avatar(avatar_id)
        try:
            cleaned = picture.clean(self._bucket.get(_upload(avatar_id), row.size_bytes))
        except (NotFound, ResourceExhausted):
            if self.get(user_id).avatar_id == avatar_id:
                # Confirmed meanwhile by another call.
                return
            raise FailedPrecondition("the picture has not been uploaded yet", reason="AVATAR_NOT_UPLOADED") from None
        self._bucket.put(avatar_key(avatar_id), cleaned, "image/jpeg")
        with self._database.writing() as tx:
            # What is discarded meanwhile is removed later, with what we have just put there.
            shown = store.update_avatar(tx, user_id, avatar_id, self._now())
        if not shown:
            raise _no_avatar(avatar_id)
        self._bucket.delete([_upload(avatar_id)])

    def hide(self, user_id: UUID) -> None:
        with self._database.writing() as tx:
            store.update_avatar(tx, user_id, None, self._now())

    def tidy(self) -> bool:
        """Remove pictures that were discarded, once nobody can upload to them any more."""
        now = self._now()
        with self._database.writing() as tx:
            store.discard_forgotten(tx, now - FORGOTTEN, now)
        with self._database.reading() as connection:
            ids = store.list_discarded(connection, now - timedelta(seconds=UPLOAD_S) - LATE, BATCH)
        self._remove(ids)
        with self._database.writing() as tx:
            store.delete_avatars(tx, ids)
        return len(ids) == BATCH

    def erase(self, user_id: UUID) -> int:
        """How much has been removed of this user, who must have been buried, by this call and earlier ones."""
        with self._database.reading() as connection:
            self._remove(store.list_avatars(connection, user_id))
        with self._database.writing() as tx:
            # The rows of pictures stay, without the user, until late uploads have been removed too.
            return tombstones.count_removed(tx, user_id, store.delete_user(tx, user_id, self._now()))

    def _keep(self, registrations: Iterable[UserRegistered]) -> None:
        with self._database.writing() as tx:
            buried = tombstones.find_buried(tx, {each.user_id for each in registrations})
            store.sync_profiles(
                tx,
                [
                    (UUID(each.user_id), each.username, each.create_time.ToDatetime(UTC))
                    for each in registrations
                    if each.user_id.lower() not in buried
                ],
            )

    def _remove(self, avatars: Iterable[UUID]) -> None:
        self._bucket.delete(key(avatar_id) for avatar_id in avatars for key in (_upload, avatar_key))


def avatar_key(avatar_id: UUID) -> str:
    return f"avatars/{avatar_id}/avatar.jpg"


def _upload(avatar_id: UUID) -> str:
    return f"avatars/{avatar_id}/upload"


def _no_avatar(avatar_id: UUID) -> NotFound:
    return NotFound("no such picture", reason="AVATAR_NOT_FOUND", avatar_id=avatar_id)
