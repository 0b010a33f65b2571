# Everything a newcomer needs is `make serve` and `make test`; both set up what is missing first.
PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/bin/uv
UV_READY := .tools/.uv-$(UV_VERSION)
BIN := .venv/bin

# After an upgrade of Python the environment's is gone, or another one that doesn't see the packages.
USABLE := $(shell test -d "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' 2>/dev/null)" && echo yes)

# Containers often forbid Python to keep what it compiled: every command would take twice as long to start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help serve test check endure torture lock bench clean start-over

help: ## what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

serve: .venv/.ready ## set up what is missing, then run the server on 127.0.0.1:8000, or PORT=…
	@exec $(BIN)/hopper serve

# One more than there are cores, since much of a test's time is waiting; four are enough.
WORKERS := $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 4 ? cores + 1 : 4)))

test: .venv/.ready-dev check ## set up what is missing, then linters, types, import contracts and all tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: .venv/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

endure: .venv/.ready-dev ## kill a local instance at every line that writes, and have two processes write 10,000 times
	HOPPER_KILL_EVERY=1 HOPPER_WRITES=10000 $(BIN)/python -m pytest tests/integration/test_local_crashes.py

ROUNDS ?= 250
torture: .venv/.ready-dev ## kill server, PostgreSQL and Neo4j 1,000 times under load, in ROUNDS=… of four; SEED=… ROUND=… goes on
	$(BIN)/python -m tests.torture --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(if $(ROUND),--round $(ROUND))

COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-header --no-annotate

lock: | $(UV_READY) ## refresh the pinned requirements from pyproject.toml
	$(COMPILE) --extra graph --extra telemetry pyproject.toml -o requirements/server.txt
	$(COMPILE) --extra graph --extra telemetry -c requirements/server.txt pyproject.toml requirements/dev.in -o requirements/dev.txt
	$(COMPILE) --extra neo4j --extra telemetry -c requirements/server.txt pyproject.toml -o requirements/image.txt
	$(COMPILE) requirements/build.in -o requirements/build.txt

bench: .venv/.ready-dev ## print the figures beside their goals; DATA=… says where the data sets are
	$(BIN)/python -m bench $(if $(DATA),--data $(DATA))

$(UV_READY):
	$(PYTHON) -m venv --clear .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.venv/pyvenv.cfg: $(if $(USABLE),,start-over) | $(UV_READY)
	$(UV) venv --quiet --clear --python $(PYTHON) .venv

# Just what the file pins, by its hashes, and Hopper itself; what is there beyond that goes.
SYNC := echo "-e ." | $(UV) pip sync --quiet --python .venv -

# Where the tools for developers are, they stay: others may be at work with them.
.venv/.ready: .venv/pyvenv.cfg pyproject.toml requirements/server.txt
	$(SYNC) requirements/$(if $(wildcard .venv/.ready-dev),dev,server).txt
	@touch $@

.venv/.ready-dev: .venv/.ready requirements/dev.txt
	$(SYNC) requirements/dev.txt
	@touch $@

clean: ## remove what make built (never your data)
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests bench -name __pycache__ -exec rm -rf {} +
