"""What damage to an unfinished training does: the state before it, to the bit, or one line."""

import json
import shutil

import pytest
import torch
from jz3 import io
from jz3.training import saved_states
from jz3.training.pack_trainer import PackTrainer
from jz3.training.train import train
from test_train import RECIPE, InterruptAt, alone, documents, llama, same, weights

PACKS = alone(documents(16))  # 8 updates of 2
HOW = RECIPE | {"global_batch": 2, "micro_batch": 1, "save_steps": 2, "epochs": 1}


def finished(state, history):
    return train(llama(), PACKS, HOW, seed=3, state=state, history=history)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    trainer = finished(folder / "state", folder / "history.jsonl")
    return weights(trainer.model), (folder / "history.jsonl").read_bytes()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A training stopped at update 6, its states of updates 4 and 6."""
    folder = tmp_path_factory.mktemp("stopped") / "state"
    with InterruptAt(6), pytest.raises(KeyboardInterrupt):
        train(llama(), PACKS, HOW, seed=3, state=folder)
    assert {path.name for path in folder.glob("checkpoint-*")} == {"checkpoint-4", "checkpoint-6"}
    return folder


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def remove(path):
    path.unlink()


DAMAGE = {
    "no optimizer": ("optimizer.pt", remove),
    "half an optimizer": ("optimizer.pt", cut),
    "a bit of the optimizer": ("optimizer.pt", flip),
    "no weights": ("model.safetensors", remove),
    "half the weights": ("model.safetensors", cut),
    "a bit of the weights": ("model.safetensors", flip),
    "no schedule": ("scheduler.pt", remove),
    "a bit of the Trainer's state": ("trainer_state.json", flip),
    "no random numbers": ("rng_state.pth", remove),
    "an empty mark": ("complete", lambda path: path.write_text("")),
    "a mark of another kind": ("complete", lambda path: path.write_text("[1]")),
    "no mark": ("complete", remove),
    "a short history": ("../history.jsonl", lambda path: path.write_text(first(path, 5))),
    "a damaged history": (
        "../history.jsonl",
        lambda path: path.write_text(first(path, 5) + "\0\n"),
    ),
}


def first(path, lines):
    return "".join(path.read_text().splitlines(keepends=True)[:lines])


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_state_before_is_gone_on_from_to_the_bit(tmp_path, stopped, whole, damage, monkeypatch):
    state = shutil.copytree(stopped, tmp_path / "state")
    name, harm = DAMAGE[damage]
    harm(state / "checkpoint-6" / name)
    resumed = []
    real = PackTrainer.train
    monkeypatch.setattr(
        PackTrainer,
        "train",
        lambda self, **how: resumed.append(how["resume_from_checkpoint"]) or real(self, **how),
    )
    trainer = finished(state, tmp_path / "history.jsonl")
    assert [path.rpartition("/")[2] for path in resumed] == ["checkpoint-4"]
    assert same(weights(trainer.model), whole[0])
    assert (tmp_path / "history.jsonl").read_bytes() == whole[1]


@pytest.mark.parametrize("damage", ["a bit of the weights", "no optimizer", "a short history"])
def test_where_both_states_are_damaged_one_line_says_so_and_nothing_is_lost(
    tmp_path, stopped, damage
):
    state = shutil.copytree(stopped, tmp_path / "state")
    name, harm = DAMAGE[damage]
    if name.startswith(".."):
        path = state / "history.jsonl"
        path.write_text(first(path, 3))
    else:
        for step in (4, 6):
            harm(state / f"checkpoint-{step}" / name)
    with pytest.raises(io.UserError) as caught:
        finished(state, tmp_path / "history.jsonl")
    text = str(caught.value)
    assert "checkpoint-4" in text
    assert "checkpoint-6" in text
    assert f"delete {state} to begin anew" in text
    assert "\n" not in text
    assert {path.name for path in state.glob("checkpoint-*")} == {"checkpoint-4", "checkpoint-6"}


def test_an_undamaged_state_is_the_one_gone_on_from(tmp_path, stopped, whole):
    state = shutil.copytree(stopped, tmp_path / "state")
    assert saved_states.last_whole(state, 6).name == "checkpoint-6"
    trainer = finished(state, tmp_path / "history.jsonl")
    assert same(weights(trainer.model), whole[0])


@pytest.mark.parametrize(
    ("text", "steps"),
    [("", 0), ('{"step": 1}\n', 1), ('{"step": 2}\n', 0), ('{"step": 1}\n{"step": 3}\n', 1),
     ('{"step": 1}\n{"ste', 1), ('{"step": 1}\n7\n{"step": 2}\n', 1), ('\xff\n', 0)],
)  # fmt: skip
def test_history_is_read_up_to_the_first_update_that_is_not_there(tmp_path, text, steps):
    path = tmp_path / "history.jsonl"
    path.write_text(text, encoding="latin-1")
    assert len(saved_states.read_history(path)) == steps
    assert saved_states.read_history(tmp_path / "none") == []


def test_a_mark_lists_every_file(stopped):
    folder = stopped / "checkpoint-6"
    listed = json.loads((folder / "complete").read_text())
    assert set(listed) == {p.name for p in folder.iterdir()} - {"complete"}
    assert all(size > 0 and len(digest) == 64 for size, digest in listed.values())
    assert torch.load(folder / "optimizer.pt", weights_only=True)
