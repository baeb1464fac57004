"""Schedules, the trainer, resuming, and the programs of the training stage."""

import argparse
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pack_corpus
import peft
import pytest
import torch
import train_model
import train_synthesizer
import transformers
from hypothesis import given
from hypothesis import strategies as st
from jz3 import io
from jz3.records import BENCHMARK, PACKS, PAIRS, PROBLEMS
from jz3.training import attention, packing, schedules
from jz3.training.recipe import SCHEDULES, TrainingRecipe
from jz3.training.train import PackTrainer, save_checkpoint, train
from test_packing import letters

RECIPE = {
    "learning_rate": 1e-3,
    "schedule": "linear",
    "warmup_ratio": 0.0,
    "stable_ratio": 0.85,
    "minimum_ratio": 0.1,
    "epochs": 1,
    "global_batch": 4,
    "micro_batch": 2,
    "length": 48,
    "weight_decay": 0.1,
    "gradient_clip": 1.0,
    "gradient_checkpointing": False,
    "save_steps": 100,
    "dtype": "float32",
    "threads": 1,
}


def typed(**changes):
    return TrainingRecipe.read(RECIPE | changes)


SIZES = {
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def llama(**settings):
    torch.manual_seed(0)
    settings = {"tie_word_embeddings": True, "initializer_range": 0.1} | SIZES | settings
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings))


def mixtral():
    torch.manual_seed(0)
    settings = SIZES | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}
    settings |= {"initializer_range": 0.1, "router_aux_loss_coef": 0.5}
    return transformers.MixtralForCausalLM(transformers.MixtralConfig(**settings))


def lora():
    torch.manual_seed(0)
    settings = peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.1, target_modules=["q_proj"])
    return peft.get_peft_model(llama(), settings)


def documents(count, seed=1):
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        ids = [draw.randrange(2, 64) for _ in range(draw.randint(4, 15))]
        prompt = draw.randint(1, len(ids) - 2)
        made.append(packing.Document(ids, [packing.IGNORED] * prompt + ids[prompt:]))
    return made


def alone(made):
    return [packing.join([document]) for document in made]


# ---------------------------------------------------------------- schedules


@pytest.mark.parametrize(
    ("step", "factor"),
    [(0, 0.0), (15, 0.5), (29, 29 / 30), (30, 1.0), (849, 1.0), (850, 1.0), (925, 0.5), (985, 0.1),
     (984, 16 / 150), (999, 0.1)],
)  # fmt: skip
def test_wsd_as_released(step, factor):
    recipe = typed(schedule="wsd", warmup_ratio=0.03, stable_ratio=0.85, minimum_ratio=0.1)
    assert schedules.factor(recipe, step, 1000) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("schedule", "step", "factor"),
    [("linear", 0, 0.0), ("linear", 1, 0.5), ("linear", 2, 1.0), ("linear", 6, 0.5),
     ("linear", 10, 0.0), ("cosine", 2, 1.0), ("cosine", 4, 0.8535533905932737),
     ("cosine", 6, 0.5), ("cosine", 10, 0.0)],
)  # fmt: skip
def test_linear_and_cosine(schedule, step, factor):
    recipe = typed(schedule=schedule, warmup_ratio=0.15)  # of 10 updates: 1.5, rounded up to 2
    assert schedules.factor(recipe, step, 10) == pytest.approx(factor)


@given(st.sampled_from(SCHEDULES), st.integers(1, 500), st.floats(0, 0.5))
def test_rate_is_never_above_the_peak_nor_below_zero(schedule, total, warmup):
    recipe = typed(schedule=schedule, warmup_ratio=warmup)
    factors = [schedules.factor(recipe, step, total) for step in range(total + 1)]
    assert all(0 <= factor <= 1 for factor in factors)


