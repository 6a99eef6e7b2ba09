"""Envoy's configuration for Kubernetes. Usage: python -m stack.cluster >k8s/base/edge/envoy.yaml

Committed rather than made at the start, since what deploys reads the repository and runs nothing of ours.
"""

import sys

from stack import mesh
from stack.home import CHECKOUT

GRPC_PORT, HTTP_PORT = 50051, 8080


def envoy_config() -> str:
    """The template with the names that k8s/base gives to each process."""
    behind = (*mesh.SERVICES, "gateway")
    values = {
        "EDGE_ADDRESS": "0.0.0.0",
        "EDGE_PORT": HTTP_PORT,
        # Whoever reaches it may stop Envoy; here only its own pod does.
        "ADMIN_ADDRESS": "127.0.0.1",
        "ADMIN_PORT": 9901,
        **{f"{name.upper()}_HOST": object_name(name) for name in behind},
        **{f"{name.upper()}_PORT": GRPC_PORT for name in behind},
        "GATEWAY_HTTP_PORT": HTTP_PORT,
        "DESCRIPTOR_SET": "/descriptors/eco2.binpb",
        "ACCESS_LOG": "/dev/stdout",
        "JWT_ISSUER": mesh.JWT_ISSUER,
        "JWT_AUDIENCE": mesh.JWT_AUDIENCE,
        "WEB_ORIGINS": mesh.origins(""),
    }
    _, start, rest = mesh.render(CHECKOUT / "envoy/envoy.yaml", values).partition("\nnode:")
    return f"# Written by `make generate` from envoy/envoy.yaml.{start}{rest}"


def object_name(word: str) -> str:
    """A domain's word as Kubernetes and DNS want it."""
    return word.replace("_", "-")


if __name__ == "__main__":
    sys.stdout.write(envoy_config())
