"""The auth service. Usage: python -m services.auth"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

from eco2.auth.v1 import account_pb2_grpc, auth_pb2_grpc, internal_pb2_grpc

from services.auth import mailer, rpc, states, tokens
from services.auth.account import Account
from services.auth.chores import Herald, Purge
from services.auth.internal import AuthInternal
from services.auth.journeys import Journeys
from services.auth.keys import KeyRing, SigningKeys
from services.auth.outbox import EVENTS, OUTBOX
from services.auth.providers import Providers
from services.auth.resets import Resets
from services.auth.sessions import Sessions
from services.auth.sign_in import SIGN_INS, SignIn
from services.auth.throttle import DB as THROTTLE_DB
from services.auth.throttle import Limit, Limits, Throttle
from services.kit import cache, config, revocations, server, telemetry
from services.kit.broker import Publisher, Relay
from services.kit.broker.relay import CONFIRM_S
from services.kit.chores import Chore
from services.kit.database import Database


@dataclasses.dataclass(frozen=True)
class Config:
    listen: str
    jwt_issuer: str
    jwt_audience: str
    api_auth_db_url: str = config.secret()
    redis_url: str = config.secret()
    rabbitmq_url: str = config.secret()
    # P-256 private keys, PEM, one after the other, the oldest first; services/auth/keys.py says how to change one.
    jwt_key: SigningKeys = config.secret()
    # At least 32 random characters. A new one ends the grace of the exchanges under way and the links that were mailed,
    # and nothing else.
    refresh_token_key: tokens.TokenKey = config.secret()
    # For how many seconds a new key is shown before it signs: longer than those who verify keep what they were shown.
    jwt_key_ahead_s: int = 360
    # How many wrong passwords, requests for a mail, sign-ins begun at a provider, or registrations, and in how many
    # seconds.
    login_account_limit: Limit = Limit("10/900")
    login_address_limit: Limit = Limit("300/900")
    reset_account_limit: Limit = Limit("3/3600")
    reset_address_limit: Limit = Limit("60/3600")
    sign_in_address_limit: Limit = Limit("300/900")
    register_address_limit: Limit = Limit("1000/3600")
    # The mail relay; without a host there is no reset by mail.
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_security: mailer.Security = "starttls"
    smtp_username: str = ""
    smtp_password: str = config.secret(default="")
    mail_from: str = "no-reply@localhost"
    # This site, as people's browsers reach it.
    public_url: str = "http://127.0.0.1:8080"
    # The page to which the mailed link leads; by default /reset-password of this site.
    password_reset_page: str = ""
    # The providers that people can sign in with, JSON (services/auth/providers.py); and the URLs outside this site,
    # those of the apps among them, that a sign-in may end at.
    oauth_providers: Providers = config.secret(default_factory=lambda: Providers("{}"))
    oauth_redirect_uris: tuple[str, ...] = ()


def now() -> datetime:
    return datetime.now(UTC)


def main() -> None:
    telemetry.setup("auth")
    settings = config.load(Config)
    db = Database(settings.api_auth_db_url, pool_size=6)
    ended = revocations.Revocations(cache.connect(settings.redis_url, revocations.DB))
    limits = Limits(
        settings.login_account_limit,
        settings.login_address_limit,
        settings.reset_account_limit,
        settings.reset_address_limit,
        settings.sign_in_address_limit,
        settings.register_address_limit,
    )
    throttle = Throttle(cache.connect(settings.redis_url, THROTTLE_DB), limits)
    ring = KeyRing(db, settings.jwt_key, timedelta(seconds=settings.jwt_key_ahead_s), now)
    issuer = tokens.Issuer(ring, settings.jwt_issuer, settings.jwt_audience)
    sessions = Sessions(issuer, settings.refresh_token_key, ended)
    relay = mailer.Mailer(
        settings.smtp_host,
        settings.smtp_port,
        settings.mail_from,
        settings.smtp_security,
        settings.smtp_username,
        settings.smtp_password,
    )
    page = settings.password_reset_page or f"{settings.public_url}/reset-password"
    resets = Resets(db, relay, settings.refresh_token_key, page, now)
    keyring = Chore("keyring", ring.sync, period_s=1).start()
    herald = Chore("herald", Herald(db, ended, now).announce, period_s=1).start()
    purge = Chore("purge", Purge(db, now).purge, period_s=600).start()
    mails = Chore("mails", resets.send if settings.smtp_host else lambda: False, period_s=5).start()
    waiting = states.States(cache.connect(settings.redis_url, revocations.DB))
    auth = rpc.Auth(db, ring, sessions, throttle, waiting, resets if settings.smtp_host else None, mails.wake, now)
    callback = f"{settings.public_url}/api/v1/auth/oauth/{{provider}}/callback"
    journeys = Journeys(throttle, waiting, settings.oauth_providers, callback, settings.oauth_redirect_uris)
    account = Account(db, sessions, throttle, waiting, journeys, now)
    publisher = Publisher(settings.rabbitmq_url, EVENTS, name="auth-outbox", timeout_s=CONFIRM_S - 1)
    outbox = Relay(db, publisher, OUTBOX).start()
    services = [
        (auth_pb2_grpc.add_AuthServiceServicer_to_server, auth),
        (account_pb2_grpc.add_AccountServiceServicer_to_server, account),
        (internal_pb2_grpc.add_SignInInternalServiceServicer_to_server, SignIn(db, sessions, waiting, journeys, now)),
        (internal_pb2_grpc.add_AuthInternalServiceServicer_to_server, AuthInternal(db, sessions)),
    ]
    server.run(
        server.Server(settings.listen, services, pools=[rpc.LOGINS, SIGN_INS], revocations=ended),
        outbox.close,
        publisher.close,
        mails.close,
        keyring.close,
        purge.close,
        herald.close,
        ended.close,
        db.close,
    )


if __name__ == "__main__":
    main()