def test_wsd_repeats_each_stage_before_the_next():
    stages = ["pretrain", "pretrain", "finetune"]
    recipe = typed(schedule="wsd", epochs=2)
    assert schedules.order(recipe, stages, 5, 0) == [0, 1, 0, 1, 2, 2]
    assert schedules.passes(recipe) == 1


def test_each_epoch_has_its_own_order():
    first, second = (schedules.order(typed(), [""] * 30, 5, epoch) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(30))
    assert first != second
    assert first == schedules.order(typed(), [""] * 30, 5, 0)
    assert first != schedules.order(typed(), [""] * 30, 6, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"schedule": "cosin"}, 'unknown schedule .* Did you mean "cosine"'),
     ({"schedule": "wsd", "warmup_ratio": 0.9}, "warmup_ratio <= stable_ratio"),
     ({"global_batch": 3}, "not a multiple of micro_batch 2")],
)  # fmt: skip
def test_impossible_recipes(change, message):
    with pytest.raises(io.UserError, match=message):
        train(llama(), alone(documents(4)), RECIPE | change, seed=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": "2"}, "recipe: epochs must be a whole number, found '2'."),
        ({"epochs": 2.0}, "recipe: epochs must be a whole number, found 2.0."),
        ({"epochs": True}, "recipe: epochs must be a whole number, found True."),
        ({"epochs": 0}, "recipe: epochs must be more than 0, found 0."),
        ({"learning_rate": "1e-4"}, "recipe: learning_rate must be a number, found '1e-4'."),
        ({"learning_rate": float("nan")}, "recipe: learning_rate must be a number, found nan."),
        ({"weight_decay": -1}, "recipe: weight_decay must be 0 or more, found -1."),
        ({"minimum_ratio": 1.5}, "recipe: minimum_ratio must be from 0 to 1, found 1.5."),
        ({"gradient_checkpointing": 1}, "gradient_checkpointing must be true or false, found 1."),
        ({"dtype": None}, "recipe: dtype must be a text, found None."),
        ({"dtype": "float16"}, 'recipe: unknown dtype "float16" (float32 | bfloat16). Did'),
    ],
)
def test_a_wrong_value_is_one_line(change, message):
    with pytest.raises(io.UserError) as caught:
        typed(**change)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [f.name for f in dataclasses.fields(TrainingRecipe) if f.default is dataclasses.MISSING],
)
def test_a_missing_key_is_named_and_a_misspelt_one_recognised(key):
    recipe = {name: value for name, value in RECIPE.items() if name != key}
    with pytest.raises(io.UserError, match=rf"^recipe: {key} is missing\.$"):
        TrainingRecipe.read(recipe)
    with pytest.raises(io.UserError, match=rf'{key} is missing\. Did you mean "{key}s"'):
        TrainingRecipe.read(recipe | {f"{key}s": 1})


def test_a_recipe_takes_whole_numbers_and_leaves_other_settings_alone():
    assert typed(weight_decay=0, lora={"rank": 1}) == typed(weight_decay=0.0)


# ---------------------------------------------------------------- loss and attention


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("implementation", ["documents", "sdpa", "eager"])
def test_pack_equals_its_documents_alone(implementation):
    """Loss and gradients of a pack, for our attention and for transformers' own masks."""
    made, model = documents(4), llama()
    model.set_attn_implementation(implementation)
    for pack in [*alone(made), None]:
        if pack is None:
            apart = gradients(model)
            model.zero_grad()
            pack = packing.join(made)
        logits = model(
            input_ids=torch.tensor([pack["input_ids"]]),
            position_ids=torch.tensor([pack["positions"]]),
            use_cache=False,
        ).logits[0]
        labels = torch.tensor([*pack["labels"][1:], packing.IGNORED])
        torch.nn.functional.cross_entropy(logits, labels, reduction="sum").backward()
    together = gradients(model)
    assert together.keys() == apart.keys()
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, apart[name], rtol=1e-5, atol=1e-5, msg=name)


