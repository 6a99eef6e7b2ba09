"""Linking accounts at providers to one's own, and what somebody with other intentions can make of it."""

import secrets
from concurrent import futures

import psycopg
import pytest
from eco2.auth.v1 import account_pb2 as pb
from eco2.auth.v1 import auth_pb2
from uuid_utils.compat import uuid7

from services.auth import reset_store, tokens
from services.kit import errors
from services.kit.cache import connect
from tests.conftest import eventually
from tests.services.auth.conftest import WAITING, bearing, login, refresh, register
from tests.services.auth.test_leaving import erase
from tests.services.auth.test_sign_in import APP, begin, finish, sign_in, user_id
from tests.services.auth.test_sign_in import fakes as fakes
from tests.services.auth.test_sign_in import replica as replica
from tests.services.auth.test_sign_in import start_with as start_with

NEW = "a better password"
VERIFIER = secrets.token_urlsafe(48)


def link(replica, given, provider="google", page=APP, challenge=None) -> str:
    """given: tokens. The URL of the provider."""
    request = pb.LinkIdentityRequest(
        provider=provider, redirect_uri=page, code_challenge=challenge or tokens.challenge(VERIFIER)
    )
    return replica.account.LinkIdentity(request, metadata=bearing(given)).authorization_url


def come_back(replica, fake, url: str) -> str:
    """The code, after a person has said yes in some browser."""
    answer = finish(replica, fake.name, fake.say_yes(url), browser="")
    assert answer.WhichOneof("outcome") == "code", answer
    return answer.code


def confirm(replica, given, code: str, verifier=VERIFIER) -> pb.Identity:
    request = pb.ConfirmIdentityRequest(code=code, code_verifier=verifier)
    return replica.account.ConfirmIdentity(request, metadata=bearing(given)).identity


def link_whole(replica, fake, given) -> pb.Identity:
    return confirm(replica, given, come_back(replica, fake, link(replica, given, fake.name)))


def unlink(replica, given, provider="google") -> None:
    replica.account.UnlinkIdentity(pb.UnlinkIdentityRequest(provider=provider), metadata=bearing(given))


def linked(replica, given) -> list[str]:
    answer = replica.account.ListIdentities(pb.ListIdentitiesRequest(), metadata=bearing(given))
    return [each.provider for each in answer.identities]


def refused(kind, reason: str, call, *arguments, **options) -> None:
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    assert caught.value.reason == reason


@pytest.fixture
def mina(replica):
    return register(replica.auth)


def test_who_has_linked_signs_in_with_it_and_who_has_unlinked_does_not(replica, fakes, mina, clock):
    assert linked(replica, mina.tokens) == []
    for fake in fakes.values():
        # Another address than the account's: what counts is who is logged in.
        fake.person["email"] = f"{fake.name}@elsewhere.test"
        made = link_whole(replica, fake, mina.tokens)
        assert (made.provider, made.create_time.ToDatetime(clock.now.tzinfo)) == (fake.name, clock.now)
        assert user_id(sign_in(replica, fake)) == mina.user.user_id
        clock.advance(seconds=1)
    assert linked(replica, mina.tokens) == list(fakes)
    unlink(replica, mina.tokens)
    assert linked(replica, mina.tokens) == ["kakao", "naver"]
    assert user_id(sign_in(replica, fakes["google"])) != mina.user.user_id
    assert user_id(sign_in(replica, fakes["kakao"])) == mina.user.user_id
    refused(errors.NotFound, "IDENTITY_NOT_FOUND", unlink, replica, mina.tokens)
    refused(errors.NotFound, "IDENTITY_NOT_FOUND", unlink, replica, mina.tokens, "myspace")


def test_to_link_again_what_is_linked_changes_nothing(replica, fakes, mina, clock):
    first = link_whole(replica, fakes["google"], mina.tokens)
    clock.advance(minutes=1)
    assert link_whole(replica, fakes["google"], mina.tokens) == first
    assert linked(replica, mina.tokens) == ["google"]


def test_a_page_of_this_site_may_link_too_and_a_page_elsewhere_may_not(replica, fakes, mina):
    answer = finish(replica, "google", fakes["google"].say_yes(link(replica, mina.tokens, page="/settings")), "")
    assert (answer.redirect_uri, answer.WhichOneof("outcome")) == ("/settings", "code")
    assert confirm(replica, mina.tokens, answer.code).provider == "google"
    for page in ("https://evil.test/", "//evil.test", "/\\evil.test"):
        with pytest.raises(errors.InvalidArgument) as caught:
            link(replica, mina.tokens, page=page)
        assert caught.value.violations[0][0] == "redirect_uri"
    with pytest.raises(errors.InvalidArgument) as caught:
        link(replica, mina.tokens, challenge="short")
    assert caught.value.violations[0][0] == "code_challenge"
    refused(errors.NotFound, "PROVIDER_UNKNOWN", link, replica, mina.tokens, "myspace")


