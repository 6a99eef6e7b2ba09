"""Sessions and passwords of somebody who is logged in, and how a log-out is heard everywhere."""

import dataclasses
import uuid
from concurrent import futures

import pytest
from eco2.auth.v1 import account_pb2 as account_pb
from eco2.auth.v1 import auth_pb2 as pb

from services.auth.chores import Herald, Purge
from services.auth.throttle import Limit
from services.kit import errors
from services.kit.chores import Chore
from tests.conftest import eventually
from tests.services.auth.conftest import LIMITS, PASSWORD, bearing, claims_of, from_address, login, refresh, register

NEW = "a better password"
PHONE = from_address("198.51.100.7")


def list_sessions(replica, tokens, **request):
    return replica.account.ListSessions(account_pb.ListSessionsRequest(**request), metadata=bearing(tokens))


def revoke(replica, tokens, session_id: str):
    request = account_pb.RevokeSessionRequest(session_id=session_id)
    return replica.account.RevokeSession(request, metadata=bearing(tokens))


def revoke_others(replica, tokens) -> int:
    request = account_pb.RevokeOtherSessionsRequest()
    return replica.account.RevokeOtherSessions(request, metadata=bearing(tokens)).revoked_count


def change(replica, tokens, current=PASSWORD, new=NEW):
    request = account_pb.ChangePasswordRequest(current_password=current, new_password=new)
    return replica.account.ChangePassword(request, metadata=bearing(tokens))


def ended(replica, tokens) -> bool:
    """Whether an access token is refused because its session has ended."""
    try:
        list_sessions(replica, tokens)
    except errors.Unauthenticated as refusal:
        return refusal.reason == "SESSION_ENDED"
    return False


def sid(tokens) -> str:
    return claims_of(tokens.access_token)["sid"]


def test_sessions_are_listed_newest_first_with_their_devices(replica, clock):
    first = register(replica.auth, metadata=PHONE).tokens
    begun = clock.now
    clock.advance(hours=1)
    second = login(replica.auth).tokens
    register(replica.auth, "other", "other@example.com")
    clock.advance(hours=1)
    refresh(replica.auth, first.refresh_token)
    newest, oldest = list_sessions(replica, second).sessions
    assert (newest.session_id, newest.current, oldest.current) == (sid(second), True, False)
    assert (oldest.session_id, oldest.address) == (sid(first), "198.51.100.7")
    assert oldest.user_agent.startswith("grpc-python/")
    assert oldest.create_time.ToDatetime(begun.tzinfo) == begun
    assert oldest.last_use_time.ToDatetime(begun.tzinfo) == clock.now
    assert (oldest.expire_time.ToDatetime(begun.tzinfo) - clock.now).days == 30


def test_sessions_come_in_pages(replica, clock):
    tokens = [register(replica.auth).tokens]
    for _ in range(6):
        clock.advance(seconds=1)
        tokens.append(login(replica.auth).tokens)
    found, page_token = [], ""
    while True:
        page = list_sessions(replica, tokens[0], page_size=3, page_token=page_token)
        found += [session.session_id for session in page.sessions]
        page_token = page.next_page_token
        if not page_token:
            break
    assert found == [sid(each) for each in reversed(tokens)]
    other = register(replica.auth, "other", "other@example.com").tokens
    token = list_sessions(replica, tokens[0], page_size=3).next_page_token
    for bad in ({"page_size": -1}, {"page_token": "nonsense"}):
        with pytest.raises(errors.InvalidArgument) as caught:
            list_sessions(replica, tokens[0], **bad)
        assert caught.value.violations[0][0] == next(iter(bad))
    with pytest.raises(errors.InvalidArgument):
        list_sessions(replica, other, page_token=token)


def test_what_has_ended_is_not_listed(replica, clock):
    first, second = register(replica.auth).tokens, login(replica.auth).tokens
    replica.auth.Logout(pb.LogoutRequest(refresh_token=second.refresh_token))
    assert [each.session_id for each in list_sessions(replica, first).sessions] == [sid(first)]
    clock.advance(days=31)
    last = login(replica.auth).tokens
    assert [each.session_id for each in list_sessions(replica, last).sessions] == [sid(last)]


