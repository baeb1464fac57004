"""Projections, the store of projected features, and scores in shards and from the store."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from influence_world import (
    GRADIENTS,
    LORA,
    PROJECTED,
    SCORING,
    STORING,
    TARGETS,
    TRAINING,
    aim,
    candidate_samples,
    count_batches,
    finish,
    kill_at_batch,
    lora_model,
    make_world,
    problem,
    rate,
    scores_of,
    store,
    train,
    write,
)
from jz3 import io
from jz3.influence import adam_features, feature_store, projection, reference_run, target_directions
from jz3.influence.projection import Projector
from jz3.influence.sample_gradients import SampleGradients, encode, weight_shapes
from jz3.records import PROBLEMS

PROJECTED_GRADIENTS = GRADIENTS | {"projection": PROJECTED}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The world after train_reference, target_gradients and score_influence."""
    return finish(make_world(tmp_path_factory.mktemp("world")))


@pytest.fixture(scope="module")
def stored(run) -> Path:
    """`run`, with projected targets and a store of the candidates' features."""
    aim(run, run / "reference", run / "projected.safetensors", PROJECTED_GRADIENTS)
    store(run, run / "features")
    return run


def rate_stored(stored, output, recipe=SCORING, **others):
    made = {"features": stored / "features", "gradients": stored / "projected.safetensors"}
    return rate(stored, output, recipe, **({"base": None} | made | others))


def totals(path) -> np.ndarray:
    return np.array([row["total"] for row in scores_of(path)])


def matrix(projector: Projector, name: str, size: int) -> torch.Tensor:
    """The projection of a piece, written out: (size, dimension)."""
    return projector(name, torch.eye(size))


# ---------------------------------------------------------------- projections


def test_sparse_projection_has_one_sign_per_weight_and_no_collision_in_a_block():
    made = matrix(Projector("sjlt", 24, 7), "a", 60)
    assert (made != 0).sum(1).tolist() == [1] * 60
    assert set(made[made != 0].tolist()) == {-1.0, 1.0}
    for block in made.split(24):
        assert (block != 0).sum(0).max() == 1


def test_dense_projection_is_fair_coins():
    made = matrix(Projector("rademacher", 100, 7), "a", 400) * 10  # entries of 1 / sqrt(100)
    assert torch.allclose(made.abs(), torch.ones_like(made))
    assert abs(made.mean().item()) < 4 / math.sqrt(made.numel())
    products = made.T @ made / 400 - torch.eye(100)
    assert products.abs().max() < 6 / math.sqrt(400)


@pytest.mark.parametrize("kind", ["rademacher", "sjlt"])
def test_draws_depend_on_seed_and_name_alone(kind):
    made = matrix(Projector(kind, 64, 7), "a", 90)
    assert torch.equal(matrix(Projector(kind, 64, 7), "a", 90), made)
    assert not torch.equal(matrix(Projector(kind, 64, 8), "a", 90), made)
    assert not torch.equal(matrix(Projector(kind, 64, 7), "b", 90), made)
    described = Projector(kind, 64, 7).described()
    assert described == Projector(kind, 64, 7).described()
    assert described["draws"] != Projector(kind, 64, 8).described()["draws"]


@given(
    kind=st.sampled_from(["rademacher", "sjlt"]),
    dimension=st.integers(8, 80),
    sizes=st.lists(st.integers(1, 150), min_size=1, max_size=3),
    seed=st.integers(0, 2**30),
)
@settings(deadline=None, max_examples=30)
def test_projection_is_the_matrix_whatever_the_batch(kind, dimension, sizes, seed):
    projector = Projector(kind, dimension, seed)
    generator = torch.Generator().manual_seed(seed)
    for number, size in enumerate(sizes):
        rows = torch.randn(5, size, generator=generator)
        whole = projector(str(number), rows)
        assert whole.shape == (5, dimension)
        expected = rows @ matrix(projector, str(number), size)
        assert torch.allclose(whole, expected, atol=1e-4)
        alone = torch.cat([projector(str(number), row[None]) for row in rows])
        assert torch.allclose(whole, alone, atol=1e-4)


