"""What a run cost: counted in its products, timed by its records, nothing twice, nothing lost."""

import subprocess
import sys
from pathlib import Path

import pytest
from jz3.distillation.journal import NANO, TeacherJournal
from jz3.io import UserError, file_digest, write_table, write_text
from jz3.records import ANSWERS, COMPLETIONS, PROBLEMS
from jz3.tables import costs, sidecar

ROOT = Path(__file__).resolve().parents[2]
GPUS = {
    "ask_teacher": {"random": 0},
    "synthesize": {"cot": 2},
    "train_model": {"jiuzhang": 8},
    "answer_benchmark": {"jiuzhang/cot/gsm8k": 1, "jiuzhang/cot/svamp": 1},
}


def filled(schema, **values) -> dict:
    return {**dict.fromkeys(schema.names), **values}


@pytest.fixture
def run(tmp_path) -> dict:
    """A small run: its products and the times of its jobs."""
    products = []

    def table(name, schema, rows):
        products.append(tmp_path / name)
        write_table(products[-1], [filled(schema, **row) for row in rows], schema, {"code": "c"})

    table("distillation/random/completions.parquet", COMPLETIONS, [
        {"prompt_tokens": 100, "completion_tokens": 40, "cost": 0.25},
        {"prompt_tokens": 120, "completion_tokens": None, "cost": 0.5},
    ])  # fmt: skip
    table("synthesis/cot/problems.parquet", PROBLEMS, [{"completion_tokens": 30}] * 3)
    table("synthesis/cot/rejected.parquet", PROBLEMS, [])
    for benchmark in ("gsm8k", "svamp"):
        name = f"evaluation/jiuzhang/cot/{benchmark}/answers.parquet"
        table(name, ANSWERS, [{"prompt_tokens": 10, "completion_tokens": 7}])
    products.append(tmp_path / "models/jiuzhang/history.jsonl")
    write_text(products[-1], '{"tokens": 500, "loss": 2}\n{"tokens": 900, "loss": 1}\n')
    for name, seconds, cpu in (
        ("corpus/extract_passages.web", 1, 1),
        ("corpus/extract_passages.qa", 2, "NA"),
        ("distillation/ask_teacher.random", 60, 1),
        ("synthesis/synthesize.cot.00000", 1800, 10),
        ("synthesis/synthesize.cot.00001", 1800, 10),
        ("synthesis/synthesize.gone.00000", 9e9, 1),  # of an entry that is no more
        ("training/train_model.jiuzhang", 3600, 100),
        ("evaluation/answer_benchmark.jiuzhang.cot.gsm8k", 30, 3),
        ("evaluation/answer_benchmark.jiuzhang.cot.svamp", 40, 3),
        ("tables/build_table.main", 9e9, 1),  # shows costs, and is none
    ):
        lines = f"s\th:m:s\tcpu_time\n{seconds}\t-\t{cpu}\n"
        write_text(tmp_path / "timings" / f"{name}.tsv", lines)
    return {"products": products, "timings": tmp_path / "timings"}


def test_every_number_by_hand(run):
    found, strays = costs.collect(run["products"], run["timings"], GPUS)
    assert strays == 1
    made = {(cost.rule, cost.entry): cost for cost in found.itertuples()}
    assert list(made) == [
        ("extract_passages", ""), ("ask_teacher", "random"), ("synthesize", "cot"),
        ("train_model", "jiuzhang"), ("answer_benchmark", "jiuzhang/cot"),
    ]  # fmt: skip
    teacher, writing, training, answers = list(made.values())[1:]
    assert (teacher.tokens_read, teacher.tokens_written, teacher.dollars) == (220, 40, 0.75)
    assert (writing.jobs, writing.tokens_written, writing.gpu_seconds) == (2, 90, 2 * 3600)
    assert (training.tokens_trained, training.gpu_seconds) == (900, 8 * 3600)
    assert (answers.jobs, answers.tokens_read, answers.seconds) == (2, 20, 70)
    assert made["extract_passages", ""].cpu_seconds == 1  # what was not sampled adds nothing
    total = costs.with_total(found, 2.0).iloc[-1]
    assert total["stage"] == "all"
    assert total["jobs"] == 8
    assert total["gpu_seconds"] == 10 * 3600 + 70
    assert total["gpu_dollars"] == round(2 * (10 + 70 / 3600), 2)


def test_columns_of_which_nothing_is_known_are_left_out(run):
    found, _ = costs.collect(run["products"], run["timings"], GPUS)
    paid = costs.layout(costs.with_total(found, 2.0))
    assert paid.header[-3:] == ["GPU-hours", "GPU dollars", "teacher dollars"]
    without = {rule: dict.fromkeys(names, 0) for rule, names in GPUS.items()}
    found, _ = costs.collect(run["products"][1:], run["timings"], without)
    free = costs.layout(costs.with_total(found, 2.0))
    assert free.header[-1] == "processor"
    assert all(len(row) == len(free.header) for row in free.rows)
    assert "unknown" in " ".join(free.notes)  # the paper's costs


