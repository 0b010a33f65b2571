# Everything a newcomer needs is `make serve` and `make test`; both set up what is missing first.
PYTHON ?= python3
UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help serve test check lock bench clean

help: ## what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

serve: .venv/.ready ## set up what is missing, then run the server on 127.0.0.1:8000, or PORT=…
	@exec $(BIN)/hopper serve

test: .venv/.ready-dev check ## set up what is missing, then linters, types, import contracts and all tests
	$(BIN)/python -m pytest

check: .venv/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: | $(filter .tools/bin/uv,$(UV)) ## refresh the pinned requirements from pyproject.toml
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-header --no-annotate pyproject.toml -o requirements/server.txt
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-header --no-annotate pyproject.toml requirements/dev.in -o requirements/dev.txt

bench: .venv/.ready-dev ## print the figures beside their goals; DATA=… says where the data sets are
	$(BIN)/python -m bench $(if $(DATA),--data $(DATA))

.tools/bin/uv:
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/bin/python: | $(filter .tools/bin/uv,$(UV))
	$(UV) venv --quiet --python $(PYTHON) .venv

.venv/.ready: pyproject.toml requirements/server.txt | .venv/bin/python
	$(UV) pip install --quiet --python .venv --require-hashes -r requirements/server.txt
	$(UV) pip install --quiet --python .venv --no-deps --editable .
	@touch $@

.venv/.ready-dev: requirements/dev.txt .venv/.ready
	$(UV) pip install --quiet --python .venv --require-hashes -r requirements/dev.txt
	@touch $@

clean: ## remove what make built (never your data)
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis
