"""Passwords chosen anew by mail, through a real SMTP server."""

import email
import email.policy
import re
import ssl
from concurrent import futures
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from eco2.auth.v1 import auth_pb2 as pb

from services.auth.mailer import Mailer
from services.auth.resets import Resets
from services.kit import errors
from tests.gateway.edge import free_ports
from tests.services.auth.conftest import TOKEN_KEY, from_address, login, pem, register

PAGE = "https://app.test/reset-password"
NEW = "a better password"


class Relay:
    """Takes mails, unless `answer` says otherwise."""

    def __init__(self):
        self.mails, self.answer = [], "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append((envelope.rcpt_tos, mail))
        return "250 OK"

    def token(self) -> str:
        """Of the link in the last mail."""
        [link] = re.findall(r"https://\S+", self.mails[-1][1].get_content())
        page, _, token = link.partition("#token=")
        assert page == PAGE
        return token


@pytest.fixture
def relay():
    handler = Relay()
    # With port 0 the controller would not find its own server.
    handler.port = free_ports("smtp")["smtp"]
    server = Controller(handler, hostname="127.0.0.1", port=handler.port)
    server.start()
    yield handler
    server.stop()


@pytest.fixture
def post(relay, start, clock):
    """(replica, resets) with a relay."""
    made = []

    def resets(db):
        mailer = Mailer("127.0.0.1", relay.port, "no-reply@eco2.test", "none")
        made.append(Resets(db, mailer, TOKEN_KEY, PAGE, clock))
        return made[-1]

    replica = start(make_resets=resets)
    return replica, made[0]


def ask(replica, address="mina@example.com", **options):
    return replica.auth.RequestPasswordReset(pb.RequestPasswordResetRequest(email=address), **options)


def reset(replica, token: str, new=NEW):
    return replica.auth.ResetPassword(pb.ResetPasswordRequest(token=token, new_password=new))


def invalid(replica, token: str) -> bool:
    with pytest.raises(errors.FailedPrecondition) as caught:
        reset(replica, token)
    return caught.value.reason == "RESET_TOKEN_INVALID"


def test_a_mailed_link_sets_a_new_password_once_and_ends_every_session(post, relay, owner):
    replica, resets = post
    made = register(replica.auth)
    ask(replica, "MINA@EXAMPLE.COM")
    assert replica.woken
    assert resets.send()
    assert not resets.send()
    [(recipients, mail)] = relay.mails
    assert recipients == ["Mina@example.com"]
    assert (mail["From"], mail["To"]) == ("no-reply@eco2.test", "Mina@example.com")
    assert mail["Message-ID"].endswith("@eco2.test>")
    token = relay.token()
    stored = "".join(str(row) for row in owner.execute("SELECT r::text FROM auth.password_resets r").fetchall())
    assert token not in stored
    assert "example.com" not in stored.lower()
    reset(replica, token)
    assert login(replica.auth, password=NEW)
    with pytest.raises(errors.Unauthenticated):
        login(replica.auth)
    with pytest.raises(errors.Unauthenticated):
        replica.auth.Refresh(pb.RefreshRequest(refresh_token=made.tokens.refresh_token))
    assert invalid(replica, token)
    assert owner.execute("SELECT email_verified_at IS NOT NULL FROM auth.users").fetchone() == (True,)


def test_of_many_uses_at_once_one_counts(post, relay):
    replica, resets = post
    register(replica.auth)
    ask(replica)
    resets.send()
    token = relay.token()

    def attempt(number: int) -> str | None:
        try:
            reset(replica, token, f"a password, number {number}")
        except errors.FailedPrecondition:
            return None
        return f"a password, number {number}"

    with futures.ThreadPoolExecutor(10) as threads:
        [used] = filter(None, threads.map(attempt, range(10)))
    assert login(replica.auth, password=used)


def test_a_link_ends_after_half_an_hour_and_when_another_was_used(post, relay, clock):
    replica, resets = post
    register(replica.auth)
    ask(replica)
    resets.send()
    first = relay.token()
    clock.advance(minutes=30)
    assert invalid(replica, first)
    tokens = []
    for _ in range(2):
        ask(replica)
        resets.send()
        tokens.append(relay.token())
    reset(replica, tokens[0])
    assert invalid(replica, tokens[1])
    assert invalid(replica, "unknown")


def test_an_unknown_address_is_answered_alike_and_nothing_is_sent(post, relay, owner):
    replica, resets = post
    register(replica.auth)
    assert ask(replica) == ask(replica, "nobody@example.com")
    assert resets.send()
    assert resets.send()
    assert not resets.send()
    assert len(relay.mails) == 1
    # Nor can the token of the one that nobody got be used, could anyone derive it.
    rows = owner.execute("SELECT id FROM auth.password_resets WHERE user_id IS NULL").fetchall()
    assert invalid(replica, TOKEN_KEY.reset_token(rows[0][0]))