def first_update(model, packs, **change):
    recipe = RECIPE | {"global_batch": len(packs), "gradient_clip": 1e9} | change
    return train(model, packs, recipe, seed=1).lines[1]


def test_loss_does_not_depend_on_packing_or_accumulation():
    made = documents(12)
    wanted = first_update(llama(), alone(made), micro_batch=1)
    pairs = [packing.join(made[i : i + 2]) for i in range(0, 12, 2)]
    for packs, micro in [(alone(made), 12), (pairs, 1), (pairs, 3)]:
        found = first_update(llama(), packs, micro_batch=micro)
        assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-5)
        assert found["grad_norm"] == pytest.approx(wanted["grad_norm"], rel=1e-5)
        assert found["tokens"] == sum(len(d.input_ids) for d in made)


@pytest.mark.parametrize("make", [llama, mixtral, lora])
def test_loss_is_the_models_own(make):
    """With the output layer on labelled positions only, and a router's balancing loss."""
    model, pack = make(), alone(documents(1, seed=9))[0]
    inputs = {key: torch.tensor([pack[key]]) for key in ("input_ids", "labels")}
    if make is mixtral:
        inputs["output_router_logits"] = True
    wanted = model.eval()(**inputs).loss.item()
    found = first_update(model, [pack], micro_batch=1)["loss"]
    assert found == pytest.approx(wanted, rel=1e-2 if make is lora else 1e-5)


def test_gradient_checkpointing_and_autocast_change_little():
    made = documents(4)
    wanted = first_update(llama(), alone(made))["grad_norm"]
    again = first_update(llama(), alone(made), gradient_checkpointing=True)["grad_norm"]
    assert again == pytest.approx(wanted, rel=1e-5)
    rough = first_update(llama(), alone(made), dtype="bfloat16")["grad_norm"]
    assert rough != wanted
    assert rough == pytest.approx(wanted, rel=0.05)


def test_attention_that_leaks_is_refused(monkeypatch):
    def leaking(module, query, key, value, mask, scaling=None, **_):
        out = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=True
        )
        return out.transpose(1, 2), None

    transformers.AttentionInterface.register("documents", leaking)
    try:
        with pytest.raises(io.UserError, match="crosses packed documents"):
            train(llama(), alone(documents(4)), RECIPE, seed=1)
    finally:
        transformers.AttentionInterface.register("documents", attention.document_attention)


def test_short_sliding_window_keeps_its_mask():
    model = llama()
    model.config.sliding_window = 16
    with attention.per_document(model, 48):
        assert model.config._attn_implementation == "sdpa"
    with attention.per_document(model, 16):
        assert model.config._attn_implementation == "documents"
    assert model.config._attn_implementation == "sdpa"


def test_loss_that_is_no_number_names_the_step():
    model = llama()
    with torch.no_grad():
        model.model.embed_tokens.weight[7] = float("nan")
    packs = [packing.join([packing.Document([7, 7, 7], [packing.IGNORED, 7, 7])])]
    with pytest.raises(io.UserError, match=r"loss is not finite at step 1\. Lower learning_rate"):
        train(model, packs, RECIPE | {"global_batch": 1, "micro_batch": 1}, seed=1)


def test_a_token_that_the_model_does_not_know_is_one_line():
    packs = [packing.join([packing.Document([7, 999, 7], [packing.IGNORED, 999, 7])])]
    with pytest.raises(io.UserError, match=r"holds token 999, the model knows \d+\. It was packed"):
        train(llama(), packs, RECIPE | {"global_batch": 1, "micro_batch": 1}, seed=1)


def test_nothing_to_train_on():
    with pytest.raises(io.UserError, match="nothing to train on"):
        train(llama(), [], RECIPE, seed=1)


