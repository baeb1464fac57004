"""Influence: the formulas, gradients of single samples, the three programs end to end."""

import json
import math
import random
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from influence_world import (
    GRADIENTS,
    LORA,
    SCORING,
    TARGETS,
    TRAINING,
    aim,
    backward,
    candidate_samples,
    count_batches,
    finish,
    flat,
    kill_at_batch,
    lora_model,
    make_world,
    nonsense,
    problem,
    rate,
    scores_of,
    store,
    target,
    train,
    write,
)
from jz3 import io, templates
from jz3.influence import adam_features, reference_run, target_directions
from jz3.influence.sample_gradients import (
    Sample,
    SampleGradients,
    add_lora,
    batches,
    encode,
    load_model,
    weight_shapes,
)
from jz3.influence.scores import combine, score
from jz3.influence.texts import share_of, subtasks
from jz3.records import BENCHMARK, PROBLEMS
from safetensors import safe_open
from safetensors.torch import load_file, save_file


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def run(world: Path) -> Path:
    return finish(world)


# ---------------------------------------------------------------- formulas


def feature(gradient, first, second, form, *, step=4, eps=1e-8):
    found = adam_features.adam_feature(
        torch.tensor([gradient], dtype=torch.float64),
        torch.tensor(first, dtype=torch.float64),
        torch.tensor(second, dtype=torch.float64),
        step=step, betas=(0.9, 0.999), eps=eps, form=form,
    )  # fmt: skip
    return found[0].tolist()


def test_released_feature_by_hand():
    # m' = 0.9 * 0.5 + 0.1 * 2 = 0.65;  v' = 0.999 * 0.09 + 0.001 * 4 = 0.09391
    assert feature([2.0], [0.5], [0.09], "released", eps=0.01) == pytest.approx(
        [0.65 / math.sqrt(0.09391 + 0.01)], rel=1e-12
    )


def test_adam_feature_by_hand():
    # as above; fifth update: 1 - 0.9^5 = 0.40951, 1 - 0.999^5 = 0.004990009995001
    expected = (0.65 / 0.40951) / (math.sqrt(0.09391 / 0.004990009995001) + 0.01)
    assert feature([2.0], [0.5], [0.09], "adam", eps=0.01) == pytest.approx([expected], rel=1e-12)


def test_adam_feature_is_the_optimizers_next_step():
    torch.manual_seed(0)
    weight = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([weight], lr=0.01, weight_decay=0.0)
    for _ in range(4):
        weight.grad = torch.randn(5, dtype=torch.float64)
        optimizer.step()
    state, before = optimizer.state[weight], weight.detach().clone()
    first, second = state["exp_avg"].tolist(), state["exp_avg_sq"].tolist()
    weight.grad = torch.randn(5, dtype=torch.float64)
    ours = feature(weight.grad.tolist(), first, second, "adam")
    optimizer.step()
    assert ours == pytest.approx(((before - weight.detach()) / 0.01).tolist(), rel=1e-9)


def test_combination_by_hand():
    # weights 3/4 and 1/4: 0.75 * 0.2 + 0.25 * -0.4 = 0.05;  0.75 * 0.1 + 0.25 * 0.5 = 0.2
    assert combine([[0.2, 0.1], [-0.4, 0.5]], [3e-5, 1e-5]) == pytest.approx([0.05, 0.2])
    with pytest.raises(io.UserError, match="learning rate 0"):
        combine([[0.2]], [0.0])


def test_unknown_switches():
    with pytest.raises(io.UserError, match=r'"Adam" is not known.*Did you mean "adam"'):
        adam_features.check("Adam")


# ---------------------------------------------------------------- gradients of single samples


def some_samples(tokenizer, count: int = 6) -> list[Sample]:
    texts = [(f"p{n}", nonsense(n, 3 + n), nonsense(50 + n, 2 + 4 * n)) for n in range(count)]
    return encode(tokenizer, texts, 96)


