"""Which number type a processor is given, what confirms it, and that products record it."""

import json
import sys
import types

import pytest
from jz3 import io, processor
from jz3.processor import resolve
from jz3.sources import checkpoints

torch = pytest.importorskip("torch")

HARDWARE, LOOP = 0.5, 80.0  # bfloat16's time over float32's
X86 = "processor\t: 0\nmodel name\t: {name}\nflags\t\t: fpu sse2 fma {flags}\n\n"
ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd {flags}\nCPU part\t: {name}\n\n"
KINDS = {  # /proc/cpuinfo of one core, the timing, and the type that follows
    "AVX2": (X86.format(name="Zen 2", flags="avx avx2"), LOOP, "float32"),
    "AVX-512 without bfloat16": (
        X86.format(name="Skylake", flags="avx avx2 avx512f avx512bw avx512vl avx512dq"),
        2.0,
        "float32",
    ),
    "AVX-512 with bfloat16": (
        X86.format(name="Zen 4", flags="avx avx2 avx512f avx512_bf16"), HARDWARE, "bfloat16"
    ),
    "AMX": (
        X86.format(name="Sapphire Rapids", flags="avx2 avx512f avx512_bf16 amx_tile amx_bf16"),
        0.1,
        "bfloat16",
    ),
    "Arm without bfloat16": (ARM.format(name="0xd0c", flags="asimdhp"), LOOP, "float32"),
    "Arm with bfloat16": (ARM.format(name="0xd4f", flags="sve i8mm bf16"), HARDWARE, "bfloat16"),
}  # fmt: skip
RANDOM = {
    "kind": "random", "hidden_size": 16, "intermediate_size": 16, "layers": 1, "heads": 2,
    "vocabulary": 300, "parameters": 0.0001,
}  # fmt: skip


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Pretend to be a machine: `machine(cpuinfo, ratio)`; counts how often it is timed."""
    timed = []

    def become(cpuinfo, ratio, cores=2):
        (tmp_path / "cpuinfo").write_text(cpuinfo * cores)
        monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        for name in processor._LIMITS:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(processor, "measure", lambda: timed.append(ratio) or ratio)
        processor.slowdown.cache_clear()
        processor.check.cache_clear()
        return timed

    yield become
    processor.slowdown.cache_clear()
    processor.check.cache_clear()


@pytest.mark.parametrize("kind", KINDS)
def test_auto_on_each_kind_of_processor_and_the_record_in_products(machine, tmp_path, kind):
    cpuinfo, ratio, expected = KINDS[kind]
    machine(cpuinfo, ratio)
    dtype = resolve("auto", gpus=0)
    assert dtype == expected
    assert processor.explain(dtype).startswith(f"{expected} (")
    checkpoints.make(RANDOM | {"dtype": dtype}, tmp_path / "model", "tiny", seed=1)
    assert io.read_json(tmp_path / "model" / "config.json")["dtype"] == expected
    origin = io.provenance("synthesize", "code", [], 1, dtype)
    assert origin["dtype"] == expected


def test_a_type_asked_for_by_name_is_kept_everywhere(machine):
    machine(*KINDS["AVX2"][:2])
    assert resolve("bfloat16", 0) == "bfloat16"
    assert resolve("float32", 8) == "float32"
    assert resolve("auto", 8) == "bfloat16"  # on GPUs, which check refuses where they have none


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [("x", "$"), ("flot32", 'Did you mean "float32"'), ("Auto", 'Did you mean "auto"')],
)
def test_unknown_types_are_refused_in_one_line(wanted, hint):
    with pytest.raises(
        io.UserError, match=rf'"{wanted}" is not known \(auto [^)]*\)\. ?{hint}'
    ) as refused:
        resolve(wanted, 0)
    assert "\n" not in str(refused.value)


def test_instructions_that_are_named_but_taken_away_do_not_count(machine):
    machine(KINDS["AMX"][0], LOOP)
    assert resolve("auto", 0) == "float32"
    assert "80 times float32's time" in processor.explain("float32")


@pytest.mark.parametrize(("ratio", "dtype"), [(3.5, "bfloat16"), (4.5, "float32")])
def test_how_slow_is_too_slow(machine, ratio, dtype):
    machine(KINDS["AMX"][0], ratio)
    assert resolve("auto", 0) == dtype


def test_one_core_without_the_instructions_is_enough(machine, tmp_path):
    machine(KINDS["Arm with bfloat16"][0] + KINDS["Arm without bfloat16"][0], HARDWARE, cores=1)
    assert resolve("auto", 0) == "float32"


@pytest.mark.parametrize("text", ["", "processor : 0\n", "\0\xff"])
def test_a_machine_that_says_nothing_computes_in_float32(machine, text):
    machine(text, HARDWARE)
    assert resolve("auto", 0) == "float32"
    assert "unknown processor" in processor.explain("float32")


def test_it_is_timed_once_and_again_where_something_changed(machine, monkeypatch, tmp_path):
    timed = machine(*KINDS["AMX"][:2])
    for _ in range(3):
        assert resolve("auto", 0) == "bfloat16"
        processor.slowdown.cache_clear()  # another process
    assert len(timed) == 1
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    resolve("auto", 0)
    assert len(timed) == 2
    (tmp_path / "cache" / "jiuzhang3" / "processor.json").write_text("[torn")
    processor.slowdown.cache_clear()
    assert resolve("auto", 0) == "bfloat16"
    assert len(timed) == 3


def test_a_cache_that_cannot_be_written_is_no_obstacle(machine, monkeypatch, tmp_path):
    timed = machine(*KINDS["AMX"][:2])
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert resolve("auto", 0) == "bfloat16"
    assert timed


def test_without_torch_the_processor_is_believed(machine, monkeypatch):
    timed = machine(KINDS["AMX"][0], LOOP)

    def absent(name):
        raise processor.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(processor.importlib.metadata, "version", absent)
    assert resolve("auto", 0) == "bfloat16"
    assert not timed


def test_the_timing_itself_tells_two_numbers_and_leaves_the_threads():
    before = torch.get_num_threads()
    assert 0 < processor.measure() < 10_000
    assert torch.get_num_threads() == before


def test_the_timing_in_a_process_of_its_own_imports_no_torch_here(monkeypatch):
    found = processor._measure_apart()
    assert found is not None
    assert found > 0
    monkeypatch.setattr(sys, "executable", "/does/not/exist")
    assert processor._measure_apart() is None


def test_bfloat16_by_name_is_warned_about_once(machine, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    machine(*KINDS["AVX2"][:2])
    for _ in range(3):
        processor.check("bfloat16")
        processor.check("float32")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "take 80 times as long here as in float32" in said[0]
    machine(*KINDS["AMX"][:2])
    processor.check("bfloat16")
    assert not capsys.readouterr().err


@pytest.mark.parametrize(("capability", "good"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_gpus_before_8_0_are_refused_in_one_line(monkeypatch, capability, good):
    cuda = types.SimpleNamespace(
        is_available=lambda: True,
        get_device_capability=lambda: capability,
        get_device_name=lambda: "Tesla T4",
    )
    monkeypatch.setattr(torch, "cuda", cuda)
    processor.check.cache_clear()
    if good:
        processor.check("bfloat16")
        return
    with pytest.raises(io.UserError, match=r"Tesla T4 has compute capability 7\.5") as refused:
        processor.check("bfloat16")
    assert "float32" in str(refused.value)
    assert "\n" not in str(refused.value)
    processor.check("float32")


def test_a_run_holds_what_auto_means_here(tmp_path_factory):
    """What decides reruns is the type itself: results made on another processor are out of date."""
    from project import Project

    project = Project(tmp_path_factory.mktemp("project") / "project")
    auto = {"compute": {"dtype": "auto"}}
    planned = project.run("--dry-run", "--printshellcmds", overlay=auto).stdout
    here = resolve("auto", 0)
    recipes = [
        json.loads(line.split("--recipe ")[1].split("'")[1])
        for line in planned.splitlines()
        if "scripts/train_model.py" in line or "scripts/answer_benchmark.py" in line
    ]
    assert recipes
    assert {recipe["dtype"] for recipe in recipes} == {here}