# ---------------------------------------------------------------- resuming


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.mark.parametrize(
    ("make", "stop", "optimizer"),
    [(llama, 3, "adamw"), (lora, 2, "adamw"), (lora, 5, "adamw"), (mixtral, 4, "adamw"),
     (llama, 4, "adafactor")],
)  # fmt: skip
def test_resumed_run_equals_an_unbroken_one(tmp_path, make, stop, optimizer):
    """Stopped by a signal in either epoch (3 updates each) or just between them."""
    packs, recipe = alone(documents(10)), RECIPE | {"epochs": 2, "optimizer": optimizer}
    ends = {}

    def end(epoch, trainer):
        states = trainer.optimizer.state.values()
        moments = [
            value.sum().item()
            for state in states
            for name, value in state.items()
            if name.startswith("exp_avg") and value is not None
        ]
        kept = {name for state in states for name in state if name.startswith("exp_avg")}
        assert ("exp_avg" in kept) == (optimizer == "adamw")  # adafactor holds no first moment
        ends.setdefault(epoch, []).append((trainer.state.global_step, moments))

    whole = train(make(), packs, recipe, seed=3, history=tmp_path / "whole.jsonl", on_epoch_end=end)
    wanted_ends = {epoch: calls[0] for epoch, calls in ends.items()}
    assert [call[0] for call in wanted_ends.values()] == [3, 6]
    ends.clear()

    state = tmp_path / "state"
    with InterruptAt(stop), pytest.raises(KeyboardInterrupt):
        train(make(), packs, recipe, seed=3, state=state, on_epoch_end=end)
    assert [p.name for p in state.glob("checkpoint-*")] == [f"checkpoint-{stop}"]
    (state / "checkpoint-9").mkdir()  # torn by a kill: no mark that it is whole
    with (state / "history.jsonl").open("a") as stream:
        stream.write('{"step": 6, "tokens": 1}\n{"step": 7, "to')
    resumed = train(
        make(), packs, recipe, seed=3, state=state, history=tmp_path / "again.jsonl",
        on_epoch_end=end,
    )  # fmt: skip
    assert same(weights(resumed.model), weights(whole.model))
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert {epoch: calls[-1] for epoch, calls in ends.items()} == wanted_ends
    assert resumed.epoch_learning_rates == whole.epoch_learning_rates
    assert len(whole.epoch_learning_rates) == 2


class InterruptAt:
    """Sends this process SIGTERM while update `step` is under way."""

    def __init__(self, step):
        self.step = step

    def __enter__(self):
        self.original = PackTrainer.compute_loss
        step = self.step

        def compute_loss(trainer, *args, **options):
            if trainer.state.global_step == step - 1 and not trainer.stop_requested:
                os.kill(os.getpid(), signal.SIGTERM)
            return self.original(trainer, *args, **options)

        PackTrainer.compute_loss = compute_loss

    def __exit__(self, *_):
        PackTrainer.compute_loss = self.original


def checkpoint(folder: Path) -> Path:
    llama().save_pretrained(folder)
    letters(bos=True).save_pretrained(folder)
    return folder


def packed_file(path: Path, pretrain=30, finetune=10) -> Path:
    rows = [{"stage": "pretrain", **p} for p in alone(documents(pretrain))]
    rows += [{"stage": "finetune", **p} for p in alone(documents(finetune, seed=2))]
    io.write_table(path, rows, PACKS, {})
    return path


