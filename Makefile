# Two commands do everything on a machine with Python 3.11+, git and make: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What a run needs, and with it what the tests need.
PACKAGE := $(VENV)/.package
STAMP := $(VENV)/.installed
# Python compiles what is imported, a small part of 300 MB.
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile --constraint constraints.txt
# torch without CUDA, gigabytes less: taken where there is no NVIDIA GPU and the package index at hand has CUDA's build.
# Empty: whatever that index has.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: demo test test-gpu check claims docs mutants install lock help

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

install: $(PACKAGE) ## Make .venv and install the package with its pinned dependencies, without those of the tests

$(PACKAGE): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ecc_fed needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	@# torch first: what is already there draws in no second build of it.
	@if [ -n "$(TORCH_CPU_INDEX)" ] && [ ! -e /proc/driver/nvidia ] && ! command -v nvidia-smi >/dev/null \
	    && $(PIP) --dry-run --report - torch | grep -q '"name": "nvidia-'; then \
	  echo "No NVIDIA GPU here: torch comes from $(TORCH_CPU_INDEX), without CUDA."; \
	  $(PIP) --no-deps --retries 1 --timeout 30 --index-url "$(TORCH_CPU_INDEX)" torch || { \
	    echo "Name another index of torch without CUDA: make TORCH_CPU_INDEX=URL; or take CUDA's: make TORCH_CPU_INDEX=" >&2; \
	    exit 1; }; \
	else $(PIP) torch; fi
	$(PIP) --editable .
	@touch $(PACKAGE)

$(STAMP): $(PACKAGE)
	$(PIP) --editable '.[dev,gemini,gemini-legacy,privacy,quantization,chatglm3,gguf]'
	@touch $(STAMP)

demo: $(PACKAGE) ## Run the quickstart study on the embedded models and print its table
	$(BIN)/ecc-fed study quickstart

check: $(STAMP) ## Lint, format, types, rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: check ## All checks and all tests
	$(BIN)/pytest -n 2 --dist loadgroup --durations=25

test-gpu: $(STAMP) ## What needs an NVIDIA GPU; skipped with a reason where there is none
	$(BIN)/pytest -m gpu -rs

claims: $(STAMP) ## Rerun the cheap commands behind README's figures, and compare
	$(BIN)/python -m experiments.claims

docs: $(STAMP) ## Build the pages of docs/ into site/
	$(BIN)/mkdocs build --quiet

lock: $(STAMP) ## After a change of constraints.txt: the SHA-256 of every file of a pinned package, in requirements.lock
	$(BIN)/uv pip compile constraints.txt --no-deps --universal --python-version 3.11 --generate-hashes --quiet \
	  --no-emit-package torch --no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file $(VENV)/lock
	{ grep '^#' requirements.lock; grep -v '^#' $(VENV)/lock; } >$(VENV)/whole.lock
	mv $(VENV)/whole.lock requirements.lock

# One change more closely: `.venv/bin/mutmut show NAME`; tried again after a test was mended: `.venv/bin/mutmut run NAME`.
mutants: $(STAMP) ## Small wrong changes, one at a time: which do the tests miss? An hour on two cores
	$(PIP) --editable '.[mutants]'
	rm -rf mutants
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/mutmut run --max-children 2
	$(BIN)/python experiments/mutants/rates.py
