# relais-droits: the verbs of the desk. Each does its own set-up: python3 and make are enough.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.synced
export RELAIS_HOME ?= $(CURDIR)/.relais

.DEFAULT_GOAL := help
.PHONY: help setup run test lint format bench lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(STAMP) ## the virtual environment .venv, pinned by uv.lock

# Some distributions ship Python without ensurepip: then the system's pip fills the environment from outside.
$(STAMP): uv.lock pyproject.toml
	@[ -x $(BIN)/python ] || python3 -m venv --without-pip $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null 2>&1 || { \
	  echo "python3 has no ensurepip: falling back to the system's pip"; \
	  python3 -m pip --python $(BIN)/python install --quiet --disable-pip-version-check pip; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
	@$(BIN)/uv sync --quiet --frozen --inexact --compile-bytecode
	@touch $@

# Compiled ahead, also where PYTHONDONTWRITEBYTECODE is set: otherwise every start compiles some 600 modules anew.
run: $(STAMP) ## serve rights on PORT (8080) and admin on ADMIN_PORT (8081); a demo home on the first start; UPSTREAM=stub
	@$(BIN)/python -m compileall -q service stubs
	@exec $(BIN)/relais run

test: $(STAMP) ## every test
	@$(BIN)/python -m compileall -q service stubs
	@$(BIN)/pytest --cov --cov-report=term:skip-covered

lint: $(STAMP) ## style, types and the direction of dependencies
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(STAMP) ## rewrite in the house style
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format .

bench: $(STAMP) ## ratios against a bare aiohttp server, written to benchmarks/results/
	@$(BIN)/python benchmarks/answers.py

lock: $(STAMP) ## renew uv.lock after a change of dependencies
	@$(BIN)/uv lock

clean: ## remove the environment and the demo home
	@rm -rf $(VENV) .relais