def test_mails_are_throttled_by_account_and_by_address(post):
    replica, _ = post
    for number in range(3):
        ask(replica, metadata=from_address(f"203.0.113.{number}"))
    with pytest.raises(errors.ResourceExhausted) as caught:
        ask(replica, "Mina@Example.com", metadata=from_address("203.0.113.9"))
    assert (caught.value.reason, caught.value.retry_after_s > 3500) == ("TOO_MANY_ATTEMPTS", True)
    for number in range(60):
        ask(replica, f"name-{number}@example.com", metadata=from_address("203.0.113.10"))
    with pytest.raises(errors.ResourceExhausted):
        ask(replica, "one-more@example.com", metadata=from_address("203.0.113.10"))


def test_a_reset_unlocks_an_account_that_somebody_locked_by_guessing(post, relay):
    replica, resets = post
    register(replica.auth)
    for _ in range(10):
        with pytest.raises(errors.Unauthenticated):
            login(replica.auth, password="incorrect horse")
    ask(replica)
    resets.send()
    reset(replica, relay.token())
    assert login(replica.auth, password=NEW)


def test_a_relay_that_fails_for_now_is_asked_again_later_with_the_same_link(post, relay, clock):
    replica, resets = post
    register(replica.auth)
    ask(replica)
    relay.answer = "451 try later"
    with pytest.raises(errors.Unavailable):
        resets.send()
    assert not resets.send()
    relay.answer = "250 OK"
    clock.advance(seconds=15)
    assert resets.send()
    assert not resets.send()
    reset(replica, relay.token())


def test_a_relay_that_will_never_take_it_ends_the_matter(post, relay, clock):
    replica, resets = post
    register(replica.auth)
    ask(replica)
    relay.answer = "550 no such mailbox"
    assert resets.send()
    clock.advance(minutes=5)
    assert not resets.send()


def test_two_senders_send_one_mail(post, relay, clock):
    replica, resets = post
    register(replica.auth)
    ask(replica)
    with futures.ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda _: resets.send(), range(8))) == 1
    assert len(relay.mails) == 1


def test_without_a_relay_the_answer_says_so(replica):
    with pytest.raises(errors.FailedPrecondition) as caught:
        ask(replica)
    assert caught.value.reason == "MAIL_NOT_CONFIGURED"


@pytest.mark.parametrize(
    ("request_type", "fields", "field"),
    [
        (pb.RequestPasswordResetRequest, {"email": "nowhere"}, "email"),
        (pb.RequestPasswordResetRequest, {"email": "a@b.kr\r\nBcc: c@d.kr"}, "email"),
        (pb.ResetPasswordRequest, {"token": "", "new_password": NEW}, "token"),
        (pb.ResetPasswordRequest, {"token": "x", "new_password": "short"}, "new_password"),
    ],
)
def test_bad_input_names_its_field(post, request_type, fields, field):
    replica, _ = post
    with pytest.raises(errors.InvalidArgument) as caught:
        getattr(replica.auth, request_type.__name__.removesuffix("Request"))(request_type(**fields))
    assert [name for name, _ in caught.value.violations] == [field]


def test_a_relay_that_is_away_or_has_no_good_certificate_is_not_used(relay):
    with pytest.raises(errors.Unavailable):
        Mailer("127.0.0.1", 1, "a@b.kr", "none").send("c@d.kr", "s", "t")
    # It does not offer STARTTLS.
    with pytest.raises(errors.Unavailable):
        Mailer("127.0.0.1", relay.port, "a@b.kr", "starttls").send("c@d.kr", "s", "t")
    assert not relay.mails


@pytest.fixture
def certificate(tmp_path):
    """Of a relay on this machine, signed by nobody but itself: a PEM file with the key in it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "relay.pem"
    file.write_bytes(pem(key).encode() + made.public_bytes(serialization.Encoding.PEM))
    return file


def test_a_relay_gets_the_password_only_behind_a_certificate_that_we_trust(certificate, monkeypatch):
    handler, port, heard = Relay(), free_ports("smtp")["smtp"], []

    def check(server, session, envelope, mechanism, data):
        heard.append(data)
        return AuthResult(success=(data.login, data.password) == (b"eco2", b"secret"))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    options = {"authenticator": check, "auth_required": True, "tls_context": context, "require_starttls": True}
    server = Controller(handler, hostname="127.0.0.1", port=port, **options)
    server.start()

    def send(security: str, password: str) -> None:
        Mailer("127.0.0.1", port, "a@b.kr", security, "eco2", password).send("c@d.kr", "s", "t")

    try:
        for security in ("none", "starttls"):
            with pytest.raises(errors.Unavailable):
                send(security, "secret")
        assert not heard
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with pytest.raises(errors.Unavailable):
            send("starttls", "wrong")
        send("starttls", "secret")
        assert (len(handler.mails), len(heard)) == (1, 2)
    finally:
        server.stop()
