"""Profiles and settings: how they begin, and how they change."""

from __future__ import annotations

import pytest
import uuid_utils.compat as uuids
from eco2.users.v1 import users_pb2 as pb

from services.kit import errors
from tests.conftest import as_user, eventually
from tests.services.users.conftest import T0, event


def stored(users) -> list[tuple]:
    return users.owner.execute(
        "SELECT profiles.user_id, username, nickname, theme FROM users.profiles JOIN users.settings USING (user_id)"
    ).fetchall()


def test_a_registration_makes_profile_and_settings(users, relay, arrivals):
    ids = [users.register(name) for name in ("mina", "jun", "수아")]
    assert relay.relay() == 3
    eventually(lambda: len(stored(users)) == 3)
    assert {row[0] for row in stored(users)} == set(ids)
    shown = users.profile(ids[2])
    assert (shown.user_id, shown.username, shown.nickname, shown.bio, shown.avatar_url) == (
        str(ids[2]), "수아", "수아", "", ""
    )  # fmt: skip
    assert shown.create_time == shown.update_time
    assert shown.create_time.ToDatetime(T0.tzinfo) == T0
    assert users.owner.execute("SELECT count(*) FROM auth.registrations").fetchone() == (0,)


def test_the_owner_is_served_before_the_event_has_arrived_and_the_event_then_changes_nothing(users, relay, arrivals):
    user_id = users.register()
    assert users.profile(user_id).username == "mina"
    users.update(user_id, nickname="미나")
    users.prefer(user_id, theme="dark")
    assert relay.relay() == 1
    # Again, and between others.
    other = users.register("jun")
    for sent in relay._publisher.publish([event(user_id, "mina"), event(other, "jun"), event(user_id, "mina")]):
        sent.result(20)
    assert relay.relay() == 1
    eventually(lambda: (other, "jun", "jun", "light") in stored(users))
    assert users.profile(user_id).nickname == "미나"
    assert sorted(stored(users)) == sorted([(user_id, "mina", "미나", "dark"), (other, "jun", "jun", "light")])


def test_settings_can_be_changed_before_there_is_a_profile(users):
    user_id = users.register()
    assert users.prefer(user_id, notification_enabled=False).notification_enabled is False
    assert users.profile(user_id).nickname == "mina"
    assert users.settings(user_id).notification_enabled is False


def test_an_event_that_cannot_be_read_holds_up_no_other(users, relay, arrivals):
    bad = event("no id", "mina")
    [sent] = relay._publisher.publish([bad])
    sent.result(20)
    user_id = users.register()
    relay.relay()
    eventually(lambda: [row[0] for row in stored(users)] == [user_id])


def test_events_outlive_a_database_that_is_away(users, relay, arrivals, servers):
    user_id = users.register()
    relay.relay()
    servers.stop("postgres")
    servers.start("postgres")
    servers.wait_ready("postgres")
    eventually(lambda: users.profile(user_id).username == "mina")


def test_a_profile_changes_by_mask_or_by_what_is_there(users):
    user_id = users.register()
    before = users.profile(user_id)
    users.clock.advance(hours=1)
    changed = users.update(user_id, nickname="미나", bio="분리배출 고수")
    assert (changed.nickname, changed.bio, changed.username) == ("미나", "분리배출 고수", "mina")
    assert changed.update_time.ToDatetime() > before.update_time.ToDatetime()
    assert users.update(user_id, mask=["nickname"], nickname="Mina", bio="ignored").bio == "분리배출 고수"
    # Empty and there, and named and not there.
    assert users.update(user_id, bio="").bio == ""
    users.update(user_id, bio="x")
    assert users.update(user_id, mask=["bio"]).bio == ""
    everything = users.update(user_id, mask=["*"], nickname="M", username="other", avatar_url="https://elsewhere")
    assert (everything.nickname, everything.bio, everything.username, everything.avatar_url) == ("M", "", "mina", "")
    again = users.update(user_id)
    assert again == everything


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"nickname": " "}, "profile.nickname"),
        ({"nickname": "x" * 101}, "profile.nickname"),
        ({"bio": "x" * 501}, "profile.bio"),
        ({"mask": ["nickname"]}, "profile.nickname"),
        ({"mask": ["*"], "bio": "x"}, "profile.nickname"),
        ({"mask": ["username"], "username": "x"}, "update_mask"),
        ({"mask": ["nothing"]}, "update_mask"),
        ({"nickname": "a\0b"}, "profile.nickname"),
    ],
)
def test_a_bad_profile_names_its_field_and_changes_nothing(users, fields, field):
    user_id = users.register()
    before = users.profile(user_id)
    with pytest.raises(errors.InvalidArgument) as caught:
        users.update(user_id, **fields)
    assert [name for name, _ in caught.value.violations] == [field]
    assert users.profile(user_id) == before