@pytest.mark.parametrize("kind", ["rademacher", "sjlt"])
def test_error_shrinks_as_one_over_the_root_of_the_dimension(run, kind):
    """Cosines of real features and gradients of a LoRA model."""
    checkpoint = reference_run.load_all(run / "reference", LORA)[0]
    model, tokenizer = lora_model(run)
    samples = candidate_samples(run, tokenizer)
    pieces: dict[str, torch.Tensor] = {}
    with SampleGradients(model) as sample_gradients:
        made = adam_features.CandidateFeatures(sample_gradients, checkpoint, "released")
        made(samples, pieces.__setitem__)
    vectors = torch.cat(list(pieces.values()), dim=1).double()
    pairs = torch.triu_indices(len(samples), len(samples), 1)
    exact = torch.cosine_similarity(vectors[pairs[0]], vectors[pairs[1]])
    for dimension in (64, 1024):
        errors = []
        for seed in range(12):
            projector = Projector(kind, dimension, seed)
            small = sum(projector(name, piece).double() for name, piece in pieces.items())
            errors.append(torch.cosine_similarity(small[pairs[0]], small[pairs[1]]) - exact)
        errors = torch.stack(errors)
        # Of a Gaussian projection: (1 - cos^2) / sqrt(dimension)
        expected = (1 - exact.square()).square().mean().sqrt() / math.sqrt(dimension)
        assert 0.6 * expected < errors.square().mean().sqrt() < 1.4 * expected


def test_unknown_kind():
    settings = {"kind": "sjl", "dimension": 8}
    with pytest.raises(io.UserError, match=r'"sjl" is not known.*Did you mean "sjlt"'):
        projection.open_projector(settings, 1, "cpu")
    assert projection.open_projector(settings | {"kind": "none"}, 1, "cpu") is None


# ---------------------------------------------------------------- the store


@pytest.mark.parametrize("kind", ["rademacher", "sjlt"])
def test_scores_from_a_store_against_the_formula_written_out(run, tmp_path, kind):
    """As LESS: project, scale to norm 1, mean of products over the target's problems."""
    settings = {"kind": kind, "dimension": 96, "dtype": "float32"}
    aim(run, run / "reference", tmp_path / "t", GRADIENTS | {"projection": settings})
    store(run, tmp_path / "f", STORING | {"projection": settings})
    rate(run, tmp_path / "s", base=None, features=tmp_path / "f", gradients=tmp_path / "t")
    found = {row["problem_id"]: row for row in scores_of(tmp_path / "s")}
    checkpoints = reference_run.load_all(run / "reference", LORA)
    whole = sum(checkpoint.learning_rate for checkpoint in checkpoints)
    expected = dict.fromkeys(found, 0.0)
    projector = Projector(kind, 96, 5)
    for checkpoint in checkpoints:
        model, tokenizer = lora_model(run, checkpoint)
        shapes = weight_shapes(model)
        dense = torch.cat([matrix(projector, name, r * c) for name, (r, c) in shapes]).double()
        with SampleGradients(model) as sample_gradients:
            aims = target_units(run, tokenizer, sample_gradients, dense)
            made = adam_features.CandidateFeatures(sample_gradients, checkpoint, "released")
            for sample in candidate_samples(run, tokenizer):
                pieces: dict[str, torch.Tensor] = {}
                made([sample], pieces.__setitem__)
                vector = torch.cat([pieces[name] for name, _ in shapes], dim=1).double() @ dense
                cosine = (torch.nn.functional.normalize(vector) @ aims.T).mean().item()
                expected[sample.identity] += checkpoint.learning_rate / whole * cosine
    for name, value in expected.items():
        assert found[name]["score_apples"] == pytest.approx(value, rel=1e-5, abs=1e-6)


