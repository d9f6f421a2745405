# Each target makes what it needs: a virtual environment with the packages of pyproject.toml, on a machine with python3.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-2.4 roots check mutants bench clean

demo: $(VENV)/.run
	$(BIN)/orchestrator demo

# Four at a time: most tests wait for servers. A file stays with one worker, for the servers that its tests share.
ARGS ?= -q -n 4 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(ARGS)

# Against the real Dovecot 2.4 of Debian trixie and of sid: the first time roots are made for them, in some minutes.
test-2.4: roots
	ORCHESTRATOR_DOVECOT24=1 $(BIN)/python -m pytest -m dovecot24 $(ARGS)

roots: $(VENV)/.dev
	$(BIN)/python -m tests.real.roots

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Small mistakes, one at a time: do the nearest tests notice? Hours the first time, on one core; what was tried is kept in .mutants.
# MUTANTS='--most 60' tries a sample of each module; MUTANTS=orchestrator/outcome.py one module.
MUTANTS ?=

mutants: $(VENV)/.mutants
	$(BIN)/python -m tests.mutants $(MUTANTS)

# Some twenty minutes on an idle machine. What is not installed is left out, by name; BENCH='--install' brings it (root).
BENCH ?=

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/throughput.py --rounds 5 --operations 100000 $(BENCH)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { \
	  echo "cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 1; }

$(VENV)/.run: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python scripts/dependency_group.py test check | xargs -d '\n' $(BIN)/python -m pip install --quiet --disable-pip-version-check
	@touch $@

$(VENV)/.mutants: $(VENV)/.dev
	$(BIN)/python scripts/dependency_group.py mutants | xargs -d '\n' $(BIN)/python -m pip install --quiet --disable-pip-version-check
	@touch $@

clean:
	rm -rf $(VENV) .mutants dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