def test_hooks_agree_with_backward(world):
    model, tokenizer = lora_model(world)
    samples = some_samples(tokenizer)
    found: dict[str, torch.Tensor] = {}
    with SampleGradients(model) as sample_gradients:
        losses = sample_gradients(samples, found.__setitem__)
    assert found.keys() == {name for name, _ in weight_shapes(model)} != set()
    for row, sample in enumerate(samples):
        expected = backward(model, sample)
        for name, gradient in expected.items():
            error = (found[name][row] - gradient).norm() / gradient.norm()
            assert error < 1e-5, (sample.identity, name)
        ids, labels = (torch.tensor([part]) for part in (sample.input_ids, sample.labels))
        assert losses[row].item() == pytest.approx(model(ids, labels=labels).loss.item(), rel=1e-5)


def test_prompt_is_masked_and_end_is_learnt(world):
    _, tokenizer = lora_model(world)
    [sample] = encode(tokenizer, [("x", "red blue\n", "seven")], 96)
    prompt = len(tokenizer("red blue\n")["input_ids"])
    assert set(sample.labels[:prompt]) == {-100}
    assert sample.labels[prompt:] == sample.input_ids[prompt:]
    assert sample.input_ids[-1] == tokenizer.eos_token_id
    assert encode(tokenizer, [("x", nonsense(1, 200), "seven")], 96) == [None]


def test_batches_depend_on_samples_alone():
    samples = [Sample(str(n), (7,) * (1 + n % 9), (7,) * (1 + n % 9)) for n in range(40)]
    made = batches(samples, 16)
    random.Random(4).shuffle(samples)
    assert batches(samples, 16) == made
    assert sorted(s.identity for b in made for s in b) == sorted(s.identity for s in samples)
    assert all(len(b) * max(len(s.input_ids) for s in b) <= 16 for b in made)
    assert [len(b) for b in batches(samples, 1)] == [1] * 40


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found.double() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("form", ["released", "adam"])
def test_features_against_the_formula_written_out(run, form):
    """One sample at a time, by loss.backward(), in float64 from there on."""
    checkpoint = reference_run.load_all(run / "reference", LORA)[1]
    model, tokenizer = lora_model(run, checkpoint)
    samples = candidate_samples(run, tokenizer)
    pieces: dict[str, torch.Tensor] = {}
    with SampleGradients(model) as sample_gradients:
        made = adam_features.CandidateFeatures(sample_gradients, checkpoint, form)
        made(samples, pieces.__setitem__)
    stored = load_file(checkpoint.directory / "adam.safetensors")
    m = flat({name: stored[f"exp_avg.{name}"] for name in pieces})
    v = flat({name: stored[f"exp_avg_sq.{name}"] for name in pieces})
    for row, sample in enumerate(samples):
        gradient = backward(model, sample)
        g = flat({name: gradient[name] for name in pieces})
        expected = formula(g, m, v, checkpoint.step, form)
        found = torch.cat([piece[row] for piece in pieces.values()])
        assert relative_error(found, expected) < 1e-5


def formula(g, m, v, step, form):
    """FACTS of LESS: eps inside the root; or of Adam: bias corrections of the next update."""
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    if form == "released":
        return m / (v + 1e-8) ** 0.5
    return (m / (1 - 0.9 ** (step + 1))) / ((v / (1 - 0.999 ** (step + 1))) ** 0.5 + 1e-8)


@pytest.fixture(scope="module")
def scorer(run):
    """Scores of samples, in the order given, with batches of so many tokens."""
    checkpoints = reference_run.load_all(run / "reference", LORA)
    model, tokenizer = lora_model(run)
    aims = target_directions.Directions(
        run / "targets.safetensors", checkpoints, weight_shapes(model)
    )
    samples = candidate_samples(run, tokenizer)

    def scores(order, tokens):
        with tempfile.TemporaryDirectory() as folder, io.Journal(f"{folder}/j", "batch") as journal:
            found = score(
                model, checkpoints, aims, [samples[place] for place in order], "released", journal,
                tokens=tokens,
            )  # fmt: skip
        return [found[sample] for sample in samples if sample in found]

    return scores, scores(range(len(samples)), 1)


@given(order=st.permutations(range(10)), tokens=st.integers(1, 1200))
@example(order=range(10), tokens=10_000)  # all in one batch
@settings(deadline=None, max_examples=10)
def test_scores_do_not_depend_on_batch_and_order(scorer, order, tokens):
    scores, alone = scorer
    for found, expected in zip(scores(order, tokens), alone, strict=True):
        assert found == pytest.approx(expected, rel=0, abs=1e-6)