def test_settings_begin_with_their_defaults_and_change_by_mask_or_by_what_is_there(users):
    user_id = users.register()
    first = users.settings(user_id)
    assert (first.notification_enabled, first.language, first.theme) == (True, "ko", "light")
    assert not first.HasField("update_time")
    off = users.prefer(user_id, notification_enabled=False)
    assert (off.notification_enabled, off.language, off.theme) == (False, "ko", "light")
    assert off.HasField("update_time")
    masked = users.prefer(user_id, mask=["language"], language="en", theme="dark")
    assert (masked.notification_enabled, masked.language, masked.theme) == (False, "en", "light")
    assert users.prefer(user_id, mask=["notification_enabled"]).notification_enabled is True
    reset = users.prefer(user_id, mask=["*"], theme="system")
    assert (reset.notification_enabled, reset.language, reset.theme) == (True, "ko", "system")
    assert users.settings(user_id) == reset == users.prefer(user_id)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"language": "fr"}, "settings.language"),
        ({"theme": ""}, "settings.theme"),
        ({"mask": ["update_time"]}, "update_mask"),
    ],
)
def test_a_bad_setting_names_its_field(users, fields, field):
    with pytest.raises(errors.InvalidArgument) as caught:
        users.prefer(users.register(), **fields)
    assert [name for name, _ in caught.value.violations] == [field]


def test_each_sees_and_changes_only_their_own(users):
    mina, jun = users.register("mina"), users.register("jun")
    users.update(mina, bio="mine")
    users.prefer(mina, theme="dark")
    assert (users.profile(jun).bio, users.settings(jun).theme) == ("", "light")


def test_without_a_token_nothing_is_told(users):
    for call, request in (
        (users.public.GetProfile, pb.GetProfileRequest()),
        (users.public.UpdateProfile, pb.UpdateProfileRequest()),
        (users.public.DeleteAccount, pb.DeleteAccountRequest()),
        (users.public.GetSettings, pb.GetSettingsRequest()),
        (users.public.UpdateSettings, pb.UpdateSettingsRequest()),
        (
            users.public.CreateAvatar,
            pb.CreateAvatarRequest(content_type="image/png", size_bytes=1, sha256=bytes(32)),
        ),
        (users.public.ConfirmAvatar, pb.ConfirmAvatarRequest(avatar_id=str(uuids.uuid7()))),
        (users.public.DeleteAvatar, pb.DeleteAvatarRequest()),
    ):
        with pytest.raises(errors.Unauthenticated) as caught:
            call(request)
        assert caught.value.reason == "TOKEN_MISSING"


def test_a_token_of_somebody_whom_nobody_knows_is_refused(users, user_id):
    for call in (users.profile, users.update):
        with pytest.raises(errors.Unauthenticated) as caught:
            call(user_id)
        assert caught.value.reason == "ACCOUNT_ERASED"
    with pytest.raises(errors.Unauthenticated):
        users.public.DeleteAvatar(pb.DeleteAvatarRequest(), metadata=as_user(user_id))
