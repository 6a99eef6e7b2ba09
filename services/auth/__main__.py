"""The auth service. Usage: python -m services.auth"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from eco2.auth.v1 import account_pb2_grpc, auth_pb2_grpc

from services.auth import mailer, rpc, tokens
from services.auth.account import Account
from services.auth.chores import Chore, Herald, Purge
from services.auth.resets import Resets
from services.auth.sessions import Sessions
from services.auth.throttle import DB as THROTTLE_DB
from services.auth.throttle import Limit, Limits, Throttle
from services.kit import cache, config, revocations, server, telemetry
from services.kit.database import Database


@dataclasses.dataclass(frozen=True)
class Config:
    listen: str
    jwt_issuer: str
    jwt_audience: str
    api_auth_db_url: str = config.secret()
    redis_url: str = config.secret()
    # P-256 private key, PEM.
    jwt_key: tokens.SigningKey = config.secret()
    # At least 32 random characters. A new one ends the grace of the exchanges under way and the links that were mailed,
    # and nothing else.
    refresh_token_key: tokens.TokenKey = config.secret()
    # How many wrong passwords, or requests for a mail, in how many seconds.
    login_account_limit: Limit = Limit("10/900")
    login_address_limit: Limit = Limit("300/900")
    reset_account_limit: Limit = Limit("3/3600")
    reset_address_limit: Limit = Limit("60/3600")
    # The mail relay; without a host there is no reset by mail.
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_security: mailer.Security = "starttls"
    smtp_username: str = ""
    smtp_password: str = config.secret(default="")
    mail_from: str = "no-reply@localhost"
    # The page to which the mailed link leads.
    password_reset_page: str = "http://127.0.0.1:8080/reset-password"


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
    )
    throttle = Throttle(cache.connect(settings.redis_url, THROTTLE_DB), limits)
    issuer = tokens.Issuer((settings.jwt_key,), settings.jwt_issuer, settings.jwt_audience)
    sessions = Sessions(issuer, settings.refresh_token_key, ended)
    relay = mailer.Mailer(
        settings.smtp_host,
        settings.smtp_port,
        settings.mail_from,
        settings.smtp_security,
        settings.smtp_username,
        settings.smtp_password,
    )
    resets = Resets(db, relay, settings.refresh_token_key, settings.password_reset_page, now)
    herald = Chore("herald", Herald(db, ended, now).announce, period_s=1).start()
    purge = Chore("purge", Purge(db, now).purge, period_s=600).start()
    mails = Chore("mails", resets.send if settings.smtp_host else lambda: False, period_s=5).start()
    auth = rpc.Auth(db, sessions, throttle, resets if settings.smtp_host else None, mails.wake, now)
    services = [
        (auth_pb2_grpc.add_AuthServiceServicer_to_server, auth),
        (account_pb2_grpc.add_AccountServiceServicer_to_server, Account(db, sessions, throttle, now)),
    ]
    server.run(
        server.Server(settings.listen, services, pools=[rpc.LOGINS], revocations=ended),
        mails.close,
        purge.close,
        herald.close,
        ended.close,
        db.close,
    )


if __name__ == "__main__":
    main()
