#!/bin/sh
# Written by envs/locks.py. Snakemake runs it in the clone's root.
set -eu
sha256sum --check --quiet <<END
d97f06c6c3b733be2a5b28b81997975408c0fea74be8be687db343dd71883652  envs/vllm.lock
END
python -m pip install --no-deps --require-hashes --only-binary :all: \
  -r envs/vllm.lock