def target_units(run, tokenizer, sample_gradients, dense) -> torch.Tensor:
    """Projected gradients of the "apples" problems, one at a time, of norm 1."""
    from jz3.influence.texts import subtasks, target_texts
    from jz3.records import BENCHMARK

    chosen = subtasks(TARGETS[:1], [io.read_rows(run / "apples.parquet", BENCHMARK)], 5)["apples"]
    rows = []
    for sample in encode(tokenizer, target_texts(chosen, "cot"), 96):
        pieces: dict[str, torch.Tensor] = {}
        sample_gradients([sample], pieces.__setitem__)
        shapes = weight_shapes(sample_gradients.model)
        vector = torch.cat([pieces[name].flatten(1) for name, _ in shapes], dim=1).double()
        rows.append(torch.nn.functional.normalize(vector @ dense))
    return torch.cat(rows)


def test_store_agrees_with_exact_scores_and_float16_with_float32(stored, tmp_path):
    exact = totals(stored / "scores.parquet")
    wide = totals(rate_stored(stored, tmp_path / "wide"))
    assert 0 < np.abs(wide - exact).max() < 4 / math.sqrt(PROJECTED["dimension"])
    narrow = STORING | {"projection": PROJECTED | {"dtype": "float16"}}
    store(stored, tmp_path / "features", narrow)
    half = totals(rate_stored(stored, tmp_path / "half", features=tmp_path / "features"))
    assert 0 < np.abs(half - wide).max() < 1e-4
    rows = np.load(tmp_path / "features/epoch-1.npy", mmap_mode="r")
    assert rows.dtype == np.float16
    assert np.linalg.norm(rows.astype(float), axis=1) == pytest.approx(1, abs=1e-3)


def test_other_targets_are_scored_without_a_model(stored, tmp_path, monkeypatch):
    settings = PROJECTED_GRADIENTS | {"targets": TARGETS[1:]}
    tables = [stored / "mixed.parquet"]
    aim(stored, stored / "reference", tmp_path / "other", settings, targets=tables)
    calls = count_batches(monkeypatch)
    rate_stored(stored, tmp_path / "scores", gradients=tmp_path / "other")
    assert not calls
    rows = scores_of(tmp_path / "scores")
    before = scores_of(rate_stored(stored, tmp_path / "before"))
    assert "score_apples" not in rows[0]
    assert [r["score_mixed:sets"] for r in rows] == [r["score_mixed:sets"] for r in before]


def test_store_after_kill_is_the_same(stored, tmp_path, monkeypatch):
    state, output = tmp_path / "state", tmp_path / "features"
    call = f"store(Path({str(stored)!r}), Path({str(output)!r}), state=Path({str(state)!r}))"
    kill_at_batch(2, call)
    assert not output.exists()
    assert len((state / "batches.jsonl").read_text().splitlines()) == 1
    calls = count_batches(monkeypatch)
    store(stored, output, state=state)
    resumed = len(calls)
    calls.clear()
    store(stored, tmp_path / "again")
    assert resumed == len(calls) - 1 > 0
    assert io.file_digest(output) == io.file_digest(tmp_path / "again")
    assert io.file_digest(output) == io.file_digest(stored / "features")
    assert not state.exists()


def test_stores_that_do_not_belong(stored, tmp_path):
    with pytest.raises(io.UserError, match="no store of features"):
        rate_stored(stored, tmp_path / "s", features=tmp_path)
    with pytest.raises(io.UserError, match='holds feature "released"'):
        rate_stored(stored, tmp_path / "s", SCORING | {"feature": "adam"})
    with pytest.raises(io.UserError, match="made with projection null"):
        rate_stored(stored, tmp_path / "s", gradients=stored / "targets.safetensors")
    with pytest.raises(io.UserError, match="features with null"):
        rate(stored, tmp_path / "s", gradients=stored / "projected.safetensors")
    with pytest.raises(io.UserError, match="none makes no store"):
        store(stored, tmp_path / "f", STORING | {"projection": PROJECTED | {"kind": "none"}})
    train(stored, tmp_path / "again", TRAINING | {"epochs": 1}, seed=6)
    with pytest.raises(io.UserError, match="Run store_features again"):
        rate_stored(stored, tmp_path / "s", reference=tmp_path / "again")
    broken = tmp_path / "broken"
    shutil.copytree(stored / "features", broken)
    (broken / "epoch-2.npy").write_bytes((broken / "epoch-2.npy").read_bytes()[:900])
    with pytest.raises(io.UserError, match=r"epoch-2\.npy: missing or not whole"):
        rate_stored(stored, tmp_path / "s", features=broken)
    np.save(broken / "epoch-2.npy", np.zeros((3, 8)))
    with pytest.raises(io.UserError, match=r"numbers, .* expected"):
        rate_stored(stored, tmp_path / "s", features=broken)