def test_a_log_out_is_heard_by_every_replica_at_once(start):
    replicas = [start() for _ in range(3)]
    eventually(lambda: all(each.revocations._current.is_set() for each in replicas))
    stays = register(replicas[0].auth).tokens
    for round in range(20):
        leaves = login(replicas[0].auth).tokens
        assert not any(ended(each, leaves) for each in replicas)
        replicas[round % 3].auth.Logout(pb.LogoutRequest(refresh_token=leaves.refresh_token))
        assert all(ended(each, leaves) for each in replicas)
    assert not any(ended(each, stays) for each in replicas)


def test_a_session_is_revoked_by_its_owner_only_and_the_present_one_too(replica):
    mina, phone = register(replica.auth).tokens, login(replica.auth).tokens
    other = register(replica.auth, "other", "other@example.com").tokens
    for unknown in (sid(mina), str(uuid.uuid4())):
        with pytest.raises(errors.NotFound) as caught:
            revoke(replica, other, unknown)
        assert caught.value.reason == "SESSION_NOT_FOUND"
    assert not ended(replica, mina)
    for _ in range(2):
        revoke(replica, mina, sid(phone))
    assert ended(replica, phone)
    with pytest.raises(errors.Unauthenticated) as caught:
        refresh(replica.auth, phone.refresh_token)
    assert caught.value.reason == "REFRESH_TOKEN_INVALID"
    revoke(replica, mina, sid(mina))
    assert ended(replica, mina)
    assert not ended(replica, other)
    with pytest.raises(errors.InvalidArgument) as caught:
        revoke(replica, other, "7")
    assert caught.value.violations[0][0] == "session_id"


def test_all_others_are_revoked_at_once(replica):
    mina, *others = register(replica.auth).tokens, login(replica.auth).tokens, login(replica.auth).tokens
    bystander = register(replica.auth, "other", "other@example.com").tokens
    assert revoke_others(replica, mina) == 2
    assert [ended(replica, each) for each in (mina, *others, bystander)] == [False, True, True, False]
    assert revoke_others(replica, mina) == 0


def test_reuse_of_a_refresh_token_ends_its_access_tokens_too(replica, clock):
    stolen, other = register(replica.auth).tokens, login(replica.auth).tokens
    successor = replica.auth.Refresh(pb.RefreshRequest(refresh_token=stolen.refresh_token)).tokens
    clock.advance(seconds=11)
    assert not ended(replica, successor)
    with pytest.raises(errors.Unauthenticated) as caught:
        refresh(replica.auth, stolen.refresh_token)
    assert caught.value.reason == "REFRESH_TOKEN_REUSED"
    assert ended(replica, successor)
    assert not ended(replica, other)


def test_nobody_without_a_token_gets_in(replica):
    calls = {
        "ListSessions": account_pb.ListSessionsRequest(),
        "RevokeSession": account_pb.RevokeSessionRequest(session_id=str(uuid.uuid4())),
        "RevokeOtherSessions": account_pb.RevokeOtherSessionsRequest(),
        "ChangePassword": account_pb.ChangePasswordRequest(current_password=PASSWORD, new_password=NEW),
        "ListIdentities": account_pb.ListIdentitiesRequest(),
        "LinkIdentity": account_pb.LinkIdentityRequest(provider="kakao", code_challenge="x" * 43),
        "ConfirmIdentity": account_pb.ConfirmIdentityRequest(code="x", code_verifier="x" * 43),
        "UnlinkIdentity": account_pb.UnlinkIdentityRequest(provider="kakao"),
    }
    assert set(calls) == set(account_pb.DESCRIPTOR.services_by_name["AccountService"].methods_by_name)
    for name, request in calls.items():
        with pytest.raises(errors.Unauthenticated) as caught:
            getattr(replica.account, name)(request)
        assert caught.value.reason == "TOKEN_MISSING"


def test_a_changed_password_ends_the_other_sessions(replica):
    mina, phone = register(replica.auth).tokens, login(replica.auth).tokens
    change(replica, mina)
    assert not ended(replica, mina)
    assert ended(replica, phone)
    assert login(replica.auth, password=NEW)
    with pytest.raises(errors.Unauthenticated):
        login(replica.auth)


@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        ({"current": "incorrect horse"}, "current_password", "WRONG_PASSWORD"),
        ({"current": ""}, "current_password", "INVALID_FIELD"),
        ({"new": "short"}, "new_password", "INVALID_FIELD"),
    ],
)
def test_a_password_is_not_changed_by_bad_input(replica, given, field, reason):
    mina = register(replica.auth).tokens
    with pytest.raises(errors.InvalidArgument) as caught:
        change(replica, mina, **given)
    assert (caught.value.reason, caught.value.violations[0][0]) == (reason, field)
    assert login(replica.auth)


