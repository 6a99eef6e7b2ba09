"""Server reflection (v1 and v1alpha) for all public services, from the descriptor set.

Here rather than in each service: a reflection stream holds a thread for as long as the client likes.
"""

from __future__ import annotations

from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import ReflectionServicer

# As many streams as Envoy lets through to us at once, each with a thread; those are made when needed.
STREAMS = 32


class Catalogue(ReflectionServicer):
    """Knows the public services of a serialized FileDescriptorSet, health and reflection itself.

    Nothing that only internal services use can be asked for.
    """

    def __init__(self, descriptor_set: bytes):
        files = {file.name: file for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file}
        roots = [file for file in files.values() if _is_public(file)] + _about_the_mesh()
        # google.rpc, so that grpcurl can show the details of an error.
        details = [file for file in files.values() if file.package == "google.rpc"]
        pool = descriptor_pool.DescriptorPool()
        for file in _with_imports(roots + details, files):
            pool.AddSerializedFile(file.SerializeToString())
        super().__init__([f"{file.package}.{service.name}" for file in roots for service in file.service], pool)


def add_to_server(catalogue: Catalogue, server: grpc.Server) -> None:
    def answer(requests, context):
        return catalogue.ServerReflectionInfo(requests, context)

    answer.experimental_thread_pool = futures.ThreadPoolExecutor(STREAMS, thread_name_prefix="reflection")
    handler = grpc.stream_stream_rpc_method_handler(
        answer,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    # The two versions differ in nothing but the name of their package.
    for version in ("v1", "v1alpha"):
        name = f"grpc.reflection.{version}.ServerReflection"
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler}),)
        )


def _is_public(file: descriptor_pb2.FileDescriptorProto) -> bool:
    return file.package.startswith("eco2.") and bool(file.service) and not file.name.endswith("/internal.proto")


def _about_the_mesh() -> list[descriptor_pb2.FileDescriptorProto]:
    health, alpha = descriptor_pb2.FileDescriptorProto(), descriptor_pb2.FileDescriptorProto()
    health_pb2.DESCRIPTOR.CopyToProto(health)
    reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
    v1 = text_format.MessageToString(alpha).replace("v1alpha", "v1")
    return [health, alpha, text_format.Parse(v1, descriptor_pb2.FileDescriptorProto())]


def _with_imports(
    roots: list[descriptor_pb2.FileDescriptorProto], files: dict[str, descriptor_pb2.FileDescriptorProto]
) -> list[descriptor_pb2.FileDescriptorProto]:
    """The files and all they import, each after its imports."""
    ordered: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def visit(file: descriptor_pb2.FileDescriptorProto) -> None:
        if file.name not in ordered:
            for name in file.dependency:
                visit(files[name])
            ordered[file.name] = file

    for root in roots:
        visit(root)
    return list(ordered.values())
