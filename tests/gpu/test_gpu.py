"""What a GPU must do for the paper's run, in ten minutes on one: `make test-gpu`.

No network: models are random, of real shapes. Without a GPU the same tests run in tiny shapes on the
processor, so that they are known to work before a GPU is paid for.
"""

import gc
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import train_shape
import transformers
from jz3.generation import Request, Sampling
from jz3.generation.engines import open_engine
from jz3.influence import sample_gradients
from jz3.training import attention
from jz3.workflow import environments
from tiny_model import make_model

HERE = Path(__file__).parent
SCRIPTS = HERE.parents[1] / "scripts"
GPU = torch.cuda.is_available()
# Dense bfloat16 operations per second that makers state, by a part of the card's name.
PEAK = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "4090": 165e12,
    "A6000": 155e12,
}
RECIPE = {
    "learning_rate": 1e-4, "schedule": "linear", "warmup_ratio": 0.0, "stable_ratio": 0.0,
    "minimum_ratio": 0.1, "epochs": 1, "global_batch": 8, "micro_batch": 1, "length": 4096,
    "weight_decay": 0.1, "gradient_clip": 1.0, "gradient_checkpointing": False,
    "save_steps": 1000, "dtype": "bfloat16", "threads": 1,
}  # fmt: skip
TINY = {
    "vocab_size": 256, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 8192,
}  # fmt: skip
ONE_B = TINY | {  # trained whole it takes 18 GB of weights, gradients and moments
    "vocab_size": 32_000, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
    "num_attention_heads": 32, "num_key_value_heads": 4,
}  # fmt: skip
SEVEN_B = ONE_B | {
    "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32,
    "num_key_value_heads": 8,
}  # fmt: skip
PROMPTS = [Request(f"r{i}", "Write a problem. " + "abcdefg " * (i % 5) + str(i)) for i in range(12)]
GREEDY = Sampling(0.0, 1.0, 24)


def peak():
    """Operations per second of this card, or None where it is not in the table."""
    name = torch.cuda.get_device_name() if GPU else ""
    return next((value for part, value in PEAK.items() if part in name), None)


def utilisation(operations_per_second):
    """Model FLOPs utilisation in words."""
    most = peak()
    share = f" = {operations_per_second / most:.0%} of the card's {most / 1e12:.0f}" if most else ""
    return f"{operations_per_second / 1e12:.4g} TFLOP/s{share}"


def trained(shape, updates, recipe, *options, environment=()):
    """What tests/gpu/train_shape.py says of a training, in processes of its own."""
    command = [sys.executable, HERE / "train_shape.py", json.dumps(shape), str(updates)]
    command += [json.dumps(recipe), *map(str, options)]
    ended = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **dict(environment)}
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


SMALL = RECIPE | {"length": 64, "dtype": "float32", "global_batch": 4}


@pytest.fixture
def clean_gpu():
    """Nothing of an earlier test is left in the GPU's memory."""
    gc.collect()
    torch.cuda.empty_cache()


def test_training_agrees_with_the_processor(figure, tmp_path):
    if not GPU:
        pytest.skip("there is no GPU to compare with the processor")
    here = train_shape.measure(train_shape.make_model(TINY, "cpu"), 6, SMALL, tmp_path)
    there = trained(TINY, 6, SMALL, environment={"CUDA_VISIBLE_DEVICES": ""})
    worst = max(abs(a - b) for a, b in zip(here["losses"], there["losses"], strict=True))
    figure("largest difference of a loss, nats", f"{worst:.2g}")
    assert worst < 1e-4  # TF32 is off: float32 is float32


