# Every target makes what it needs from a fresh clone, on a machine that has Python (3.11 or later), git and make.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Cold starts are measured without what only development installs (some of it is imported by whoever finds it).
BENCH  := build/bench-venv
# Twice as many as the two cores of a small machine: half of what the stories do is wait.
JOBS   ?= 4
# What the packages carry: plain (minutes) or optimised (an hour; for releases).
INTERPRETER ?= plain

.PHONY: help demo pictures test lint bench matrix package test-system test-deployments compatibility clean

help:
	@echo "make demo         the main job, shown on this machine: a simulated cloud, the agent, a real Dask cluster"
	@echo "make pictures     what README shows of the demo, status and doctor, in a terminal"
	@echo "make test         lint, unit, property, vector, scenario and integration tests, layers, duplicates"
	@echo "make lint         ruff, mypy"
	@echo "make bench        start, requests, idle, crypto: one table beside references, and build/bench.json"
	@echo "make matrix       what each client sees of renewed and withdrawn credentials"
	@echo "make package      wheel, sdist, deb, rpm, tarball, container image, into dist/"
	@echo "make test-system  the packages in booted machines and in containers (needs root)"
	@echo "make test-deployments  the pages for batch queues, gateways and pods, against real ones (needs root)"
	@echo "make compatibility  which releases of Dask and which Pythons work, tried and written into COMPATIBILITY.md"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "credagent needs Python 3.11 or later; say which: make PYTHON=python3.12 …" >&2; exit 69; }
	@$(PYTHON) -m venv $(VENV) || { echo "hint: on Debian and Ubuntu, venv is a package of its own: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 69; }

# One stamp for each extra, renewed when pyproject.toml changes.
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

$(BENCH)/.installed: pyproject.toml | $(BIN)/python
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

demo: $(VENV)/.installed-demo
	$(BIN)/python -m tests.demo

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What the run said is kept and searched for the canary secret, whichever way the run ended.
test: lint
	rm -rf build/test-logs && mkdir -p build/test-logs
	$(BIN)/python -m tests.run --every-python -n $(JOBS) --dist loadgroup

# Run it when what they show has changed; the pictures are committed. Needs root, tmux and a Chromium of Debian's.
pictures: $(VENV)/.installed-dev
	$(BIN)/python -m tests.pictures
	$(BIN)/python -m tests.pictures.dashboard packaging/documentation/pictures/dashboard.png

bench: $(VENV)/.installed-dev $(BENCH)/.installed
	$(BIN)/python -m tests.benchmarks --python $(BENCH)/bin/python

matrix: $(VENV)/.installed-matrix
	$(BIN)/python -m tests.matrix.install
	$(BIN)/python -m pytest -n 2 --dist loadgroup tests/matrix

package:
	PYTHON=$(PYTHON) INTERPRETER=$(INTERPRETER) packaging/build

test-system: $(VENV)/.installed-dev
	rm -rf build/system-logs
	CREDAGENT_TEST_LOGS=$(CURDIR)/build/system-logs $(BIN)/python -m tests.system

test-deployments: $(VENV)/.installed-dev
	$(BIN)/python -m tests.deployments

compatibility: $(VENV)/.installed-dev
	$(BIN)/python -m tests.deployments.compatibility

clean:
	rm -rf $(VENV) build dist
