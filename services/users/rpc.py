"""UsersService for the person, ErasureService for who was one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from eco2.users.v1 import erasure_pb2, erasure_pb2_grpc
from eco2.users.v1 import users_pb2 as pb
from eco2.users.v1 import users_pb2_grpc as pb_grpc

from services.kit import tombstones
from services.kit.caller import get_caller
from services.kit.database import Database
from services.kit.errors import NotFound, invalid
from services.kit.objects import Bucket
from services.users import erasure_store, store
from services.users.erasure import Eraser
from services.users.people import UPLOAD_S, People, avatar_key

DOWNLOAD_S = 900
# As the columns' defaults.
SETTINGS = {"notification_enabled": True, "language": "ko", "theme": "light"}


class Users(pb_grpc.UsersServiceServicer):
    """now: the time, with its zone."""

    def __init__(self, database: Database, bucket: Bucket, people: People, eraser: Eraser, now: Callable[[], datetime]):
        self._database, self._bucket, self._people = database, bucket, people
        self._eraser, self._now = eraser, now

    def GetProfile(self, request, context):
        return pb.GetProfileResponse(profile=self._profile(get_caller(context).user_id))

    def UpdateProfile(self, request, context):
        user_id = get_caller(context).user_id
        changes = _changes(request.profile, request.update_mask, ("nickname", "bio"))
        if not changes.get("nickname", "-"):
            raise invalid("profile.nickname", "must not be empty")
        self._people.get(user_id)
        if changes:
            with self._database.writing() as tx:
                store.update_profile(tx, user_id, changes, self._now())
        return pb.UpdateProfileResponse(profile=self._profile(user_id))

    def DeleteAccount(self, request, context):
        given = UUID(request.request_id) if request.request_id else None
        erasure_id = self._eraser.begin(get_caller(context).user_id, given)
        self._eraser.hurry(erasure_id)
        return pb.DeleteAccountResponse(erasure=get_erasure(self._database, erasure_id))

    def GetSettings(self, request, context):
        return pb.GetSettingsResponse(settings=self._settings(get_caller(context).user_id))

    def UpdateSettings(self, request, context):
        user_id = get_caller(context).user_id
        changes = _changes(request.settings, request.update_mask, SETTINGS)
        changes |= {name: SETTINGS[name] for name in changes if not request.settings.HasField(name)}
        if changes:
            with self._database.writing() as tx:
                tombstones.check_alive(tx, user_id)
                store.sync_settings(tx, user_id, changes, self._now())
        return pb.UpdateSettingsResponse(settings=self._settings(user_id))

    def CreateAvatar(self, request, context):
        user_id = get_caller(context).user_id
        avatar_id, put = self._people.announce(user_id, request.content_type, request.size_bytes, request.sha256)
        expire = self._now() + timedelta(seconds=UPLOAD_S)
        upload = pb.AvatarUpload(url=put.url, method="PUT", headers=put.headers, expire_time=expire)
        return pb.CreateAvatarResponse(avatar_id=str(avatar_id), upload=upload)

    def ConfirmAvatar(self, request, context):
        user_id = get_caller(context).user_id
        self._people.show(user_id, UUID(request.avatar_id))
        return pb.ConfirmAvatarResponse(profile=self._profile(user_id))

    def DeleteAvatar(self, request, context):
        user_id = get_caller(context).user_id
        self._people.get(user_id)
        self._people.hide(user_id)
        return pb.DeleteAvatarResponse(profile=self._profile(user_id))

    def _profile(self, user_id: UUID) -> pb.Profile:
        row = self._people.get(user_id)
        return pb.Profile(
            user_id=str(row.user_id),
            username=row.username,
            nickname=row.nickname,
            bio=row.bio,
            avatar_url=self._bucket.presign_get(avatar_key(row.avatar_id), DOWNLOAD_S) if row.avatar_id else "",
            create_time=row.created_at,
            update_time=row.updated_at,
        )

    def _settings(self, user_id: UUID) -> pb.Settings:
        with self._database.reading() as connection:
            row = store.find_settings(connection, user_id)
        if row is None:
            return pb.Settings(**SETTINGS)
        shown = {name: getattr(row, name) for name in SETTINGS}
        return pb.Settings(**shown, update_time=row.updated_at)


class Erasures(erasure_pb2_grpc.ErasureServiceServicer):
    def __init__(self, database: Database):
        self._database = database

    def GetErasure(self, request, context):
        return erasure_pb2.GetErasureResponse(erasure=get_erasure(self._database, UUID(request.erasure_id)))


def get_erasure(database: Database, erasure_id: UUID) -> erasure_pb2.Erasure:
    """Fails with NotFound (ERASURE_NOT_FOUND)."""
    with database.reading() as connection:
        row = erasure_store.find_erasure(connection, erasure_id)
        steps = erasure_store.list_steps(connection, erasure_id)
    if row is None:
        raise NotFound("no such erasure", reason="ERASURE_NOT_FOUND", erasure_id=erasure_id)
    return erasure_pb2.Erasure(
        erasure_id=str(row.id),
        state=erasure_pb2.ERASURE_STATE_ERASED if row.completed_at else erasure_pb2.ERASURE_STATE_RUNNING,
        request_time=row.requested_at,
        complete_time=row.completed_at,
        domains=[
            erasure_pb2.DomainErasure(
                domain=step.domain,
                removed_count=step.removed_count,
                attempt_count=step.attempts,
                erase_time=step.erased_at,
                confirm_time=step.confirmed_at,
            )
            for step in steps
        ],
    )


def _changes(message, mask, fields: Iterable[str]) -> dict[str, Any]:
    """What a PATCH asks for, by field: those that the mask names, "*" for all; without a mask those that are there."""
    paths = set(mask.paths) or {field for field in fields if message.HasField(field)}
    return {field: getattr(message, field) for field in fields if field in paths or "*" in paths}