def test_attention_of_packed_documents(figure):
    """One call of the kernel for all documents: the same numbers, and how much sooner."""
    device = torch.device("cuda" if GPU else "cpu")
    torch.manual_seed(0)
    heads, size, tokens = (32, 128, 4096) if GPU else (4, 16, 256)
    shapes = [(1, heads, tokens, size), *[(1, heads // 4, tokens, size)] * 2]
    parts = [torch.randn(shape, device=device, requires_grad=True) for shape in shapes]
    cuts = sorted({0, tokens, *torch.randint(1, tokens, (15,)).tolist()})
    positions = torch.cat([torch.arange(b - a) for a, b in itertools.pairwise(cuts)])
    positions = positions[None].to(device)
    module = torch.nn.Module()

    def attended(dtype):
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            out, _ = attention.document_attention(module, *parts, None, position_ids=positions)
        gradients = torch.autograd.grad(out.float().square().mean() * tokens, parts)
        return [out.float(), *gradients]

    def milliseconds(call):
        call(), call()
        torch.cuda.synchronize()
        began = time.monotonic()
        for _ in range(20):
            call()
        torch.cuda.synchronize()
        return (time.monotonic() - began) / 20 * 1e3

    exact, rough = attended(torch.float32), attended(torch.bfloat16)
    worst = max((a - b).norm().item() / a.norm().item() for a, b in zip(exact, rough, strict=True))
    figure("relative difference of bfloat16, with gradients", f"{worst:.2g}")
    assert worst < 2e-2
    figure("computed by", attention.kernel(device, torch.bfloat16))
    if GPU:
        fast = milliseconds(lambda: attended(torch.bfloat16))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention, "_has_flash_attention", lambda *_: False)
            slow = milliseconds(lambda: attended(torch.bfloat16))
        figure(f"ms for {len(cuts) - 1} documents, forward and back", f"{fast:.2f}")
        figure("ms with a call for each document", f"{slow:.2f}")


def test_training_speed_of_1b(figure, tmp_path, clean_gpu):
    shape, recipe = (ONE_B, RECIPE) if GPU else (TINY, SMALL)
    made = train_shape.measure(train_shape.make_model(shape), 6, recipe, tmp_path, warm=True)
    operations = 6 * made["parameters"] * made["tokens_per_second"]
    figure("attention", made["attention"])
    figure("parameters", f"{made['parameters'] / 1e9:.3g} billion")
    figure("tokens per second", f"{made['tokens_per_second']:,.0f}")
    figure("6 x parameters x tokens", utilisation(operations))
    if GPU:
        figure("peak memory, bytes per parameter", f"{made['peak_bytes'] / made['parameters']:.1f}")
        assert made["peak_bytes"] > 16 * made["parameters"]
    if not importlib.util.find_spec("trl"):
        pytest.skip("trl is not installed: no peer")
    gc.collect()
    torch.cuda.empty_cache()
    theirs = train_shape.measure_trl(train_shape.make_model(shape), 6, recipe, tmp_path)
    figure("trl's tokens per second", f"{theirs['tokens_per_second']:,.0f}")


def test_sharded_training_agrees_with_one_process(figure):
    """FSDP on all GPUs (gloo on the processor): same losses, and the memory that the plan says."""
    world = torch.cuda.device_count() if GPU else 2
    if world < 2:
        pytest.skip("one GPU: sharding takes two")
    shape = ONE_B if GPU else TINY
    recipe = SMALL | {"global_batch": 4 * world, "length": 512 if GPU else 64}
    whole, parts = trained(shape, 3, recipe), trained(shape, 3, recipe, "--processes", world)
    assert parts["processes"] == world
    assert parts["losses"] == pytest.approx(whole["losses"], abs=1e-3)
    figure("processes", world)
    if GPU:
        share = parts["peak_bytes"] * world / parts["parameters"]
        figure("peak memory of all, bytes per parameter", f"{share:.1f} (the plan: 16 / 0.75 = 21)")


def test_a_killed_training_goes_on_to_the_bit(tmp_path):
    """Half a training, then the rest from its state: the same weights as in one go."""
    text = f"""
import json, sys; sys.path[:0] = [{str(SCRIPTS)!r}, {str(HERE)!r}]
import torch, transformers
from pathlib import Path
from train_shape import packs
from jz3.training.train import train
torch.manual_seed(0)
shape, recipe = json.loads(sys.argv[1]), json.loads(sys.argv[2])
model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape))
if sys.argv[4] == "stop":
    import os, signal
    from jz3.training.pack_trainer import PackTrainer
    step = PackTrainer.training_step
    def stopping(self, *a, **k):
        if self.state.global_step == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, *a, **k)
    PackTrainer.training_step = stopping
train(model, list(packs(24, 64, 256)), recipe, seed=0, state=Path(sys.argv[3]))
torch.save({{k: v.cpu() for k, v in model.state_dict().items()}}, sys.argv[3] + ".pt")
"""
    recipe = SMALL | {"save_steps": 2, "dtype": "bfloat16" if GPU else "float32"}

    def run(state, how):
        command = [
            sys.executable,
            "-c",
            text,
            json.dumps(TINY),
            json.dumps(recipe),
            str(state),
            how,
        ]
        return subprocess.run(command, capture_output=True, text=True)

    killed = run(tmp_path / "a", "stop")
    assert killed.returncode == -9, killed.stderr[-3000:]
    assert list((tmp_path / "a").glob("checkpoint-*"))
    for name in "ab":
        ended = run(tmp_path / name, "go")
        assert ended.returncode == 0, ended.stderr[-3000:]
    resumed, whole = (torch.load(tmp_path / f"{name}.pt") for name in "ab")
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_gradients_of_single_samples_at_7b(figure, clean_gpu):
    shape, dtype = (SEVEN_B, torch.bfloat16) if GPU else (TINY, torch.float32)
    device = "cuda" if GPU else "cpu"
    if GPU and torch.cuda.get_device_properties(0).total_memory < 40e9:
        shape = ONE_B
    with torch.device(device):
        made = transformers.LlamaForCausalLM._from_config(
            transformers.LlamaConfig(**shape), dtype=dtype
        )
    parameters = sum(weight.numel() for weight in made.parameters())
    lora = {
        "rank": 128,
        "alpha": 512,
        "dropout": 0.1,
        "targets": ["q_proj", "k_proj", "v_proj", "o_proj"],
    }
    length = 512 if GPU else 48
    ids = tuple(range(3, 3 + 50)) * (length // 50 + 1)
    samples = [
        sample_gradients.Sample(str(i), ids[: length - i], (-100,) * 20 + ids[20 : length - i])
        for i in range(32 if GPU else 8)
    ]
    with sample_gradients.SampleGradients(sample_gradients.add_lora(made, lora, 0)) as gradients:
        batches = sample_gradients.batches(samples, gradients.batch_tokens)
        norms = []
        for timed in (False, True):
            began = time.monotonic()
            for batch in batches if timed else batches[:1]:
                squares = torch.zeros(len(batch), device=device)
                gradients(batch, lambda _, g, s=squares: s.add_(g.flatten(1).pow(2).sum(1)))
                norms += squares.tolist() if timed else []
            seconds = time.monotonic() - began
    assert all(norm > 0 for norm in norms)
    assert len(norms) == len(samples)
    tokens = sum(len(sample.input_ids) for sample in samples)
    figure("parameters", f"{parameters / 1e9:.3g} billion")
    figure("tokens per second", f"{tokens / seconds:,.0f}")
    figure("4 x parameters x tokens", utilisation(4 * parameters * tokens / seconds))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")  # vLLM wants heads of 32 numbers at least
    return make_model(folder, num_attention_heads=2, num_key_value_heads=1)


def texts(engine):
    return {made.request_id: made.text for made in engine.generate(PROMPTS, GREEDY, 0)}


def reference(model, devices):
    """Greedy texts of the transformers engine, in a process that sees these devices."""
    text = f"""
import json, sys; sys.path[:0] = [{str(SCRIPTS)!r}, {str(HERE.parent)!r}, {str(HERE)!r}]
from test_gpu import open_engine, texts, ENGINE
print(json.dumps(texts(open_engine({str(model)!r}, ENGINE))))
"""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": devices}
    ended = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, env=environment
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


VLLM = {
    "context": 0, "gpu_memory": 0.5, "data_parallel": 1, "sequences": 64, "tensor_parallel": 1, "prefix_caching": True,
    "quantization": "none", "speculative_tokens": 0,
}  # fmt: skip
ENGINE = {"engine": "transformers", "batch": 4, "dtype": "float32", "threads": 1, "vllm": VLLM}


def test_greedy_texts_are_those_of_the_processor(model, figure):
    here, there = texts(open_engine(model, ENGINE)), reference(model, "")
    figure("equal texts", f"{sum(here[key] == there[key] for key in here)} of {len(here)}")
    assert here == there


def test_vllm_answers_as_the_other_engine_does(model, figure):
    python = environments.vllm_folder(sys.prefix) / "bin/python"
    if not python.exists():
        pytest.skip(f"{python} is not there: make environments")
    answers = model / "answers.json"
    text = f"""
import json, sys; sys.path[:0] = [{str(SCRIPTS)!r}, {str(HERE.parent)!r}, {str(HERE)!r}]
from pathlib import Path
from jz3.generation import Request, Sampling
from jz3.generation.engines import open_engine
if __name__ == "__main__":
    prompts = [Request(*pair) for pair in json.loads({json.dumps([[r.request_id, r.prompt] for r in PROMPTS])!r})]
    engine = open_engine({str(model)!r}, {ENGINE | {"engine": "vllm"}!r})
    made = {{g.request_id: g.text for g in engine.generate(prompts, Sampling(0.0, 1.0, 24), 0)}}
    Path({str(answers)!r}).write_text(json.dumps(made))
"""
    program = model / "answer.py"
    program.write_text(text)
    began = time.monotonic()
    ended = subprocess.run([python, program], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    theirs, ours = (
        json.loads(answers.read_text()),
        reference(model, os.environ.get("CUDA_VISIBLE_DEVICES", "0")),
    )
    same = sum(theirs[key] == ours[key] for key in ours)
    figure("equal texts", f"{same} of {len(ours)}")
    figure("seconds, engine start included", f"{time.monotonic() - began:.0f}")
    assert same >= 0.9 * len(ours)  # a tie of two tokens may fall either way
