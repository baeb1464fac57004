"""The workflow on a real Slurm (tests/slurm/cluster.sh): same products, GPUs, nodes, faults."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from jz3.workflow import environments
from project import Project

HERE = Path(__file__).parent
CLUSTER = HERE / "cluster.sh"
SITE = {
    "SNAKEMAKE_SLURM_PARTITIONS": str(HERE / "partitions.yaml"),
    "JZ3_SLURM_STATUS": "squeue",  # without accounting, sacct would wait for ever
    "JZ3_SLURM_SECONDS": "4",
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
}
FOR_TWO = {  # updates that two GPUs can share
    "synthesizer": {"global_batch": 2},
    "student": {"global_batch": 4},
}
HISTORY = "results/tests/synthesizers/tool/history.jsonl"


def lasting(seconds):
    """An overlay that makes the tool synthesizer's training last about so long."""
    long = {
        "learning_rate": 1.0e-3,
        "schedule": "cosine",
        "warmup_ratio": 0.0,
        "stable_ratio": 0.0,
        "minimum_ratio": 0.0,
        "epochs": 4 * seconds,
        "global_batch": 2,
        "micro_batch": 1,
        "length": 512,
        "weight_decay": 0.0,
        "gradient_clip": 1.0,
        "gradient_checkpointing": False,
        "save_steps": 100_000,
    }
    return {"synthesizers": {"tool": {"recipe": "long"}}, "recipes": {"long": long}}


