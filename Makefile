# make run    the miniature, from raw text to tables, in its own environment
# make test   the tests            make lint    style and workflow lint
# make test-slurm   the workflow on a Slurm cluster made for it here (root and Debian packages)
# make lock   resolve envs/*.in into envs/*.lock again
#
# PYTHON=python3.12 chooses the interpreter (3.11 to 3.13); TORCH=gpu installs the CUDA build.

PYTHON ?= python3
TORCH ?= cpu
VENV ?= .venv
ARGUMENTS ?=
SELECT ?= not slow

BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Two test workers with two threads each: see share_cores in scripts/jz3/program.py.
export GOMP_SPINCOUNT ?= 1000

TORCH_VERSION := $(shell sed -n 's/^torch==//p' envs/local.in)

.PHONY: run test test-slurm lint format lock docs clean
.DEFAULT_GOAL := run

run: $(VENV)/local.ready
	@echo "Running the workflow; products go to results/, logs to results/logs/."
	@snakemake --quiet rules $(ARGUMENTS)
	@test ! -f results/tables/main.md || { cat results/tables/main.md; echo; echo "The report: $(CURDIR)/results/report.html"; }

test: $(VENV)/test.ready
	python -m pytest -n 2 --dist loadfile

test-slurm: $(VENV)/test.ready
	python -m pytest tests/slurm --durations 0 -m "$(SELECT)"

lint: $(VENV)/test.ready
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile rules
	snakemake --lint

format: $(VENV)/test.ready
	ruff check --fix .
	ruff format .
	snakefmt Snakefile rules

docs: $(VENV)/test.ready
	PYTHONPATH=scripts python -m jz3.workflow.schema
	PYTHONPATH=scripts python -m jz3.workflow.requests

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Python 3.11 to 3.13 is needed; $(PYTHON) is another. Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch first and apart: where the index offers a CPU build, no CUDA gigabytes are fetched.
$(VENV)/local.ready: envs/local.lock | $(VENV)/bin/python
	@echo "Installing the environment into $(VENV) (a few minutes, once) ..."
ifeq ($(TORCH),cpu)
	@python -m pip install --quiet "torch==$(TORCH_VERSION)+cpu" 2>/dev/null \
	  || { echo "No CPU build of torch in this index; installing the default build."; \
	       python -m pip install --quiet "torch==$(TORCH_VERSION)"; }
else
	@python -m pip install --quiet "torch==$(TORCH_VERSION)"
endif
	@python -m pip install --quiet --no-deps -r envs/local.lock
	@touch $@

$(VENV)/test.ready: envs/test.lock $(VENV)/local.ready
	@python -m pip install --quiet --no-deps -r envs/test.lock
	@touch $@

# local.lock and test.lock hold every package but torch and what only its CUDA build needs. The locks
# of the conda environments hold all, for Linux x86-64 (envs/locks.py).
lock: $(VENV)/test.ready
	for name in local test; do \
	  uv pip compile envs/$$name.in --universal --python-version 3.11 --no-header --no-annotate \
	    $$( [ $$name = test ] && echo "-c envs/local.lock" ) \
	    | grep -vE '^(torch|triton|cuda-|nvidia-)' > envs/$$name.lock; \
	done
	python envs/locks.py

clean:
	rm -rf $(VENV) .snakemake .pytest_cache .ruff_cache .mypy_cache
