# Every target creates the virtual environment that it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := requirements/constraints.txt
DATA ?= diabetes digits
WORKERS ?= 2
FUZZ ?= 10000
# The pure packages, what is read of a learner, and the picks of each strategy, without
# the tests that are marked slow.
QUICK := tests/measures tests/selection tests/spaces tests/reading \
	tests/strategies/test_base.py tests/test_picks.py tests/test_rows.py \
	tests/test_stacking.py tests/test_rng.py
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo quick fuzz kill test lint types unit tables docs test-modal test-oldest test-peers test-learners clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

# torch is installed first and alone: a CPU build satisfies the pin, and nothing
# installed later replaces it.
$(VENV)/.ready: setup.cfg pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) torch
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[test,docs,benchmarks]'
	touch $@

demo: $(VENV)/.ready  ## compare strategies on real data (DATA="diabetes digits" or ames)
	$(BIN)/python -m benchmarks.demo --data $(DATA) --output demo_output

quick: lint  ## style, and the unit tests of the pure packages and of reading
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) -m "not slow" $(QUICK)

fuzz: $(VENV)/.ready  ## thousands of random problems; goes on where it was stopped
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --n $(FUZZ)

# The result must not depend on the network: no links to the sites of other projects.
test: export SKAL_INTERSPHINX := 0
test: lint types unit docs  ## everything that CI runs

kill: $(VENV)/.ready  ## kill processes that label; no label may be lost or doubled
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.campaign.kill --n 200

lint: $(VENV)/.ready  ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready  ## static types
	$(BIN)/mypy

unit: $(VENV)/.ready  ## tests and doctests, with the floor on coverage
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --cov --cov-report=term

tables: $(VENV)/.ready  ## rewrite the parts of README and docs made from the code
	$(BIN)/python -m docs.tables

docs: $(VENV)/.ready  ## the documentation, warnings as errors
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

# The same suite with the oldest supported versions.
.venv-oldest/.ready: setup.cfg pyproject.toml requirements/oldest.txt
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --constraint requirements/oldest.txt torch
	.venv-oldest/bin/python -m pip install --quiet --constraint requirements/oldest.txt \
		--editable '.[plot,dask,save,label]' httpx polars \
		pytest pytest-timeout pytest-xdist hypothesis
	touch $@

test-oldest: .venv-oldest/.ready  ## tests with the oldest supported versions
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest -q -n $(WORKERS)

# modAL 0.4.2 pins a skorch that no longer imports, so it is installed without its pins.
.venv-modal/.ready: setup.cfg pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv .venv-modal
	.venv-modal/bin/python -m pip install --quiet --constraint $(CONSTRAINTS) torch
	.venv-modal/bin/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[test]'
	.venv-modal/bin/python -m pip install --quiet --no-deps modAL-python==0.4.2.1
	touch $@

test-modal: .venv-modal/.ready  ## learners and strategies with modAL 0.4.2
	OMP_NUM_THREADS=1 .venv-modal/bin/python -m pytest -q -n $(WORKERS) \
		tests/learners tests/test_modal_contract.py tests/test_common.py

# bmdal_reg needs numpy < 2, so it runs in a separate environment and process.
.venv-peers/.ready: requirements/peers-bmdal.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --constraint $< torch
	.venv-peers/bin/python -m pip install --quiet --requirement $<
	touch $@

test-peers: $(VENV)/.ready .venv-peers/.ready  ## picks against those of bmdal_reg
	OMP_NUM_THREADS=1 BMDAL_PYTHON=.venv-peers/bin/python \
		$(BIN)/python -m pytest -q tests/peers

# ngboost pins an older scikit-learn than it needs, so it is installed without its pins.
.venv-learners/.ready: setup.cfg pyproject.toml $(CONSTRAINTS) requirements/learners.txt
	$(PYTHON) -m venv .venv-learners
	.venv-learners/bin/python -m pip install --quiet --constraint $(CONSTRAINTS) torch
	.venv-learners/bin/python -m pip install --quiet --constraint $(CONSTRAINTS) \
		--editable '.[test]' --requirement requirements/learners.txt
	.venv-learners/bin/python -m pip install --quiet --no-deps ngboost==0.6.0
	touch $@

test-learners: .venv-learners/.ready  ## strategies with XGBoost, LightGBM, CatBoost and others
	OMP_NUM_THREADS=1 .venv-learners/bin/python -m pytest -q -n $(WORKERS) \
		tests/matrix tests/reading tests/posteriors

clean:  ## remove what the targets created
	rm -rf .venv .venv-* docs/_build docs/auto_examples docs/generated docs/results \
		docs/sg_execution_times.rst demo_output
