#!/bin/sh
# Written by envs/locks.py. Snakemake runs it in the clone's root.
set -eu
sha256sum --check --quiet <<END
8eb6a9caeda7f6d79f8403b16e533885e8c64e80bc672f25cf7ee5aa98de9436  envs/torch.lock
dc51bfb58c82e41f4e7f2e4a8c4271e130c6bcae4ff18699cecdb406e5b5bfeb  envs/main.lock
END
python -m pip install --no-deps --require-hashes --only-binary :all: \
  -r envs/torch.lock -r envs/main.lock