def test_of_two_changes_at_once_one_counts(start):
    replicas = [start(), start()]
    mina = register(replicas[0].auth).tokens
    passwords = ["the first password", "the second password"]

    def attempt(number: int) -> bool:
        try:
            change(replicas[number], mina, new=passwords[number])
        except errors.InvalidArgument:
            return False
        return True

    with futures.ThreadPoolExecutor(2) as threads:
        done = list(threads.map(attempt, range(2)))
    assert any(done)
    assert login(replicas[0].auth, password=passwords[done.index(True)] if sum(done) == 1 else passwords[1])


def test_guessing_the_present_password_is_throttled_too(start):
    replica = start(limits=dataclasses.replace(LIMITS, login_account=Limit("3/900")))
    mina = register(replica.auth).tokens
    for _ in range(3):
        with pytest.raises(errors.InvalidArgument):
            change(replica, mina, current="incorrect horse")
    with pytest.raises(errors.ResourceExhausted) as caught:
        change(replica, mina)
    assert caught.value.reason == "TOO_MANY_ATTEMPTS"
    # The counter is the account's, so it holds for logging in as well.
    with pytest.raises(errors.ResourceExhausted):
        login(replica.auth)


def test_an_account_without_a_password_is_told_so(replica, owner):
    mina = register(replica.auth).tokens
    owner.execute("UPDATE auth.users SET password_hash = NULL")
    with pytest.raises(errors.FailedPrecondition) as caught:
        change(replica, mina)
    assert caught.value.reason == "NO_PASSWORD"
    with pytest.raises(errors.Unauthenticated):
        login(replica.auth)


def test_while_redis_is_away_a_log_out_says_so_and_is_heard_when_it_is_back(start, servers, clock):
    replica, other = start(), start()
    mina, phone = register(replica.auth).tokens, login(replica.auth).tokens
    herald = Chore("herald", Herald(replica.db, replica.revocations, clock).announce, period_s=0.1).start()
    try:
        servers.stop("redis")
        with pytest.raises(errors.Unavailable):
            replica.auth.Logout(pb.LogoutRequest(refresh_token=phone.refresh_token))
        # Who is logged in goes on; nobody can guess passwords meanwhile.
        assert not ended(other, mina)
        assert refresh(replica.auth, mina.refresh_token)
        with pytest.raises(errors.Unavailable):
            login(replica.auth)
        servers.start("redis")
        servers.wait_ready("redis")
        eventually(lambda: ended(other, phone) and ended(replica, phone))
        replica.auth.Logout(pb.LogoutRequest(refresh_token=phone.refresh_token))
        assert not ended(other, mina)
    finally:
        herald.close()
        servers.start("redis")
        servers.wait_ready("redis")


def test_what_a_server_committed_and_did_not_announce_is_announced_by_another(start, owner, clock):
    replica, other = start(), start()
    mina = register(replica.auth).tokens
    owner.execute("UPDATE auth.sessions SET revoked_at = %s", [clock.now])
    assert not ended(other, mina)
    Herald(other.db, other.revocations, clock).announce()
    assert ended(replica, mina)
    assert ended(other, mina)


def test_what_has_expired_is_deleted_and_nothing_else(replica, owner, clock):
    def count(table: str) -> int:
        return owner.execute(f"SELECT count(*) FROM auth.{table}").fetchone()[0]

    purge = Purge(replica.db, clock)
    first = register(replica.auth).tokens
    left = login(replica.auth).tokens
    replica.auth.Logout(pb.LogoutRequest(refresh_token=left.refresh_token))
    clock.advance(days=20)
    second = refresh(replica.auth, first.refresh_token)
    assert not purge.purge()
    assert (count("sessions"), count("refresh_tokens")) == (1, 2)
    clock.advance(days=20)
    assert not purge.purge()
    # The first token has expired; its successor goes on, as does its session.
    assert (count("sessions"), count("refresh_tokens"), count("users")) == (1, 1, 1)
    assert refresh(replica.auth, second)
    clock.advance(days=31)
    assert not purge.purge()
    assert (count("sessions"), count("refresh_tokens"), count("users")) == (0, 0, 1)
