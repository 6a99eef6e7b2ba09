"""The gateway process."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gateway import reflection
from services.kit import config, telemetry
from services.kit.server import Server, run


@dataclasses.dataclass(frozen=True)
class Config:
    # host:port.
    listen: str
    # The file that Envoy transcodes by.
    descriptor_set: Path
    log_level: str = "INFO"


def main() -> None:
    settings = config.load(Config)
    telemetry.setup("gateway", settings.log_level)
    catalogue = reflection.Catalogue(settings.descriptor_set.read_bytes())
    run(Server(settings.listen, [(reflection.add_to_server, catalogue)]))


if __name__ == "__main__":
    main()