def test_an_answer_that_two_distillations_share_was_paid_once(tmp_path):
    row = {"request_id": "a", "prompt_digest": "d", "text": "t", "finish_reason": "stop",
           "prompt_tokens": 10, "completion_tokens": 5, "model": "m", "cost": 0.5}  # fmt: skip
    paths = [tmp_path / "distillation" / name / "completions.parquet" for name in ("few", "more")]
    write_table(paths[0], [row], COMPLETIONS, {})
    write_table(paths[1], [row, row | {"request_id": "b"}], COMPLETIONS, {})
    found, _ = costs.collect(paths, tmp_path / "timings", {})
    assert found["dollars"].tolist() == [0.5, 0.5]
    assert found["tokens_read"].tolist() == [10, 10]


def test_what_the_teacher_was_paid_beyond_the_answers_in_use(run, tmp_path):
    """0.75 dollars are in the completions; 1.00 was answered and 0.25 may have been billed."""
    path = tmp_path / "journal.sqlite"
    with TeacherJournal(path) as journal:
        answer = dict.fromkeys(("text", "finish_reason", "model"), "x")
        answer |= {"prompt_tokens": 1, "completion_tokens": 1}
        charge = journal.reserve("a", NANO, 10 * NANO)
        journal.keep("a", {}, "", answer, charge, NANO)
        journal.reserve("b", NANO // 4, 10 * NANO)
    found, _ = costs.collect(run["products"], run["timings"], GPUS, path)
    (unused,) = found.loc[found["rule"] == costs.UNUSED, "dollars"]
    assert unused == pytest.approx(0.5)
    assert costs.with_total(found, 2.0).iloc[-1]["dollars"] == 1.25
    absent, _ = costs.collect(run["products"], run["timings"], GPUS, tmp_path / "none.sqlite")
    assert costs.UNUSED not in set(absent["rule"])
    assert not (tmp_path / "none.sqlite").exists()


def test_other_products_are_refused(run, tmp_path):
    with pytest.raises(UserError, match=r"passages\.parquet: not a product whose tokens"):
        costs.collect([tmp_path / "corpus/x/passages.parquet"], run["timings"], GPUS)


def test_torn_and_foreign_files_are_named(run):
    path = run["products"][0]
    path.write_bytes(b"PAR1 torn")
    with pytest.raises(UserError, match=r"completions\.parquet: not a readable Parquet file"):
        costs.collect([path], run["timings"], GPUS)
    path.write_bytes(run["products"][1].read_bytes())
    with pytest.raises(UserError, match=r'completions\.parquet: column "cost" is missing'):
        costs.collect([path], run["timings"], GPUS)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5 s"), (90, "1.5 min"), (3600, "1.0 h"), (9e6, "2,500.0 h")]
)
def test_time(seconds, text):
    assert costs.time(seconds) == text


def test_program(run, tmp_path):
    import json

    forms = {form: tmp_path / f"cost.{form}" for form in ("csv", "markdown", "latex", "sidecar")}
    command = [
        sys.executable, ROOT / "scripts/build_cost_table.py", "--products", *run["products"],
        "--timings", run["timings"], "--code", "of the table",
        "--recipe", json.dumps({"gpus": GPUS, "gpu_hour_dollars": 2.0}),
        *(part for form, path in forms.items() for part in (f"--{form}", path)),
    ]  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = costs.read_csv(forms["csv"])
    assert table.iloc[-1]["dollars"] == 0.75
    assert ",0.750000," in forms["csv"].read_text().splitlines()[-1]
    found, _ = costs.collect(run["products"], run["timings"], GPUS)
    assert table.equals(costs.with_total(found, 2.0))
    assert "| all |" in forms["markdown"].read_text()
    assert r"\bottomrule" in forms["latex"].read_text()
    made = json.loads(forms["sidecar"].read_text())
    assert made["made_by"]["code"] == "of the table"
    teacher = made["files"]["distillation/random/completions.parquet"]
    assert teacher == {"sha256": file_digest(run["products"][0]), "made_by": {"code": "c"}}
    assert len(made["files"]) == len(run["products"])
    assert sidecar.of_files("cost", run["products"], "of the table") == made
    command[command.index(run["timings"])] = tmp_path / "none"
    failed = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert failed.stderr.strip() == (
        f"build_cost_table: {tmp_path / 'none'}: no such folder; no job has left its time."
    )