# ---------------------------------------------------------------- the programs


def test_reference_files(run):
    first, second = reference_run.load_all(run / "reference", LORA)
    assert second.step == 2 * first.step > 0
    assert first.learning_rate > second.learning_rate > 0
    moments = second.moments()
    weights = load_file(second.directory / reference_run.ADAPTER_FILE)
    for kind in moments:
        assert {n: t.shape for n, t in kind.items()} == {n: t.shape for n, t in weights.items()}
        assert all(t.dtype == torch.float32 for t in kind.values())
    assert all((t >= 0).all() for t in moments[1].values())
    assert str(run) not in (second.directory / "adapter_config.json").read_text()


def test_adapter_loads_with_peft(run):
    from peft import PeftModel

    checkpoint = reference_run.load_all(run / "reference", LORA)[1]
    base, tokenizer = load_model(run / "base", "float32")
    theirs = PeftModel.from_pretrained(base, checkpoint.directory).eval()
    ours = lora_model(run, checkpoint)[0].eval()
    plain, _ = load_model(run / "base", "float32")
    ids = torch.tensor([tokenizer(nonsense(1))["input_ids"]])
    with torch.no_grad():
        assert torch.equal(theirs(ids).logits, ours(ids).logits)
        assert not torch.allclose(plain(ids).logits, ours(ids).logits)


@pytest.mark.parametrize("form", ["released", "adam"])
def test_scores_against_the_formula_written_out(run, tmp_path, form):
    """max over t of mean over z' of sum over i of w_i cos(feature_i(z), gradient_i(z'))."""
    rate(run, tmp_path / "scores.parquet", SCORING | {"feature": form})
    found = scores_of(tmp_path / "scores.parquet")
    rows = [
        row for row in io.read_rows(run / "candidates.parquet", PROBLEMS) if row["status"] == "kept"
    ]
    assert [row["problem_id"] for row in found] == [row["problem_id"] for row in rows]
    tables = [io.read_rows(run / f"{name}.parquet", BENCHMARK) for name in ("apples", "mixed")]
    chosen = subtasks(TARGETS, tables, 5)
    assert {name: len(group) for name, group in chosen.items()} == {
        "apples": 3, "mixed:algebra": 2, "mixed:sets": 1,
    }  # fmt: skip
    infos = [json.loads((run / f"reference/epoch-{k}/info.json").read_text()) for k in (1, 2)]
    whole = sum(info["learning_rate"] for info in infos)
    expected = {row["problem_id"]: dict.fromkeys(chosen, 0.0) for row in rows}
    for checkpoint, info in zip(
        reference_run.load_all(run / "reference", LORA), infos, strict=True
    ):
        model, tokenizer = lora_model(run, checkpoint)

        def gradient(row, model=model, tokenizer=tokenizer):
            prompt = templates.question_text(row["question"], "cot")
            [sample] = encode(tokenizer, [("", prompt, row["solution"])], 96)
            return flat(backward(model, sample))

        stored = load_file(checkpoint.directory / "adam.safetensors")
        names = [name for name, _ in weight_shapes(model)]
        m = flat({name: stored[f"exp_avg.{name}"] for name in names})
        v = flat({name: stored[f"exp_avg_sq.{name}"] for name in names})
        aims = {name: [gradient(row) for row in group] for name, group in chosen.items()}
        for row in rows:
            g = gradient(row)
            direction = formula(g, m, v, info["step"], form)
            for name, group in aims.items():
                cosines = [torch.cosine_similarity(direction, z, dim=0).item() for z in group]
                weight = info["learning_rate"] / whole
                expected[row["problem_id"]][name] += weight * sum(cosines) / len(cosines)
    for row in found:
        by_subtask = expected[row["problem_id"]]
        for name, value in by_subtask.items():
            assert row[f"score_{name}"] == pytest.approx(value, rel=1e-5, abs=1e-6)
        assert row["total"] == max(row[f"score_{name}"] for name in by_subtask)


