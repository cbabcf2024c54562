# The two commands of a new user are `make quickstart` and `make test`; CONTRIBUTING.md tells the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/visionfleet
PYTHON ?= python3
# uv from PATH where there is one, else a pinned one in a folder of its own
UV := $(or $(shell command -v uv),$(CACHE)/tools/uv/bin/uv)
BIN := .venv/bin
export UV_PYTHON_DOWNLOADS := never
export VISIONFLEET_UV := $(UV)
# without bytecode each of some thousand processes of the tests compiles what it imports, and pulumi_aws is large
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup runtime engines bench quickstart check lint unit test engine-devices engine-cluster engine-rest format generate lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.installed ## .venv with the project and its tools, from the hashed lock

$(CACHE)/tools/uv/bin/uv: requirements/uv.txt
	@echo "==> uv into $(CACHE)/tools/uv"
	@$(PYTHON) -m pip install --quiet --root-user-action ignore --disable-pip-version-check --upgrade --require-hashes --target $(CACHE)/tools/uv --requirement requirements/uv.txt
	@touch $@

.venv/.installed: requirements/dev.txt pyproject.toml | $(UV)
	@echo "==> .venv from requirements/dev.txt"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

runtime: setup ## the native inference runtime, in the user's cache
	@$(BIN)/visionfleet local install

engines: setup ## the real engines that tests run on, built once into the user's cache
	@engines/packages
	@$(BIN)/python engines/build.py
	@$(BIN)/python -m tests.engines.debian

bench: setup ## every benchmark; each prints its ratio and fails where its goal is missed
	@for benchmark in benchmarks/*.py; do echo "==> $$benchmark"; $(BIN)/python "$$benchmark"; done

quickstart: setup ## the main job on this machine; KEEP=1 leaves the stack running
	@$(BIN)/python examples/quickstart/run.py $(if $(KEEP),--keep)

check: setup ## the fast half: format, lint, types, imports, generated files, playbooks, unit tests
	@$(MAKE) --no-print-directory --jobs 2 lint unit

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/yamllint --strict .
	$(BIN)/lint-imports
	$(BIN)/python -m visionfleet.generate --check
	@$(MAKE) --no-print-directory $(CHECKED)/types $(CHECKED)/playbooks

# These two take long, keep nothing of what they found, and have nothing new to say until a file that they read has
# changed or gone: then its folder has. The date is that of the beginning, for what changes meanwhile.
CHECKED := .venv/.checked
below = $(shell find $(1) -name __pycache__ -prune -o -print)
begin = @mkdir -p $(@D) && touch $@.begun
end = @mv $@.begun $@

$(CHECKED)/types: pyproject.toml .venv/.installed $(call below,src infra inventory/plugins playbooks/device playbooks/library)
	$(begin)
	$(BIN)/basedpyright
	$(end)

# the inventory is read, too, and with it the example
PLAYBOOKS := playbooks benchmarks inventory examples/acme src/visionfleet/config src/visionfleet/projections
$(CHECKED)/playbooks: .ansible-lint .yamllint ansible.cfg .venv/.installed $(call below,$(PLAYBOOKS))
	$(begin)
	PATH="$(CURDIR)/$(BIN):$$PATH" VISIONFLEET_FILE=examples/acme/visionfleet.yaml $(BIN)/ansible-lint --offline -q playbooks benchmarks
	$(end)

# they write many small files: into memory, where there is room and programs may be started
MEMORY := $(shell [ "$$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt 2000000 ] 2>/dev/null && \
	! findmnt --noheadings --output OPTIONS /dev/shm | grep -qw noexec && echo /dev/shm)
unit: export PYTEST_DEBUG_TEMPROOT := $(MEMORY)
unit: setup
	$(BIN)/pytest --quiet -m 'not engine' --numprocesses 2 $(if $(MEMORY),-o tmp_path_retention_policy=failed)

test: export VISIONFLEET_HYPOTHESIS := thorough
test: check runtime engines ## everything: check, then the tests on real engines
	@$(MAKE) --no-print-directory --keep-going --jobs 2 engine-cluster engine-devices engine-rest

# Pods, boots and releases are waited for most of the time: so there are more processes than processors. A file is one
# process's, which starts what its tests share, and long files come first. Clusters have a run of their own, since each
# process of it has one.
engine-cluster: setup
	$(BIN)/pytest -m 'engine and cluster' --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 25

DEVICES := tests/docs/test_edge_commands.py tests/edge tests/engines tests/device
engine-devices: setup
	$(BIN)/pytest -m 'engine and not cluster' --numprocesses 3 --dist loadfile --no-loadscope-reorder $(DEVICES)

engine-rest: setup
	$(BIN)/pytest -m 'engine and not cluster' --numprocesses 2 --dist loadfile $(DEVICES:%=--ignore=%)

format: setup ## format and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generate: setup ## write the files that are made from the models
	$(BIN)/python -m visionfleet.generate

COMPILE := pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-annotate --no-header
lock: | $(UV) ## resolve the locks again
	$(UV) $(COMPILE) requirements/uv.in --output-file requirements/uv.txt
# the larger set first: a tool of development may not take the newest of what both need
	$(UV) $(COMPILE) pyproject.toml --all-extras --group dev --output-file requirements/dev.txt
	$(UV) $(COMPILE) pyproject.toml --all-extras --constraint requirements/dev.txt --output-file requirements/runtime.txt
	$(UV) $(COMPILE) pyproject.toml --constraint requirements/runtime.txt --output-file requirements/image.txt
	$(UV) $(COMPILE) requirements/inference.in --override requirements/inference-overrides.txt --output-file src/visionfleet/local/inference-1.8.3.txt

clean: ## remove what make made here; the cache stays
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis
