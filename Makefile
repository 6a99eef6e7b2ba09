# One command for each thing a person does here. `make` alone lists them.
PYTHON := .venv/bin/python
BIN := .venv/bin
# The oldest Kubernetes that the manifests are for, and the newest that they were read against.
KUBERNETES := 1.29 1.37
PROTOS = $(shell find proto/eco2 proto/buf -name '*.proto')
export ECO2_HOME ECO2_PORT

.PHONY: help
help: ## list these targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install what is missing: servers, .venv from the lock, the vision model
	@stack/setup.sh

.PHONY: demo
demo: setup ## do the main job on a photo: [PHOTO=path] [QUESTION=…] [JSON=1]
	@$(PYTHON) -m stack.demo $(if $(JSON),--json) $(if $(PHOTO),--photo "$$PHOTO") $(if $(QUESTION),--question "$$QUESTION")
# As they were typed: a $ in them is not make's.
override export PHOTO := $(value PHOTO)
override export QUESTION := $(value QUESTION)

.PHONY: up
up: setup ## start everything and print the addresses: [ECO2_PORT=8080]
	@$(PYTHON) -m stack up

.PHONY: down
down: ## stop everything
	@$(PYTHON) -m stack down

.PHONY: status
status: ## show each part: name, pid, port, state: [JSON=1]
	@$(PYTHON) -m stack status $(if $(JSON),--json)

.PHONY: check
check: setup ## lint, contracts, generated code, import rules, Envoy's configuration, Kubernetes manifests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code --path proto/eco2
	$(BIN)/buf breaking --against proto/released.binpb
	$(MAKE) --no-print-directory generate GENERATED=build/gen EDGE=build/edge.yaml
	diff -r --exclude=__pycache__ proto/gen build/gen || { echo 'proto/gen is out of date: run `make generate` and commit it'; exit 1; }
	diff $(EDGE) build/edge.yaml || { echo '$(EDGE) is out of date: run `make generate` and commit it'; exit 1; }
	$(BIN)/lint-imports
	$(PYTHON) -m services.recycle_info.linter
	$(PYTHON) -m stack check-envoy
	$(BIN)/kubernetes-validate --strict --quiet $(KUBERNETES:%=-k %) $(filter-out %/kustomization.yaml,$(wildcard k8s/base/*.yaml))

.PHONY: test
test: setup ## run all tests on real servers, in two processes: [ARGS=…]
	$(PYTHON) -m pytest -n 2 $(ARGS)

# What `make test` asks of the same few cases each time, asked of many that nobody has seen.
CAMPAIGNS := tests/faults tests/workers/test_journal.py tests/workers/test_photo.py tests/e2e/test_openapi.py
.PHONY: faults
faults: setup ## the fault campaigns at full length: [SEED=…] [COUNT=…] [ARGS=-k power]
	FAULTS_LONG=1 FAULTS_SEED=$(SEED) FAULTS_COUNT=$(COUNT) $(PYTHON) -m pytest $(CAMPAIGNS) -s $(ARGS)

.PHONY: nearest
nearest: setup ## measure the nearest 20 of a million centres in PostgreSQL: [CENTERS=1000000]
	CENTERS=$(or $(CENTERS),1000000) $(PYTHON) -m pytest tests/services/locations/test_nearest.py -s -k million

DATA ?= ../shared/data/trashnet
QUESTIONS := tests/services/recycle_info/questions_dev.json tests/services/recycle_info/questions_test.json
.PHONY: eval
eval: setup ## measure what ships, in one table: [DATA=folder with val/] [ELSEWHERE=folders of photos named by material]
	OPENBLAS_NUM_THREADS=1 $(PYTHON) -m workers.ai.evaluate .eco2/models/vision.onnx $(DATA) \
		--questions $(QUESTIONS) $(if $(ELSEWHERE),--elsewhere "$(ELSEWHERE)")

.PHONY: eval-rules
eval-rules: setup ## measure how questions find their rule: [LEARN=1]
	OPENBLAS_NUM_THREADS=1 $(PYTHON) -m services.recycle_info.evaluate $(QUESTIONS) $(if $(LEARN),--learn)

.PHONY: rules
rules: setup ## after a change of the rules: embed new names, and lint
	OPENBLAS_NUM_THREADS=1 $(PYTHON) -m services.recycle_info.embed
	$(PYTHON) -m services.recycle_info.linter

GENERATED := proto/gen
EDGE := k8s/base/edge/envoy.yaml
.PHONY: generate
generate: ## regenerate proto/gen from proto/, and Envoy's configuration for Kubernetes
	rm -rf $(GENERATED) && mkdir -p $(GENERATED)
	$(PYTHON) -m grpc_tools.protoc -Iproto --python_out=$(GENERATED) --pyi_out=$(GENERATED) $(PROTOS)
	$(PYTHON) -m grpc_tools.protoc -Iproto --grpc_python_out=$(GENERATED) $(filter proto/eco2/%,$(PROTOS))
	find $(GENERATED) -name '*_pb2_grpc.py' -exec grep -L 'Stub' {} + | xargs -r rm --
	$(PYTHON) -m stack.cluster >$(EDGE)

.PHONY: release-contract
release-contract: ## make today's contract the one that must not break
	$(BIN)/buf build -o proto/released.binpb

.PHONY: bench
bench: setup ## measure the durable part beside Celery and dramatiq, in one run: [TASKS=20000] [JSON=1] [ONLY=peers,ceilings,poison,backlog]
	@$(PYTHON) -m tests.bench.workers $(if $(JSON),--json) $(if $(TASKS),--tasks $(TASKS)) $(if $(ONLY),--only $(ONLY))

.PHONY: lock
lock: ## pin every dependency by hash again, after a change of pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --group bench --universal --python-version 3.11 --generate-hashes --quiet --custom-compile-command "make lock" -o requirements.lock
