# Every target installs first what it needs; see `make help`.
BIN := .venv/bin
export PYTHONSAFEPATH = 1
.DEFAULT_GOAL := help

.PHONY: help install up down test lint test-fast test-e2e bench-up bench-uplink docs lock

help: ## Say what there is
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

install: ## Install what the host lacks, and the Python packages in .venv
	@scripts/install-host
	@scripts/install-venv

up: install ## Bring the default cloud up
	@./pileus up

down: install ## Take it back, without asking
	@./pileus down --yes

test: lint test-fast test-e2e ## Run everything: lint, types, contracts, and all tests

lint: install ## Style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-fast: lint ## All tests but those that need a whole cloud
	$(BIN)/pytest --ignore=tests/e2e

test-e2e: test-fast ## The tests on a whole cloud, brought up once
	$(BIN)/pytest tests/e2e

bench-up: install ## Time `up` with the image baked, and hold it against the limits
	$(BIN)/python scripts/bench_up.py

bench-uplink: install ## Hold mac-nat against its limits, in network namespaces; needs root
	@PYTHONPATH=scripts $(BIN)/python scripts/bench_uplink.py

docs: install ## Generate docs/reference from the code
	$(BIN)/python -m pileus.cli.reference docs/reference

lock: ## Renew requirements.lock (needs uv)
	uv pip compile --no-config --universal --python-version 3.11 --generate-hashes \
	  --only-binary :all: --no-emit-index-url --no-header --no-annotate \
	  --extra dev pyproject.toml --output-file requirements.lock
