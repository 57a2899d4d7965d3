# `make help` lists what there is. Everything but `help` and `clean` needs only the environment in .venv, which is built
# again when pyproject.toml or the pinned versions change.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONSTRAINTS := requirements/constraints.txt
# Later arguments for a target: `make test ARGS='-k census -x'`, `make up ARGS='--managers 2'`.
ARGS ?=
# Processes that share the tests. Most of them wait for processes, so one more than a small machine has cores.
JOBS ?= 3

.PHONY: help
help: ## List the targets
	@[ -t 1 ] && bold=$$'\033[1m' plain=$$'\033[0m'; \
	  awk -F ':.*## ' -v bold="$${bold-}" -v plain="$${plain-}" \
	    '/^[a-z-]+:.*## / { printf "  %s%-17s%s %s\n", bold, $$1, plain, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(STAMP) ## Build the environment in .venv, with pinned versions

$(STAMP): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Mitosis needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo 'not there')." >&2; \
	  echo "Name another one: make $(firstword $(MAKECMDGOALS) install) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' comes without venv; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Building the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@# The pip that Python 3.11 brings knows no dependency groups.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip==26.3'
	@$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[all]' --group dev
	@touch $@

.PHONY: demo
demo: $(STAMP) ## Run the standard library census: a whole suite, end to end
	@$(BIN)/mitosis demo $(ARGS)

.PHONY: up
up: $(STAMP) ## Run PostgreSQL, coordinator and node manager in the foreground
	@$(BIN)/mitosis up $(ARGS)

.PHONY: test
test: $(STAMP) ## Run every test: unit, contract, integration, simulation, e2e
	@# By file, because files share what they start; in order, because the long ones come first.
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: test-fast
test-fast: $(STAMP) ## Run the tests that start no process
	@$(BIN)/python -m pytest -m 'not slow' tests/unit $(ARGS)

.PHONY: simulate
simulate: $(STAMP) ## Try the decisions in RUNS=20000 simulated worlds; SEED=n RUNS=1 repeats one
	@$(BIN)/python -m tests.simulation --runs $(or $(RUNS),20000) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: test-go
test-go: ## Run the tests of the Go client that start no process
	@cd clients/go && go test $(ARGS) ./...

.PHONY: test-alerts
PROMTOOL := build/promtool/promtool
test-alerts: ## Run the tests of the alert rules with promtool, from PATH or else built with Go
	@promtool=$$(command -v promtool || true); \
	  if [ -z "$$promtool" ] && [ ! -x $(PROMTOOL) ]; then \
	    echo "Building promtool in build, once; that takes some minutes"; \
	    GOBIN='$(CURDIR)/build/promtool' go install -tags remove_all_sd github.com/prometheus/prometheus/cmd/promtool@v0.316.0; \
	  fi; \
	  cd monitoring/prometheus; \
	  promtool="$${promtool:-$(CURDIR)/$(PROMTOOL)}"; \
	  "$$promtool" check rules alerts.yaml recording.yaml; \
	  "$$promtool" check config --syntax-only prometheus.yaml; \
	  "$$promtool" test rules alerts.test.yaml

.PHONY: test-schemathesis
test-schemathesis: $(STAMP) ## Hold the OpenAPI document against the server at length
	@MITOSIS_SCHEMATHESIS_EXAMPLES=200 $(BIN)/python -m pytest tests/contract/test_schemathesis.py $(ARGS)

.PHONY: chaos
chaos: $(STAMP) ## Break a whole Mitosis for MINUTES=3 and check that nothing was lost; SEED=n repeats a run
	@$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),3) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: soak
soak: $(STAMP) ## Open, close, reopen and cancel suites for MINUTES=10; every process must end where it began
	@$(BIN)/python -m tests.chaos.soak --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: sabotage
sabotage: $(STAMP) ## Damage copies of the tree on purpose, and check that simulation or chaos finds it
	@$(BIN)/python -m tests.chaos.sabotage $(ARGS)

.PHONY: check
check: $(STAMP) ## Everything that is checked without running tests
	@$(BIN)/python tools/check.py $(ARGS)

.PHONY: fmt
fmt: $(STAMP) ## Format the code and the protos, and mend what can be mended
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .
	@$(BIN)/python tools/gen.py --format
	@if command -v gofmt >/dev/null; then gofmt -w clients/go examples/go; fi

.PHONY: gen
gen: $(STAMP) ## Write generated/, api/ and the reference pages from protos/ and the commands
	@$(BIN)/python tools/gen.py
	@$(BIN)/python tools/openapi.py
	@$(BIN)/python tools/reference.py

.PHONY: bench
bench: $(STAMP) ## Measure Mitosis; ARGS='drain' names one, ARGS='--help' says what there is
	@$(BIN)/python -m benchmarks $(ARGS)

PEERS := build/peers
.PHONY: bench-peers
bench-peers: $(STAMP) $(PEERS)/.installed ## Measure Mitosis beside other systems, which get an environment of their own
	@$(BIN)/python -m benchmarks.peers $(ARGS)

$(PEERS)/.installed: requirements/peers.txt
	@echo "Building the peers' environment in $(PEERS)"
	@$(PYTHON) -m venv --clear $(PEERS)
	@grep -v '^#' $< | while read -r pin; do $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check \
	  "$$pin" </dev/null || echo "$$pin cannot be installed here: it is left out" >&2; done
	@touch $@

.PHONY: pins
pins: ## Resolve every dependency again and pin what was found
	@$(PYTHON) -m venv --clear build/pins
	@build/pins/bin/python -m pip install --quiet --disable-pip-version-check 'pip==26.3'
	@build/pins/bin/python -m pip install --quiet --upgrade --editable '.[all]' --group dev
	@{ sed -n '/^#/p' $(CONSTRAINTS); build/pins/bin/python -m pip freeze --exclude mitosis --exclude pip; } > build/constraints
	@mv build/constraints $(CONSTRAINTS)
	@rm -rf build/pins

.PHONY: clean
clean: ## Remove the environment, the build directory and every cache
	@rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