def test_killed_program_goes_on_to_the_same_model(tmp_path):
    base, packed = checkpoint(tmp_path / "base"), packed_file(tmp_path / "packed.parquet")
    recipe = RECIPE | {"schedule": "wsd", "epochs": 2, "global_batch": 1, "micro_batch": 1}
    recipe |= {"save_steps": 10, "dtype": "bfloat16"}
    program = Path(__file__).parents[2] / "scripts" / "train_model.py"
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [
        sys.executable, program, "--packed", packed, "--base", base, "--seed", "4",
        "--recipe", json.dumps(recipe), "--state", killed / "state", "--output", killed / "model",
        "--history", killed / "history.jsonl", "--log", killed / "log",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    running = subprocess.Popen(command, env=environment)
    train_model.main(
        argparse.Namespace(
            packed=packed, base=base, seed=4, recipe=recipe, code="", state=whole / "state",
            output=whole / "model", history=whole / "history.jsonl",
        )
    )  # fmt: skip
    history, deadline = killed / "state" / "history.jsonl", time.monotonic() + 120
    while not history.exists() or history.read_bytes().count(b"\n") < 25:
        assert running.poll() is None, (killed / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.kill()
    running.wait()
    assert not (killed / "model").exists()
    train_model.main(
        argparse.Namespace(
            packed=packed, base=base, seed=4, recipe=recipe, code="", state=killed / "state",
            output=killed / "model", history=killed / "history.jsonl",
        )
    )  # fmt: skip
    assert io.file_digest(killed / "model") == io.file_digest(whole / "model")
    lines = io.read_json_lines(killed / "history.jsonl")
    assert lines == io.read_json_lines(whole / "history.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 81))
    assert [line["stage"] for line in lines] == ["pretrain"] * 60 + ["finetune"] * 20
    assert lines[-1]["learning_rate"] == pytest.approx(1e-4)
    assert not (killed / "state").exists()
    model = transformers.AutoModelForCausalLM.from_pretrained(killed / "model")
    assert model.dtype == torch.bfloat16
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not same(weights(model.float()), weights(llama()))


def test_saved_weights_are_the_trained_ones(tmp_path):
    for make in (llama, mixtral):
        trainer = train(make(), alone(documents(4)), RECIPE, seed=1)
        save_checkpoint(trainer, letters(), "float32", tmp_path / "model")
        again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
        assert same(weights(again), weights(trainer.model))
        assert transformers.AutoTokenizer.from_pretrained(tmp_path / "model").eos_token == "</s>"


# ---------------------------------------------------------------- programs


def row(schema, **values):
    blank = {"string": "", "int32": 0, "double": 0.0, "bool": None, "list<element: string>": []}
    return {f.name: blank.get(str(f.type), []) for f in schema} | values


def pack(tmp_path, pretrain=(), finetune=(), length=60, modes=("cot", "tool"), seed=1):
    if not (tmp_path / "base").exists():
        checkpoint(tmp_path / "base")
    options = argparse.Namespace(
        recipe={"length": length, "modes": list(modes)}, seed=seed, code="", base=tmp_path / "base",
        pretrain=list(pretrain), finetune=list(finetune), output=tmp_path / "packed.parquet",
        report=tmp_path / "report.json",
    )  # fmt: skip
    pack_corpus.main(options)
    return io.read_rows(tmp_path / "packed.parquet", PACKS), io.read_json(tmp_path / "report.json")


def test_corpus_is_packed_stage_by_stage(tmp_path):
    problems = [
        row(PROBLEMS, problem_id=str(n), question="ab", solution="c" * (n + 1), mode=mode,
            status=status)
        for n, (mode, status) in enumerate([("cot", "kept"), ("tool", "kept"), ("cot", "unparsed")])
    ]  # fmt: skip
    io.write_table(tmp_path / "problems.parquet", problems, PROBLEMS, {})
    (tmp_path / "own.jsonl").write_text('{"input": "ab", "output": "cd"}\n')
    rows, report = pack(tmp_path, [tmp_path / "problems.parquet"], [tmp_path / "own.jsonl"])
    assert [r["stage"] for r in rows] == ["pretrain", "finetune"]
    assert report["pretrain"]["documents"] == 2
    # letters only: the tokenizer of these tests drops "#", capitals and newlines
    assert rows[1]["input_ids"] == [0, 2, 3, 4, 5, 1]
    assert rows[1]["labels"] == [packing.IGNORED] * 3 + [4, 5, 1]
    assert report["finetune"] == {
        "documents": 1, "tokens": 6, "supervised_tokens": 3, "packs": 1, "fill": 0.1,
        "truncated": 0, "dropped_prompt_fills_length": 0,
    }  # fmt: skip


def test_benchmark_gives_worked_solutions_and_programs(tmp_path):
    from jz3.training import examples

    split = [
        row(BENCHMARK, problem_id="1", question="How many?", answer="5", program="print(2 + 3)\n",
            solution="2 + 3 = 5.\nThe answer is \\boxed{5}."),
        row(BENCHMARK, problem_id="2", question="And?", answer="7", solution="It is 7."),
    ]  # fmt: skip
    io.write_table(tmp_path / "train.parquet", split, BENCHMARK, {})
    assert list(examples.read_examples(tmp_path / "train.parquet", ["cot", "tool"])) == [
        (
            "## Question\nHow many?\n\n## Solution\n",
            "2 + 3 = 5.\nThe answer is \\boxed{5}.",
        ),
        ("## Question\nAnd?\n\n## Solution\n", "It is 7.\nThe answer is \\boxed{7}."),
        (
            "## Question\nHow many?\n\n## Code Solution\n",
            "```python\nprint(2 + 3)\n```\n```output\n5\n```\nThe answer is \\boxed{5}.",
        ),
    ]


def test_unknown_columns_are_named(tmp_path):
    (tmp_path / "own.jsonl").write_text('{"prompt": "ab", "output": "cd"}\n')
    with pytest.raises(io.UserError, match=r"own\.jsonl.*Columns found: prompt, output"):
        pack(tmp_path, [tmp_path / "own.jsonl"])
    (tmp_path / "own.jsonl").write_text('{"input": "ab", "output": 3}\n')
    with pytest.raises(io.UserError, match="row 1: input and output must be texts"):
        pack(tmp_path, [tmp_path / "own.jsonl"])
    (tmp_path / "own.jsonl").write_text("")
    with pytest.raises(io.UserError, match="Columns found: "):
        pack(tmp_path, [tmp_path / "own.jsonl"])
    with pytest.raises(io.UserError, match="nothing to train on"):
        pack(tmp_path)


def test_order_of_packs_depends_on_the_seed_only(tmp_path):
    draw = random.Random(1)
    lines = [{"input": "a", "output": "b" * draw.randint(20, 55)} for _ in range(40)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    one, _ = pack(tmp_path, [tmp_path / "own.jsonl"])
    two, _ = pack(tmp_path, [tmp_path / "own.jsonl"])
    other, _ = pack(tmp_path, [tmp_path / "own.jsonl"], seed=2)
    assert one == two
    assert one != other
    sizes = [len(r["input_ids"]) for r in one]
    assert sizes != sorted(sizes, reverse=True)
    assert sorted(map(str, one)) == sorted(map(str, other))


def test_synthesizer_learns_its_pairs(tmp_path):
    base = checkpoint(tmp_path / "base")
    pairs = [
        row(PAIRS, request_id=str(n), prompt="make", completion="abc" * (n + 1)) for n in range(8)
    ]
    io.write_table(tmp_path / "pairs.parquet", pairs, PAIRS, {})
    options = argparse.Namespace(
        recipe=RECIPE | {"epochs": 8, "global_batch": 2, "schedule": "cosine"}, seed=1, code="",
        base=base, pairs=[tmp_path / "pairs.parquet", tmp_path / "pairs.parquet"],
        state=tmp_path / "state", output=tmp_path / "model", history=tmp_path / "history.jsonl",
    )  # fmt: skip
    train_synthesizer.main(options)
    lines = io.read_json_lines(tmp_path / "history.jsonl")
    # 8 x 6 framing tokens and 3 x 36 letters: a pair given twice is learnt once per epoch
    assert lines[-1]["tokens"] == 8 * (8 * 6 + 3 * 36)
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"]
    assert not (tmp_path / "state").exists()
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
