# Every target sets up what it needs in a virtual environment of its own.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := requirements/constraints.txt
DATA ?= diabetes digits
WORKERS ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test lint types unit docs test-modal test-oldest clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

# torch comes first and by itself: a CPU build satisfies the pin, and nothing after
# it pulls another.
$(VENV)/.ready: setup.cfg pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) torch
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[test,docs,benchmarks]'
	touch $@

demo: $(VENV)/.ready  ## compare strategies on real data (DATA="diabetes digits" or ames)
	$(BIN)/python -m benchmarks.demo --data $(DATA) --output demo_output

test: lint types unit docs  ## everything that CI runs

lint: $(VENV)/.ready  ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready  ## static types
	$(BIN)/mypy

unit: $(VENV)/.ready  ## tests and doctests, with the floor on coverage
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --cov --cov-report=term

docs: $(VENV)/.ready  ## the documentation, warnings as errors
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

clean:  ## remove everything that the targets made
	rm -rf .venv .venv-* docs/_build docs/auto_examples docs/generated demo_output