def test_a_copy_of_a_target_scores_highest(run):
    rows = scores_of(run / "scores.parquet")
    planted = io.digest(target("apples", 0)["question"])
    best, next_best = sorted(rows, key=lambda row: -row["total"])[:2]
    assert best["problem_id"] == planted
    assert best["total"] > next_best["total"] + 0.01
    assert all(-1 <= row["total"] <= 1 for row in rows)


def test_problems_like_the_targets_are_found_among_unrelated_ones(run, tmp_path):
    """Planted: the targets' kind with other names, things and numbers."""
    things = ["pears", "books", "coins", "cups", "keys", "hats"]
    planted = [
        problem(
            f"Ann has {n + 11} {thing} and buys {n + 2}. How many {thing}?",
            f"{n + 11} + {n + 2} = {2 * n + 13}. The answer is \\boxed{{{2 * n + 13}}}.",
        )
        for n, thing in enumerate(things)
    ]
    others = [problem(nonsense(n, 14), nonsense(500 + n, 4 + n)) for n in range(24)]
    path = write(tmp_path / "candidates.parquet", planted + others, PROBLEMS)
    rate(run, tmp_path / "scores.parquet", candidates=path)
    rows = sorted(scores_of(tmp_path / "scores.parquet"), key=lambda row: -row["total"])
    best = {row["problem_id"] for row in rows[: len(planted)]}
    assert len(best & {row["problem_id"] for row in planted}) >= 0.9 * len(planted)


def test_equal_runs_give_equal_bytes(run, tmp_path):
    train(run, tmp_path / "reference")
    assert io.file_digest(tmp_path / "reference") == io.file_digest(run / "reference")
    aim(run, run / "reference", tmp_path / "targets.safetensors")
    rate(run, tmp_path / "scores.parquet")
    for name in ("targets.safetensors", "scores.parquet"):
        assert io.file_digest(tmp_path / name) == io.file_digest(run / name)


def test_draws_depend_on_seed_and_identity_alone():
    rows = [problem(nonsense(n), "x") for n in range(40)]
    drawn = {row["problem_id"] for row in share_of(rows, 0.3, 1)}
    assert len(drawn) == 12
    assert {row["problem_id"] for row in share_of(rows[::-1], 0.3, 1)} == drawn
    assert {row["problem_id"] for row in share_of(rows, 0.3, 2)} != drawn
    assert len(share_of(rows[:3], 0.05, 1)) == 1
    assert len(share_of(rows, 1.0, 1)) == 40
    with pytest.raises(io.UserError, match="share"):
        share_of(rows, 0.0, 1)


