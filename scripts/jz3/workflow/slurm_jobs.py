"""Slurm jobs that an earlier run left behind, when its head process was killed.

They go on writing the files that a new run would write too; Snakemake keeps no record of them.
"""

import getpass
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

from ..io import UserError

PREFIX = "jz3_"  # of job names: slurm-jobname-prefix in profiles/slurm/profile.yaml
SECONDS = 60  # for squeue to answer


def refuse(folder: str | Path, on_slurm: bool) -> None:
    """Raise UserError, with the command to cancel them, if jobs of another run work in `folder`.

    Also where Slurm does not answer, if this run uses it (`on_slurm`).
    """
    if not shutil.which("squeue"):
        return
    command = ["squeue", "--noheader", "--user", getpass.getuser(), "--format", "%j|%Z"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, timeout=SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        if not on_slurm:
            return
        silent = "it failed without a word"
        if isinstance(error, subprocess.TimeoutExpired):
            silent = f"no answer within {SECONDS} s"
        said = (error.stderr or b"").decode(errors="replace").strip().partition("\n")[0]
        raise UserError(
            f"squeue does not tell whether jobs of an earlier run still work here: {said or silent}"
        ) from None
    here = os.path.realpath(folder)
    names: Counter[str] = Counter()
    for line in os.fsdecode(listed.stdout).splitlines():
        name, _, workplace = line.partition("|")
        if name.startswith(PREFIX) and os.path.realpath(workplace) == here:
            names[name] += 1
    if names:
        jobs = names.total()
        raise UserError(
            f"{jobs} Slurm job{'s' if jobs > 1 else ''} of an earlier run still work in {here}, and"
            " would write the same files. Wait for them, or cancel them:"
            f" scancel --name {','.join(sorted(names))}"
        )
