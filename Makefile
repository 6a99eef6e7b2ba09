# The lead's skeleton; stack/ brings the rest.
PYTHON := .venv/bin/python
PROTOS := $(shell find proto/eco2 proto/buf -name '*.proto')

.PHONY: generate
generate: ## regenerate proto/gen from proto/
	rm -rf proto/gen && mkdir -p proto/gen
	$(PYTHON) -m grpc_tools.protoc -Iproto --python_out=proto/gen --pyi_out=proto/gen $(PROTOS)
	$(PYTHON) -m grpc_tools.protoc -Iproto --grpc_python_out=proto/gen $(filter proto/eco2/%,$(PROTOS))
	find proto/gen -name '*_pb2_grpc.py' -exec grep -L 'Stub' {} + | xargs -r rm --