def test_who_says_no_or_whose_provider_fails_comes_back_and_has_linked_nothing(replica, fakes, mina):
    google = fakes["google"]
    brought = google.say_yes(link(replica, mina.tokens))
    answer = finish(replica, "google", {"state": brought["state"]}, "")
    assert (answer.redirect_uri, answer.failure) == (APP, "SIGN_IN_DENIED")
    google.broken = {"/token": 500}
    answer = finish(replica, "google", google.say_yes(link(replica, mina.tokens)), "")
    assert answer.failure == "PROVIDER_UNAVAILABLE"
    assert linked(replica, mina.tokens) == []


def test_nothing_is_linked_or_made_before_who_began_confirms(replica, fakes, mina, owner):
    # A thief sends the link that he began to somebody, who says yes at their provider.
    code = come_back(replica, fakes["google"], link(replica, mina.tokens))
    assert owner.execute("SELECT count(*) FROM auth.social_accounts").fetchone() == (0,)
    assert owner.execute("SELECT count(*) FROM auth.users").fetchone() == (1,)
    jun = register(replica.auth, "jun", "jun@example.com")
    # Another log-in has no use of the code, not even that person's other ones; nor does it use it up.
    for other in (jun.tokens, login(replica.auth).tokens):
        refused(errors.FailedPrecondition, "LINK_CODE_INVALID", confirm, replica, other, code)
    # It logs nobody in.
    exchange = auth_pb2.ExchangeSignInRequest(code=code, code_verifier=VERIFIER)
    refused(errors.Unauthenticated, "SIGN_IN_CODE_INVALID", replica.auth.ExchangeSignIn, exchange)
    assert confirm(replica, mina.tokens, code).provider == "google"


def test_a_code_of_a_sign_in_links_nothing(replica, fakes, mina):
    url = begin(replica, "google", code_challenge=tokens.challenge(VERIFIER), redirect_uri=APP)
    code = come_back(replica, fakes["google"], url)
    refused(errors.FailedPrecondition, "LINK_CODE_INVALID", confirm, replica, mina.tokens, code)


def test_a_code_and_a_state_work_once_however_many_come_at_once(start_with, fakes):
    replicas = [start_with(), start_with()]
    given = register(replicas[0].auth).tokens
    brought = fakes["google"].say_yes(link(replicas[0], given))

    def arrive(number: int) -> str:
        try:
            return finish(replicas[number % 2], "google", brought, "").code
        except errors.FailedPrecondition as fault:
            return fault.reason

    def try_to_confirm(number: int) -> str:
        try:
            return confirm(replicas[number % 2], given, code).provider
        except errors.FailedPrecondition as fault:
            return fault.reason

    with futures.ThreadPoolExecutor(8) as threads:
        arrived = list(threads.map(arrive, range(8)))
        [code] = [each for each in arrived if each != "SIGN_IN_STATE_INVALID"]
        confirmed = sorted(threads.map(try_to_confirm, range(8)))
    assert confirmed == ["LINK_CODE_INVALID"] * 7 + ["google"]


def test_a_wrong_verifier_uses_the_code_up(replica, fakes, mina):
    code = come_back(replica, fakes["google"], link(replica, mina.tokens))
    for verifier in ("x" * 43, VERIFIER):
        refused(errors.FailedPrecondition, "LINK_CODE_INVALID", confirm, replica, mina.tokens, code, verifier)


def test_what_somebody_else_signs_in_with_is_not_taken_from_them(replica, fakes, mina):
    jun = user_id(sign_in(replica, fakes["kakao"]))
    code = come_back(replica, fakes["kakao"], link(replica, mina.tokens, "kakao"))
    refused(errors.AlreadyExists, "IDENTITY_TAKEN", confirm, replica, mina.tokens, code)
    assert user_id(sign_in(replica, fakes["kakao"])) == jun
    assert linked(replica, mina.tokens) == []


def test_of_a_provider_one_account_is_linked_and_of_two_at_once_one(start_with, fakes):
    replicas = [start_with(), start_with()]
    given, codes = register(replicas[0].auth).tokens, []
    for number in range(6):
        fakes["google"].person["sub"] = f"person-{number}"
        codes.append(come_back(replicas[0], fakes["google"], link(replicas[0], given)))

    def try_one(number: int) -> str:
        try:
            return confirm(replicas[number % 2], given, codes[number]).provider
        except errors.AlreadyExists as fault:
            return fault.reason

    with futures.ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(try_one, range(6))) == ["PROVIDER_LINKED"] * 5 + ["google"]
    assert linked(replicas[0], given) == ["google"]


def test_a_log_in_of_long_ago_gives_no_new_way_in(replica, fakes, mina, clock):
    """Who has got hold of a token, or of a refresh token, has not got the account for good."""
    clock.advance(minutes=16)
    refresh(replica.auth, mina.tokens.refresh_token)
    refused(errors.FailedPrecondition, "LOG_IN_AGAIN", link, replica, mina.tokens)
    assert link(replica, login(replica.auth).tokens)


