"""The auth service. Usage: python -m services.auth"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from eco2.auth.v1 import auth_pb2_grpc as pb_grpc

from services.auth import rpc, tokens
from services.kit import config, server, telemetry
from services.kit.database import Database


@dataclasses.dataclass(frozen=True)
class Config:
    listen: str
    jwt_issuer: str
    jwt_audience: str
    api_auth_db_url: str = config.secret()
    # P-256 private key, PEM.
    jwt_key: tokens.SigningKey = config.secret()
    # At least 32 random characters. A new one ends the grace of the exchanges under way, and nothing else.
    refresh_token_key: tokens.SuccessionKey = config.secret()


def main() -> None:
    telemetry.setup("auth")
    settings = config.load(Config)
    db = Database(settings.api_auth_db_url)
    issuer = tokens.Issuer((settings.jwt_key,), settings.jwt_issuer, settings.jwt_audience)
    servicer = rpc.Auth(db, issuer, settings.refresh_token_key, clock=lambda: datetime.now(UTC))
    services = [(pb_grpc.add_AuthServiceServicer_to_server, servicer)]
    server.run(server.Server(settings.listen, services, pools=[rpc.LOGINS]), db.close)


if __name__ == "__main__":
    main()
