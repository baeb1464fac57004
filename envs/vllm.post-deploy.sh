#!/bin/sh
# Written by envs/locks.py. Snakemake runs it in the clone's root.
set -eu
sha256sum --check --quiet <<END
ee7d9bb9a49d8bb2e13193d56a75af5ed5c7196e1d0d0953b17ea69a75e1e21d  envs/vllm.lock
END
python -m pip install --no-deps --require-hashes --only-binary :all: \
  -r envs/vllm.lock
