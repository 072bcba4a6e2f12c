# Every target installs first what it needs; see `make help`.
BIN := .venv/bin
export PYTHONSAFEPATH = 1
.DEFAULT_GOAL := help

.PHONY: help install up down test lint test-fast test-e2e test-gallery test-found test-changed \
  test-kernel test-api test-unit image bench-up bench-up-cold bench-uplink bench-trace bench-vpc docs \
  lock

help: ## Say what there is
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

install: ## Install what the host lacks, and the Python packages in .venv
	@scripts/install-host
	@scripts/install-venv

up: install ## Bring the default cloud up
	@./pileus up

down: install ## Take it back, without asking
	@./pileus down --yes

# Two at a time, as each keeps about one core busy, in an order that ends both lanes about together. The
# tests on a whole cloud are in two halves, each with a cloud of its own; where the memory is not enough
# for two, one half waits for the other.
test: install ## Run lint, types, contracts and all tests; of the gallery one or two faults for each hop
	@$(MAKE) --no-print-directory --jobs=2 --keep-going \
	  test-changed lint test-kernel test-found test-api test-unit

ifneq ($(shell awk '/^MemAvailable/ && $$2 < 14e6' /proc/meminfo),)
test-changed: | test-found
endif

# Each bakes the image first, where it is not there yet.
test-found test-changed: test-%: install
	$(BIN)/pytest tests/e2e --half $*

lint: install ## Style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-fast: lint test-unit test-api test-kernel ## All tests but those that need a whole cloud

test-e2e: test-found test-changed ## The tests on a whole cloud, in two halves

test-gallery: install ## Break a cloud in all the ways of the gallery
	$(BIN)/pytest tests/e2e/test_gallery.py --gallery

test-kernel: install ## The tests in network namespaces
	$(BIN)/pytest tests/netns

test-api: install ## The tests on the simulated region's API
	$(BIN)/pytest tests/api tests/contract

test-unit: install ## The tests that have no side effects
	$(BIN)/pytest tests/unit tests/golden

image: install ## Bake the machine image, where it is not there yet
	@./pileus image build

bench-up: install ## Time `up` with the image baked, and hold it against the limits
	$(BIN)/python scripts/bench_up.py

bench-up-cold: install ## Time `up` from nothing, the image's baking included
	$(BIN)/python scripts/bench_up.py --cold

bench-uplink: install ## Hold mac-nat against its limits, in network namespaces; needs root
	@PYTHONPATH=scripts $(BIN)/python scripts/bench_uplink.py

bench-trace: install ## Time trace and check on a cloud of its own, and hold them against the limits
	@PYTHONPATH=scripts $(BIN)/python scripts/bench_trace.py

bench-vpc: install ## Hold the simulated VPC against its limits; needs root
	@PYTHONPATH=scripts $(BIN)/python scripts/bench_vpc.py

docs: install ## Generate docs/reference from the code
	$(BIN)/python -m pileus.cli.reference docs/reference

lock: ## Renew requirements.lock (needs uv)
	uv pip compile --no-config --universal --python-version 3.11 --generate-hashes \
	  --only-binary :all: --no-emit-index-url --no-header --no-annotate \
	  --extra dev pyproject.toml --output-file requirements.lock