class SlurmProject(Project):
    """A project that is run by `snakemake --profile slurm`."""

    def slurm(self, *arguments, overlay=None, wait=True, environment=(), before=()):
        """Run, or start, the literal command; the configuration comes as a user's would.

        before: a command that the head process is started by.
        """
        files = ["config.yaml", "tests/config.yaml"]
        if overlay:
            (self.folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
            files.append("overlay.yaml")
        command = [*before, "snakemake", "--profile", "slurm", *arguments]
        site = {**os.environ, **SITE, "JZ3_CONFIG": " ".join(files), **dict(environment)}
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=site,
            stdout=(self.folder / "head.log").open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if not wait:
            return process
        process.wait()
        return process.returncode, self.head_log()

    def head_log(self):
        return (self.folder / "head.log").read_text()

    def history(self):
        """The training's updates, once it is done."""
        return list(map(json.loads, (self.folder / HISTORY).read_text().splitlines()))


def queue(state="RUNNING"):
    """(job, node) of the jobs in a state."""
    listed = subprocess.run(
        ["squeue", "--noheader", "--states", state, "--format", "%A %N"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split() for line in listed.stdout.splitlines()]


def cores_of_jobs():
    """rule -> cores that its last job was given, of all jobs that Slurm remembers."""
    listed = subprocess.run(
        ["squeue", "--noheader", "--states", "all", "--format", "%C %k"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.findall(
        r"^(\d+) (?:rule_)?([a-z_]+?)(?:_wildcards.*)?$", listed.stdout, re.MULTILINE
    )
    return {rule: int(cores) for cores, rule in found}


def until(condition, seconds=120):
    """Wait for a condition and return what it gave."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.5)
    raise AssertionError(f"waited {seconds} s in vain; queue: {queue('all')}")


@pytest.fixture(scope="session", autouse=True)
def cluster():
    subprocess.run([CLUSTER, "start"], check=True, stdout=subprocess.DEVNULL)
    yield
    subprocess.run([CLUSTER, "stop"], check=True)


@pytest.fixture(scope="session")
def local(tmp_path_factory):
    """The same configuration, run on this machine without Slurm."""
    made = Project(tmp_path_factory.mktemp("local") / "project")
    ended = made.run()
    assert ended.returncode == 0, ended.stdout[-6000:]
    return made


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """The whole chain, run once by Slurm, from a head process that has one core."""
    made = SlurmProject(tmp_path_factory.mktemp("slurm") / "project")
    status, log = made.slurm(before=["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))])
    assert status == 0, log[-6000:]
    made.cores = cores_of_jobs()
    return made


@pytest.fixture
def training(project):
    """The project with its long training yet to be done."""
    (project.folder / HISTORY).unlink(missing_ok=True)
    until(lambda: not queue())
    return project


def training_job():
    """The training job under way, as (job, node), once it has made some steps."""
    return next((job for job in queue() if job[1].startswith(("cpu", "gpu"))), None)


def test_products_are_those_of_a_local_run(project, local):
    ours, theirs = project.products(), local.products()
    assert set(ours) == set(theirs)
    different = {name for name in ours if ours[name] != theirs[name]}
    # the report names the machine, the costs are of another run
    assert different <= {"report.html", *(f"tables/cost.{f}" for f in ("csv", "md", "tex"))}


def test_cores_are_those_of_the_configuration_not_of_the_head(project):
    """Which had one: the products above would be the same, after more hours."""
    assert project.cores["execute_solutions"] == 2
    assert project.cores["check_node"] in (1, 2)
    single = ["train_model", "train_reference", "synthesize", "answer_benchmark", "grade_answers"]
    assert {project.cores[rule] for rule in single} == {1}


def test_second_run_does_nothing(project):
    status, log = project.slurm("--dry-run")
    assert status == 0
    assert "Nothing to be done" in log


def test_the_nodes_have_no_network(cluster):
    """So the chain has run without it: what is fetched is fetched where Snakemake runs."""
    command = ["srun", "--partition", "batch", "--chdir", "/", "ip", "route", "show"]
    routes = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert routes.startswith("10.213.0.0/24 ")
    assert "default" not in routes


def test_jobs_see_the_gpus_they_ask_for(project):
    overlay = {"compute": {"gpus": {"train": 2, "generate": 1}}, "recipes": FOR_TWO}
    status, log = project.slurm("preflight", overlay=overlay)
    assert status != 0  # the GPUs are not real: torch finds none
    given = re.findall(r"(\d) asked for, CUDA_VISIBLE_DEVICES=([\d,]*)", log)
    assert {(count, len(devices.split(","))) for count, devices in given} == {("1", 1), ("2", 2)}
    assert re.search(r"of these would make jobs fail; mend them first", log)


def test_a_run_stops_where_long_jobs_would_fail_on_their_node(project):
    status, log = project.slurm(overlay={"compute": {"gpus": {"generate": 2}}})
    assert status != 0
    told = r"admit_jobs: \S+ cannot run the vllm jobs: devices: 0 GPUs seen, 2 asked"
    assert re.search(told, log), log[-3000:]
    assert "Traceback" not in log


def test_two_nodes_train_together(training):
    overlay = {
        "compute": {"gpus": {"train": 2}},
        "sizing": {"gpus_per_node": 1},
        "recipes": FOR_TWO,
    }
    status, log = training.slurm(HISTORY, overlay=overlay)
    assert status == 0, log[-6000:]
    logs = training.folder / "results/tests/logs/synthesizers"
    assert (logs / "train_synthesizer.tool.rank1.log").exists()
    steps = training.history()
    assert steps[-1]["loss"] < steps[0]["loss"] / 2


def test_jobs_of_a_killed_head_are_not_joined_by_others(training):
    head = training.slurm(HISTORY, overlay=lasting(30), wait=False)
    until(training_job)
    os.killpg(head.pid, signal.SIGKILL)
    head.wait()
    training.slurm("--unlock", overlay=lasting(30))
    status, log = training.slurm(HISTORY, overlay=lasting(30))
    assert status != 0
    told = re.search(r"(\d+) Slurm jobs? of an earlier run still work.*(scancel --name \S+)", log)
    assert told, log[-3000:]
    assert "Traceback" not in log
    subprocess.run(told[2].split(), check=True)
    until(lambda: not queue("RUNNING,COMPLETING"))
    status, log = training.slurm(HISTORY, overlay=lasting(30))
    assert status == 0, log[-6000:]
    assert training.history()


# Minutes of waiting each: `make test-slurm SELECT=slow`.


@pytest.mark.slow
def test_generation_has_an_environment_of_its_own(tmp_path_factory):
    """The whole chain, vLLM in `.venv-vllm` on its nodes, all else in `.venv`."""
    python = environments.vllm_folder(sys.prefix) / "bin/python"
    if not python.exists():
        pytest.skip(f"{python}: make environments TORCH=cpu")
    made = SlurmProject(tmp_path_factory.mktemp("slurm") / "vllm")
    # vLLM's attention on processors knows heads of 32 numbers and more
    overlay = {"compute": {"generation": "vllm"}, "checkpoints": {"tiny": {"heads": 2}}}
    status, log = made.slurm(overlay=overlay)
    assert status == 0, log[-6000:]
    results = made.folder / "results/tests"
    versions = {}
    for path in (
        "evaluation/base/cot/word_problems/answers.parquet",
        "synthesis/cot/problems.parquet",
    ):
        texts = map(bytes.decode, pq.read_metadata(results / path).metadata.values())
        versions[path] = re.search(r'"transformers": "([^"]+)"', " ".join(texts))[1]
    assert list(versions.values()) == [
        environments.named(stack)["transformers"] for stack in ("vllm", "main")
    ]


@pytest.mark.slow
def test_time_limit_saves_and_the_next_attempt_goes_on(training):
    overlay = {**lasting(75), "sizing": {"longest_job_hours": 2 / 60}}
    extra = "train_synthesizer:slurm_extra='--signal=TERM@60'"
    status, log = training.slurm(HISTORY, "--set-resources", extra, overlay=overlay)
    assert status == 0, log[-6000:]
    assert "a checkpoint is saved" in log
    assert "Trying to restart job" in log
    steps = [update["step"] for update in training.history()]
    assert steps == list(range(1, steps[-1] + 1))


@pytest.mark.slow
def test_a_cancelled_job_is_done_again(training):
    head = training.slurm(HISTORY, overlay=lasting(30), wait=False)
    job, _ = until(training_job)
    time.sleep(15)
    subprocess.run(["scancel", job], check=True)
    assert head.wait() == 0, training.head_log()[-6000:]
    assert training.history()


def read(path):
    """A file of /proc, if it can be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def lose(node, job):
    """A node dies: its daemon, what watches over the job there, and the job."""
    processes = list(Path("/proc").glob("[0-9]*"))
    watching = [
        p for p in processes if read(p / "cmdline").startswith(f"slurmstepd: [{job}.".encode())
    ]
    working = [
        p for p in processes if f"SLURM_JOB_ID={job}".encode() in read(p / "environ").split(b"\0")
    ]
    daemon = int(Path(f"/var/lib/jz3-slurm/slurmd-{node}.pid").read_text())
    for number in [daemon, *(int(p.name) for p in watching), *(int(p.name) for p in working)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


@pytest.mark.slow
def test_a_lost_node_gives_its_job_back(training):
    head = training.slurm(HISTORY, overlay=lasting(30), wait=False)
    job, node = until(training_job)
    time.sleep(10)
    lose(node, job)
    until(lambda: [job] in queue("PENDING"), seconds=90)
    subprocess.run([CLUSTER, "node", node], check=True)
    assert head.wait() == 0, training.head_log()[-6000:]
    assert training.history()


@pytest.mark.slow
def test_a_preempted_job_starts_again(training):
    head = training.slurm(HISTORY, overlay=lasting(30), wait=False)
    job, node = until(training_job)
    time.sleep(10)
    command = ["sbatch", "--parsable", "-p", "urgent", "-w", node, "-c", "4", "--wrap", "sleep 5"]
    subprocess.run([*command, "--output", "/dev/null"], check=True, stdout=subprocess.DEVNULL)
    until(lambda: [job] in queue("PENDING"), seconds=60)
    assert head.wait() == 0, training.head_log()[-6000:]
    assert training.history()


@pytest.mark.slow
def test_two_hundred_shards_share_jobs(project):
    shards = "results/tests/synthesis/many/shards/{:05d}.parquet"
    many = {
        "mode": "cot",
        "synthesizer": "initial",
        "prompts": 400,
        "shards": 200,
        "sampling": {"temperature": 0.3, "top_p": 1.0, "max_new_tokens": 8},
        "filters": ["parsed"],
    }
    environment = {"JZ3_SLURM_SHARDS": "4", "JZ3_SLURM_JOBS": "6"}
    head = project.slurm(
        *map(shards.format, range(200)),
        overlay={"corpora": {"many": many}},
        wait=False,
        environment=environment,
    )
    most, seen = 0, set()
    while head.poll() is None:
        listed = queue("PENDING,RUNNING,COMPLETING")
        most, seen = max(most, len(listed)), seen | {job for job, *_ in listed}
        time.sleep(1)
    assert head.returncode == 0, project.head_log()[-6000:]
    assert all((project.folder / shards.format(number)).exists() for number in range(200))
    assert most <= 6
    assert len(seen) <= 200 / 4 + 1  # and the draw
