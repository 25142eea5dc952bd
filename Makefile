# Two commands do everything on a machine with Python 3.11+, git and make: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

.PHONY: demo test check claims docs mutants install help

help: ## Show this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

install: $(STAMP) ## Make .venv and install the package with its pinned dependencies

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ecc_fed needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	@# torch first: what is already there draws in no second build of it.
	$(PIP) torch
	$(PIP) --editable '.[dev,gemini,gemini-legacy,privacy,quantization,chatglm3]'
	@touch $(STAMP)

demo: $(STAMP) ## Run the quickstart study on the embedded models and print its table
	$(BIN)/ecc-fed study quickstart

check: $(STAMP) ## Lint, format, types, rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: check ## All checks and all tests
	$(BIN)/pytest -n 2 --dist loadgroup --durations=25

claims: $(STAMP) ## Rerun the cheap commands behind README's figures, and compare
	$(BIN)/python -m experiments.claims

docs: $(STAMP) ## Build the pages of docs/ into site/
	$(BIN)/mkdocs build --quiet

# One change more closely: `.venv/bin/mutmut show NAME`; tried again after a test was mended: `.venv/bin/mutmut run NAME`.
mutants: $(STAMP) ## Small wrong changes, one at a time: which do the tests miss? An hour on two cores
	$(PIP) --editable '.[mutants]'
	rm -rf mutants
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/mutmut run --max-children 2
	$(BIN)/python experiments/mutants/rates.py