def test_store_names_the_sample_that_has_no_direction(stored, tmp_path):
    checkpoint = reference_run.load_all(stored / "reference", LORA)[0]
    model, tokenizer = lora_model(stored, checkpoint)
    samples = candidate_samples(stored, tokenizer)[:1]

    class Nothing(Projector):
        def __call__(self, name, rows):
            return torch.zeros(len(rows), self.dimension)

    with (
        io.Journal(tmp_path / "batches.jsonl", "batch") as journal,
        pytest.raises(io.UserError, match=f"problem {samples[0].identity}: its gradient has norm"),
    ):
        feature_store.fill(
            tmp_path, model, [checkpoint], samples, "released", Nothing("sjlt", 8, 1), "float32",
            journal, {},
        )  # fmt: skip


# ---------------------------------------------------------------- shards


@pytest.mark.parametrize("shards", [2, 3, 13])  # of 10 candidates: 13 leave some empty
def test_shards_join_in_order_with_the_same_scores(run, tmp_path, shards):
    rate(run, tmp_path / "scores.parquet", SCORING | {"shards": shards})
    whole, joined = scores_of(run / "scores.parquet"), scores_of(tmp_path / "scores.parquet")
    assert [row["problem_id"] for row in joined] == [row["problem_id"] for row in whole]
    for row, other in zip(joined, whole, strict=True):
        for key in ("total", "score_apples", "score_mixed:sets"):
            assert row[key] == pytest.approx(other[key], abs=1e-6)


def test_shards_of_a_store(stored, tmp_path):
    whole = totals(rate_stored(stored, tmp_path / "whole"))
    import aggregate_scores
    import score_influence
    from influence_world import options

    recipe, paths = SCORING | {"shards": 2}, []
    for shard in (0, 1):
        folder = store(stored, tmp_path / f"features{shard}", STORING | {"shards": 2}, shard)
        paths.append(tmp_path / f"{shard}.parquet")
        score_influence.main(
            options(
                stored, recipe, paths[-1], shard=shard, features=folder, base=None,
                reference=stored / "reference", gradients=stored / "projected.safetensors",
            )
        )  # fmt: skip
    aggregate_scores.main(options(stored, recipe, tmp_path / "joined", shards=paths))
    assert totals(tmp_path / "joined") == pytest.approx(whole, abs=1e-6)
    assert len(whole) == 10


def test_shards_that_do_not_fit(run, tmp_path):
    with pytest.raises(io.UserError, match="no candidate has a score"):
        rate(run, tmp_path / "s", SCORING | {"length": 2})
    from jz3.influence.texts import shard_of

    rows = list(range(10))
    parts = [shard_of(rows, shard, 4) for shard in range(4)]
    assert [row for part in parts for row in part] == rows
    assert {len(part) for part in parts} == {2, 3}
    with pytest.raises(io.UserError, match="shard 4 of 4"):
        shard_of(rows, 4, 4)
    one = write(tmp_path / "c.parquet", [problem("q", "s", status="truncated")], PROBLEMS)
    with pytest.raises(io.UserError, match="none of the 1 candidates was kept"):
        store(run, tmp_path / "f", candidates=one)


def test_targets_of_another_projection(stored):
    checkpoints = reference_run.load_all(stored / "reference", LORA)
    shapes = weight_shapes(lora_model(stored)[0])
    path = stored / "projected.safetensors"
    settings = Projector("sjlt", PROJECTED["dimension"], 5).described()
    aims = target_directions.Directions(path, checkpoints, shapes, settings)
    assert aims.at(checkpoints[0]).shape == (3, PROJECTED["dimension"])
    with pytest.raises(io.UserError, match="Make both with the same settings"):
        target_directions.Directions(path, checkpoints, shapes, settings | {"draws": "other"})