def test_who_logs_out_meanwhile_links_nothing(replica, fakes, mina):
    code = come_back(replica, fakes["google"], link(replica, mina.tokens))
    replica.auth.Logout(auth_pb2.LogoutRequest(refresh_token=mina.tokens.refresh_token))
    refused(errors.Unauthenticated, "SESSION_ENDED", confirm, replica, mina.tokens, code)


def test_the_last_way_in_stays(start_with, fakes, owner):
    replicas = [start_with(), start_with()]
    answer = sign_in(replicas[0], fakes["google"])
    mine = user_id(answer)
    refused(errors.FailedPrecondition, "LAST_WAY_IN", unlink, replicas[0], answer.tokens)
    link_whole(replicas[0], fakes["kakao"], answer.tokens)

    def try_one(number: int) -> str:
        try:
            unlink(replicas[number], answer.tokens, ("google", "kakao")[number])
        except errors.FailedPrecondition as fault:
            return fault.reason
        return "OK"

    with futures.ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(try_one, range(2))) == ["LAST_WAY_IN", "OK"]
    [left] = linked(replicas[0], answer.tokens)
    assert user_id(sign_in(replicas[0], fakes[left])) == mine


def test_what_was_unlinked_does_not_come_back_by_its_address(replica, fakes, mina, owner):
    """Somebody has taken the account at Kakao; its address is Mina's still."""
    owner.execute("UPDATE auth.users SET email_verified_at = now()")
    assert user_id(sign_in(replica, fakes["kakao"])) == mina.user.user_id
    unlink(replica, mina.tokens, "kakao")
    for name in ("kakao", "google"):
        thief = sign_in(replica, fakes[name])
        assert user_id(thief) != mina.user.user_id
        assert linked(replica, thief.tokens) == [name]
    assert linked(replica, mina.tokens) == []
    # Mina herself may have it back as soon as it is nobody's.
    erase(replica, user_id(thief))
    link_whole(replica, fakes["google"], mina.tokens)
    assert user_id(sign_in(replica, fakes["google"])) == mina.user.user_id


def test_nothing_that_is_kept_meanwhile_names_the_user(replica, fakes, mina, redis_url):
    link(replica, mina.tokens)
    code = come_back(replica, fakes["google"], link(replica, mina.tokens))
    redis, kept = connect(redis_url, 0), []
    for key in redis.scan_iter("sign-in:*"):
        kept.append(f"{key} {redis.get(key)}")
        assert 0 < redis.ttl(key) <= 600
    assert len(kept) == 2
    assert not any(mina.user.user_id in each or code in each for each in kept)


def test_whose_address_it_is_gets_an_account_that_nobody_else_signs_in_to(replica, fakes, mina, owner, clock):
    """Somebody registers with Mina's address before her, and links an account of their own to come back by."""
    fakes["kakao"].person["email"] = "thief@elsewhere.test"
    link_whole(replica, fakes["kakao"], mina.tokens)
    thief = user_id(sign_in(replica, fakes["kakao"]))
    for kept in ([], ["kakao"]):
        reset_by_mail(replica, owner, clock)
        given = login(replica.auth, password=NEW).tokens
        assert linked(replica, given) == kept
        # Linked by herself this time: at the next reset it is hers.
        if not kept:
            assert user_id(sign_in(replica, fakes["kakao"])) != thief
            fakes["kakao"].person["sub"] = "mina"
            link_whole(replica, fakes["kakao"], given)


def reset_by_mail(replica, owner, clock) -> None:
    """As whoever reads Mina's mail."""
    token, now = secrets.token_urlsafe(), clock.now
    [mine] = owner.execute("SELECT id FROM auth.users WHERE username = 'mina'").fetchone()
    with replica.db.writing() as tx:
        reset_store.create_reset(tx, uuid7(), tokens.digest(token), "", now, now + tokens.RESET_LIFETIME)
    owner.execute("UPDATE auth.password_resets SET user_id = %s WHERE used_at IS NULL", [mine])
    replica.auth.ResetPassword(auth_pb2.ResetPasswordRequest(token=token, new_password=NEW))


def test_a_link_that_waits_for_a_reset_to_end_links_nothing(replica, fakes, mina, postgres, database_name):
    code = come_back(replica, fakes["google"], link(replica, mina.tokens))
    with psycopg.connect(postgres.url(database_name)) as reset, futures.ThreadPoolExecutor(1) as thread:
        reset.execute("SELECT 1 FROM auth.users FOR UPDATE")
        asked = thread.submit(confirm, replica, mina.tokens, code)
        eventually(lambda: reset.execute(WAITING).fetchone() == (1,))
        reset.execute("UPDATE auth.sessions SET revoked_at = now()")
        reset.commit()
        assert asked.exception(30).reason == "SESSION_ENDED"
        assert reset.execute("SELECT count(*) FROM auth.social_accounts").fetchone() == (0,)
