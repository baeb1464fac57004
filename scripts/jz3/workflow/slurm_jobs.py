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


def refuse(folder: str | Path, on_slurm: bool) -> None:
    """Raise UserError, with the command to cancel them, if jobs of another run work in `folder`.

    Also where Slurm does not answer, if this run uses it (`on_slurm`).
    """
    if not shutil.which("squeue"):
        return
    command = ["squeue", "--noheader", "--user", getpass.getuser(), "--format", "%j|%Z"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        if not on_slurm:
            return
        said = (error.stderr or "").strip().partition("\n")[0] or "no answer within a minute"
        raise UserError(
            f"squeue does not tell whether jobs of an earlier run still work here: {said}"
        ) from None
    here = os.path.realpath(folder)
    found = Counter()
    for line in listed.stdout.splitlines():
        name, _, place = line.partition("|")
        if name.startswith(PREFIX) and os.path.realpath(place) == here:
            found[name] += 1
    if found:
        jobs = found.total()
        raise UserError(
            f"{jobs} Slurm job{'s' if jobs > 1 else ''} of an earlier run still work in {here}, and"
            " would write the same files. Wait for them, or cancel them:"
            f" scancel --name {','.join(sorted(found))}"
        )
