"""Jobs that a killed run left in Slurm, as an installed `squeue` tells of them."""

import pytest
from jz3.io import UserError
from jz3.workflow import slurm_jobs


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Installs a `squeue` with a body in shell; the start waits a second for it."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(slurm_jobs, "SECONDS", 1)

    def install(body):
        (tmp_path / "squeue").write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "squeue").chmod(0o755)
        return tmp_path

    return install


def test_jobs_that_work_here_are_refused_with_the_command_to_cancel_them(squeue):
    folder = squeue("")
    squeue(
        f"printf 'jz3_a|{folder}\\njz3_b|{folder}\\njz3_a|{folder}\\njz3_c|/\\nmine|{folder}\\n'"
    )
    with pytest.raises(UserError, match=r"3 Slurm jobs .*: scancel --name jz3_a,jz3_b$"):
        slurm_jobs.refuse(folder, on_slurm=False)
    squeue("printf 'jz3_c|/\\n'")
    slurm_jobs.refuse(folder, on_slurm=True)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("echo 'Unable to contact slurm controller' >&2; exit 1", "Unable to contact slurm"),
        ("echo 'slurm_load_jobs error' >&2; exec sleep 30", "slurm_load_jobs error"),
        ("printf 'caf\\351\\n' >&2; exec sleep 30", "caf"),
        ("exec sleep 30", "no answer within 1 s"),
        ("exit 1", "it failed without a word"),
    ],
)
def test_a_squeue_that_does_not_tell_stops_a_run_that_uses_slurm(squeue, body, said):
    folder = squeue(body)
    with pytest.raises(UserError, match=f"squeue does not tell .*: {said}"):
        slurm_jobs.refuse(folder, on_slurm=True)
    slurm_jobs.refuse(folder, on_slurm=False)


def test_nothing_is_asked_where_there_is_no_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    slurm_jobs.refuse(tmp_path, on_slurm=True)
