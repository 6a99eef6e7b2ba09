"""The gateway process."""

from __future__ import annotations

import dataclasses
from importlib import metadata
from pathlib import Path

from eco2.auth.v1 import auth_pb2_grpc, internal_pb2_grpc

from gateway import documents, openapi, reflection, web
from services.kit import channel, config, telemetry
from services.kit.server import Server, run


@dataclasses.dataclass(frozen=True)
class Config:
    # host:port, for gRPC and for HTTP.
    listen: str
    http_listen: str
    # The file that Envoy transcodes by.
    descriptor_set: Path
    # host:port of auth.
    auth_target: str
    # This site, as people's browsers reach it.
    public_url: str
    log_level: str = "INFO"


def main() -> None:
    settings = config.load(Config)
    telemetry.setup("gateway", settings.log_level)
    descriptor_set = settings.descriptor_set.read_bytes()
    catalogue = reflection.Catalogue(descriptor_set)
    auth = channel.connect(settings.auth_target, timeout_s=11)
    log_in = web.LogIn(
        auth_pb2_grpc.AuthServiceStub(auth),
        internal_pb2_grpc.SignInInternalServiceStub(auth),
        secure=settings.public_url.startswith("https:"),
    )
    document = openapi.make(descriptor_set, metadata.version("ecoeco"))
    pages = web.serve(documents.Documents(document, log_in), settings.http_listen)
    run(Server(settings.listen, [(reflection.add_to_server, catalogue)]), pages.close, auth.close)


if __name__ == "__main__":
    main()
