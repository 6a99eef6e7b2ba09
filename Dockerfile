# One image recipe for every process:  docker build --build-arg PROCESS=waste -t eco2-waste .
# PROCESS is a folder with a __main__.py: auth locations users waste recycle_info chat_llm tasks gateway storage ai
# migrations.
FROM python:3.11-slim AS build
ARG PROCESS
WORKDIR /src
RUN pip install --no-cache-dir uv && uv venv /venv
ENV VIRTUAL_ENV=/venv
# Dependencies before sources, so that a change of code does not fetch them again.
COPY pyproject.toml requirements.lock README.md ./
RUN mkdir -p services workers gateway stack migrations proto/gen/eco2 proto/gen/buf \
    && uv pip install --no-cache --constraint requirements.lock ".[${PROCESS:?say which process: --build-arg PROCESS=waste}]" \
    && uv pip uninstall ecoeco
COPY proto/gen proto/gen
COPY services services
COPY workers workers
COPY gateway gateway
COPY migrations migrations
COPY proto proto
RUN uv pip install --no-cache --no-deps .
# The gateway answers reflection from the descriptor set; worker-ai looks with the backbone.
RUN mkdir /data \
    && uv venv /tools \
    && if [ "$PROCESS" = gateway ]; then \
        VIRTUAL_ENV=/tools uv pip install --no-cache --constraint requirements.lock grpcio-tools \
        && /tools/bin/python -m grpc_tools.protoc -Iproto --include_imports --include_source_info \
            --descriptor_set_out=/data/eco2.binpb $(find proto/eco2 -name '*.proto') \
            proto/google/rpc/status.proto proto/google/rpc/error_details.proto; \
    fi \
    && if [ "$PROCESS" = ai ]; then \
        VIRTUAL_ENV=/tools uv pip install --no-cache --constraint requirements.lock ".[backbone]" \
        && /tools/bin/python -m workers.ai.backbone /data/vision.onnx; \
    fi
RUN for package in services workers; do \
        if [ -f "$package/$PROCESS/__main__.py" ]; then echo "$package.$PROCESS" >/data/module; fi; \
    done; \
    [ -f /data/module ] || { [ -f "$PROCESS/__main__.py" ] && echo "$PROCESS" >/data/module; }

FROM python:3.11-slim
COPY --from=build /venv /venv
COPY --from=build /data /data
# The journal's folder; mount a volume that survives the container here.
RUN useradd --uid 10001 --no-create-home eco2 && mkdir /journal && chown eco2 /journal
USER 10001
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=1 \
    DESCRIPTOR_SET=/data/eco2.binpb BACKBONE_PATH=/data/vision.onnx JOURNAL_DIR=/journal
ENTRYPOINT ["/bin/sh", "-c", "exec python -m \"$(cat /data/module)\""]