def test_targets_are_spread_over_subjects():
    rows = [target("m", n, "abc"[min(n // 10, 2)]) for n in range(21)]  # 10 of a, 10 of b, 1 of c
    wanted = {"benchmark": "m", "split": "train", "problems": 9, "by_subject": True}
    chosen = subtasks([wanted], [rows], 1)
    assert {name: len(group) for name, group in chosen.items()} == {"m:a": 4, "m:b": 4, "m:c": 1}
    assert subtasks([wanted], [rows[::-1]], 1) == chosen
    assert subtasks([wanted], [rows], 2) != chosen
    every = subtasks([wanted | {"problems": 0, "by_subject": False}], [rows], 1)
    assert {name: len(group) for name, group in every.items()} == {"m": 21}


# ---------------------------------------------------------------- interruptions


def test_scores_after_kill_are_the_same(run, tmp_path, monkeypatch):
    state, output = tmp_path / "state", tmp_path / "scores.parquet"
    call = f"rate(Path({str(run)!r}), Path({str(output)!r}), state=Path({str(state)!r}))"
    kill_at_batch(2, call)
    assert not output.exists()
    finished = (state / "cosines.jsonl").read_text().splitlines()
    assert len(finished) == 1
    with (state / "cosines.jsonl").open("a") as stream:
        stream.write('{"batch": "epoch-1/1", "cos')  # a line torn by the kill
    calls = count_batches(monkeypatch)
    rate(run, output, state=state)
    resumed = len(calls)
    calls.clear()
    rate(run, tmp_path / "again.parquet")
    assert resumed == len(calls) - 1 > 0
    assert output.read_bytes() == (tmp_path / "again.parquet").read_bytes()
    assert output.read_bytes() == (run / "scores.parquet").read_bytes()
    assert not state.exists()


class Stop(Exception):
    pass


def stop_after(count: int, function):
    calls = []

    def counted(*arguments):
        if len(calls) == count:
            raise Stop
        calls.append(1)
        return function(*arguments)

    return counted


def test_target_gradients_after_interruption_are_the_same(run, tmp_path, monkeypatch):
    monkeypatch.setattr(target_directions, "SAVE_SECONDS", -1)
    monkeypatch.setattr(target_directions, "BATCH_TOKENS", 1)
    aim(run, run / "reference", tmp_path / "whole.safetensors")
    counted = target_directions._unit_gradients
    with monkeypatch.context() as patch:
        patch.setattr(target_directions, "_unit_gradients", stop_after(8, counted))
        with pytest.raises(Stop):
            aim(run, run / "reference", tmp_path / "resumed", state=tmp_path / "state")
    assert not (tmp_path / "resumed").exists()
    monkeypatch.setattr(
        target_directions, "_unit_gradients", stop_after(4, counted)
    )  # of 12: 4 are left
    aim(run, run / "reference", tmp_path / "resumed", state=tmp_path / "state")
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_reference_after_interruption_is_the_same(run, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(reference_run, "save", stop_after(1, reference_run.save))
        with pytest.raises(Stop):
            train(run, tmp_path / "reference", state=tmp_path / "state")
    assert not (tmp_path / "reference").exists()
    assert (tmp_path / "state/epochs/epoch-1/info.json").exists()
    train(run, tmp_path / "reference", state=tmp_path / "state")
    assert io.file_digest(tmp_path / "reference") == io.file_digest(run / "reference")


def test_state_of_other_settings_is_not_used(run, tmp_path):
    state = tmp_path / "state"
    with pytest.raises(io.UserError):
        rate(run, tmp_path / "s.parquet", SCORING | {"length": 12}, state=state, gradients=run)
    io.resume_directory(state, "something else")
    (state / "cosines.jsonl").write_text('{"batch": "epoch-1/0", "cosines": [[9.0, 9.0, 9.0]]}\n')
    rate(run, tmp_path / "s.parquet", state=state)
    assert (tmp_path / "s.parquet").read_bytes() == (run / "scores.parquet").read_bytes()


# ---------------------------------------------------------------- a user's mistakes


def test_no_candidate_was_kept(run, tmp_path):
    path = write(tmp_path / "c.parquet", [problem("q", "s", status="truncated")], PROBLEMS)
    with pytest.raises(io.UserError, match="none of the 1 candidates was kept"):
        rate(run, tmp_path / "s.parquet", candidates=path)
    with pytest.raises(io.UserError, match="none of the 1 candidates was kept"):
        train(run, tmp_path / "reference", candidates=path)
    with pytest.raises(io.UserError, match="empty"):
        rate(run, tmp_path / "s.parquet", candidates=write(tmp_path / "e", [], PROBLEMS))


def test_target_without_worked_solutions(run, tmp_path):
    bare = [target("apples", n) | {"solution": " "} for n in range(3)]
    tables = [write(tmp_path / "apples.parquet", bare, BENCHMARK), run / "mixed.parquet"]
    with pytest.raises(io.UserError, match="apples/train: no problem has a worked solution"):
        aim(run, run / "reference", tmp_path / "t", targets=tables)
    with pytest.raises(io.UserError, match="8 have a worked solution"):
        subtasks(
            [TARGETS[1] | {"problems": 9}], [io.read_rows(run / "mixed.parquet", BENCHMARK)], 1
        )
    with pytest.raises(io.UserError, match="1 tables for 2 entries"):
        aim(run, run / "reference", tmp_path / "t", targets=tables[:1])
    with pytest.raises(io.UserError, match="within 12 tokens"):
        aim(run, run / "reference", tmp_path / "t", GRADIENTS | {"length": 12})


def test_loss_that_is_not_a_number_names_the_sample(run, tmp_path):
    broken = tmp_path / "reference"
    shutil.copytree(run / "reference", broken)
    for folder in broken.glob("epoch-*"):
        path = folder / reference_run.ADAPTER_FILE
        weights = load_file(path)
        name = sorted(weights)[0]
        weights[name] = torch.full_like(weights[name], float("nan"))
        save_file(weights, path)
    with pytest.raises(io.UserError, match=r"problem \w{16}: its loss is nan"):
        aim(run, broken, tmp_path / "t")


def test_a_broken_base_is_noticed_by_every_program(run, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(run / "base", base)
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(io.UserError, match=r"problem \w{16}: its loss is nan"):
        rate(run, tmp_path / "scores", base=base)
    with pytest.raises(io.UserError, match=r"problem \w{16}: its loss is nan"):
        store(run, tmp_path / "features", base=base)
    with pytest.raises(io.UserError, match="the loss is not finite at step 1"):
        train(run, tmp_path / "reference", base=base)
    assert not list(tmp_path.glob("scores*"))
    assert not (tmp_path / "features").exists()
    assert not (tmp_path / "reference").exists()


def test_gradient_that_is_zero_or_not_finite_names_the_sample():
    batch = [Sample("good", (1,), (1,)), Sample("bad", (1,), (1,))]
    for value in (0.0, float("nan"), float("inf")):
        with pytest.raises(io.UserError, match="problem bad"):
            adam_features.norms(torch.tensor([1.0, value]), batch)


def test_checkpoint_without_moments(run, tmp_path):
    broken = tmp_path / "reference"
    shutil.copytree(run / "reference", broken)
    path = broken / "epoch-2" / reference_run.MOMENTS_FILE
    moments = load_file(path)
    missing = sorted(moments)[0]
    save_file({name: moments[name] for name in moments if name != missing}, path)
    with pytest.raises(io.UserError, match="no exp_avg of base_model"):
        rate(run, tmp_path / "s.parquet", reference=broken)
    path.unlink()
    with pytest.raises(io.UserError, match="no Adam moments"):
        rate(run, tmp_path / "s.parquet", reference=broken)
    with pytest.raises(io.UserError, match="Run train_reference"):
        rate(run, tmp_path / "s.parquet", reference=tmp_path)


def test_files_that_do_not_belong_together(run, tmp_path):
    other = LORA | {"rank": 2}
    with pytest.raises(io.UserError, match="Train the reference again"):
        rate(run, tmp_path / "s.parquet", SCORING | {"lora": other})
    train(run, tmp_path / "narrow", TRAINING | {"lora": other, "epochs": 1})
    aim(run, tmp_path / "narrow", tmp_path / "narrow.st", GRADIENTS | {"lora": other})
    with pytest.raises(io.UserError, match=r"other LoRA weights: base_model.* is \[2, 64\]"):
        rate(run, tmp_path / "s.parquet", gradients=tmp_path / "narrow.st")
    train(run, tmp_path / "again", seed=6)
    with pytest.raises(io.UserError, match="made with another reference run"):
        rate(run, tmp_path / "s.parquet", reference=tmp_path / "again")
    for path, message in ((run / "candidates.parquet", "not a file"), (run / "none", "no such")):
        with pytest.raises(io.UserError, match=message):
            rate(run, tmp_path / "s.parquet", gradients=path)


def test_lora_target_that_no_layer_has(world):
    model, _ = load_model(world / "base", "float32")
    with pytest.raises(io.UserError, match=r'no layer "q_prj"\. Did you mean "q_proj"'):
        add_lora(model, LORA | {"targets": ["q_prj"]}, 1)


def test_target_file_describes_itself(run):
    with safe_open(run / "targets.safetensors", "pt") as file:
        assert sorted(file.keys()) == ["epoch-1", "epoch-2"]
        described = json.loads(file.metadata()["jz3"])
        tensor = file.get_tensor("epoch-1")
    assert described["subtasks"] == ["apples", "mixed:algebra", "mixed:sets"]
    assert described["problems"] == [3, 2, 1]
    size = sum(rows * columns for _, (rows, columns) in described["weights"])
    assert tensor.shape == (3, size)
    assert tensor.dtype == torch.float32
    # A mean of unit vectors is at most of norm 1, and is one for a single sample.
    assert tensor.norm(dim=1)[2].item() == pytest.approx(1, abs=1e-6)
    assert (tensor.norm(dim=1) < 1 + 1e-6).all()
