# `make run` and `make test` need Python 3.11 or newer, make and git, and set up the rest themselves.

VENV := .venv
BIN := $(VENV)/bin
# Two stamps, as running needs less than testing. They lie in .venv and go with it.
RUN := $(VENV)/.run
DEV := $(VENV)/.dev
PYTHONS := python3.13 python3.12 python3.11 python3
# More workers than cores, as many tests wait for timers, programs and the page most of the time.
TESTS := $(BIN)/python -m pytest -n 3 --dist worksteal
SOURCES := src tests $(wildcard bench fuzz)

INSTALL := $(BIN)/python -m pip install --disable-pip-version-check
# How many packages these files pin, those of other systems left out.
count = $(shell cat $(1) | grep '==.* [\\]$$' | grep -v "== 'win32'\|== 'emscripten'" | sort -u | wc -l | tr -d ' ')
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help setup run test check contract simulate format lock docs clean

help: ## Lists the targets.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(RUN) ## Makes .venv with what running needs; the program is .venv/bin/ladestrom then.

run: $(RUN) ## Starts the demo: a simulated country, live.
	@exec $(BIN)/ladestrom demo

test: $(DEV) ## Runs the tests.
	$(TESTS)

check: $(DEV) ## Runs lint, types, import contracts and tests.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports
	$(TESTS)

contract: $(DEV) ## Tries the server against its published contracts with many random requests (minutes).
	CONTRACT_CASES=$${CONTRACT_CASES:-300} $(BIN)/python -m pytest --timeout 3600 tests/contracts/test_openapi.py

simulate: $(DEV) ## Runs 1,000 simulated worlds of each sort, then plants each known fault until it is found (minutes); SEEDS=N.
	$(BIN)/python bench/simulate.py --seeds $${SEEDS:-1000}

format: $(DEV) ## Formats the code and sorts the imports.
	$(BIN)/ruff check --select I --fix
	$(BIN)/ruff format

lock: $(DEV) ## Pins the dependencies anew; LOCK_FLAGS=--upgrade takes the newest of all.
	$(LOCK) $(LOCK_FLAGS) --output-file requirements/run.txt pyproject.toml
	$(LOCK) $(LOCK_FLAGS) --group build --output-file requirements/build.txt
	$(LOCK) $(LOCK_FLAGS) --constraint requirements/run.txt --constraint requirements/build.txt \
		--group build --group dev --output-file requirements/dev.txt pyproject.toml

docs: $(DEV) ## Writes the documents that are made from tables of the program.
	$(BIN)/python -m tests.documents

clean: ## Removes what was built, .venv included.
	rm -rf $(VENV) build dist htmlcov .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache

$(RUN): requirements/run.txt requirements/build.txt pyproject.toml
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		for python in $(PYTHONS); do \
			if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
				echo "Step 1 of 3: make a virtual environment in $(VENV) with $$python"; \
				exec $$python -m venv --clear $(VENV); \
			fi; \
		done; \
		echo "no Python 3.11 or newer with venv here; on Debian: apt-get install python3-venv" >&2; \
		exit 1; \
	fi
	@echo "Step 2 of 3: install the $(call count,requirements/run.txt requirements/build.txt) packages \
	that running needs into $(VENV)"
	@$(INSTALL) --require-hashes -r requirements/run.txt -r requirements/build.txt
	@echo "Step 3 of 3: install ladestrom itself into $(VENV)"
	@$(INSTALL) --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(RUN) requirements/dev.txt
	@echo "Install the tools for tests and checks: $(call count,requirements/dev.txt) packages in all"
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@
