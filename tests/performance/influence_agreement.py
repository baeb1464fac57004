"""Do influence scores agree with an independent implementation, bergson?

    python tests/performance/influence_agreement.py --base MODEL [--folder FOLDER]

bergson (EleutherAI; hooks of its own) gives gradients of single samples for the same LoRA model,
texts and checkpoint as ours: plain, and divided by the root of Adam's second moments, which is the
closest it has to LESS's feature. LESS also adds the first moments (nine tenths of them to one tenth
of the gradient) and the sample's own square to the second. Cosines with the targets' plain
gradients are compared by rank; so are LESS's own, from bergson's gradients by its formula, through
fp16 and TRAK's BasicProjector (Rademacher, 8192, seed 0). Needs envs/bench.txt beside the product's packages and the data
described in tests/real_input.yaml at tests/real/. Ends with one line of JSON.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from influence import LENGTH, SEED, reference_run, spearman, texts
from jz3 import processor
from jz3.influence import adam_features
from jz3.influence import reference_run as reference
from jz3.influence.sample_gradients import (
    ADAPTER,
    Sample,
    SampleGradients,
    add_lora,
    batches,
    encode_scorable,
    load_model,
    lora_weights,
    weight_shapes,
)


def our_gradients(model, samples: list[Sample]) -> torch.Tensor:
    """(samples, LoRA weights) float32, in the order of `samples`."""
    names = [name for name, _ in weight_shapes(model)]
    rows = {}
    with SampleGradients(model) as sample_gradients:
        for batch in batches(samples, 1024):
            found: dict[str, torch.Tensor] = {}
            sample_gradients(
                batch, lambda name, gradient, found=found: found.update({name: gradient.flatten(1)})
            )
            every = torch.cat([found[name] for name in names], dim=1)
            rows.update(zip(batch, every, strict=True))
    return torch.stack([rows[sample] for sample in samples])


def their_gradients(model, samples: list[Sample], second: dict | None) -> torch.Tensor:
    """The same by bergson, divided by the root of `second` (by weight name) if it is given."""
    from bergson import CollectorComputer, GradientProcessor, IndexConfig, InMemoryCollector
    from bergson.gradients import AdamNormalizer
    from bergson.utils.peft import detect_peft_modules
    from datasets import Dataset

    weights = lora_weights(model)
    for weight in weights.values():
        weight.requires_grad_(True)
    modules = {  # bergson's name of a LoRA layer, and ours of its weight
        name.removeprefix("base_model.").replace(".weight", f".{ADAPTER}"): name for name in weights
    }
    if set(modules) != detect_peft_modules(model):
        raise SystemExit("bergson names the LoRA layers differently in this version.")
    normalizers = {
        theirs: AdamNormalizer(second[ours].clone()) for theirs, ours in modules.items() if second
    }
    data = Dataset.from_dict(
        {
            "input_ids": [list(sample.input_ids) for sample in samples],
            "labels": [list(sample.labels) for sample in samples],
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = IndexConfig(run_path=f"{folder}/run", loss_reduction="mean")
        settings.partial_run_path.mkdir()
        collector = InMemoryCollector(
            model=model.base_model, cfg=settings, data=data, target_modules=set(modules),
            processor=GradientProcessor(normalizers=normalizers),
        )  # fmt: skip
        CollectorComputer(model, data, collector=collector, cfg=settings).run_with_collector_hooks()
    return torch.cat([collector.gradients[theirs].float() for theirs in modules], dim=1)


def cosines(candidates: Iterable[torch.Tensor], targets: torch.Tensor) -> list[float]:
    """Mean cosine of each candidate with the targets."""
    towards = sum(row.double() / row.double().norm() for row in targets) / len(targets)
    return [(row.double() @ towards / row.double().norm()).item() for row in candidates]


def less_projected(
    gradient: torch.Tensor, count: int, first: torch.Tensor, second: torch.Tensor
) -> list[float]:
    """LESS's scores of the first `count` rows against the others, all projected."""
    from trak.projectors import BasicProjector, ProjectionType

    rows = []
    for number, row in enumerate(gradient):
        if number < count:
            moved = 0.9 * first + 0.1 * row
            row = moved / torch.sqrt(0.999 * second + 0.001 * row**2 + 1e-8)
        rows.append(row.to(torch.float16))
    projector = BasicProjector(
        grad_dim=len(first), proj_dim=8192, seed=0, proj_type=ProjectionType.rademacher,
        device="cpu", dtype=torch.float32, block_size=128,
    )  # fmt: skip
    projected = projector.project(torch.stack(rows), model_id=0)
    return cosines(projected[:count], projected[count:])


def measure(options) -> dict:
    """Gradients and scores by both, and how they compare."""
    checkpoint = reference_run(options.base, options.folder, options.rank)[-1]
    candidates, targets, _ = texts()
    model, tokenizer = load_model(options.base, options.dtype)
    model = add_lora(model, checkpoint.lora, SEED).eval()
    reference.set_weights(model, checkpoint)
    samples = encode_scorable(tokenizer, candidates, options.length)
    aims = encode_scorable(tokenizer, targets, options.length)
    began = time.process_time()
    ours = our_gradients(model, samples + aims)
    our_seconds = time.process_time() - began
    first, second = checkpoint.moments()
    began = time.process_time()
    theirs = their_gradients(model, samples + aims, None)
    their_seconds = time.process_time() - began
    # Divided here as its AdamNormalizer does it, checked on two samples, to save a second pass.
    names = [name for name, _ in weight_shapes(model)]
    m, v = (torch.cat([kind[name].flatten() for name in names]) for kind in (first, second))
    adam = v.sqrt() + 1e-8
    made = their_gradients(model, samples[:2], second)
    if not torch.allclose(made, theirs[:2] / adam, rtol=1e-3):
        raise SystemExit("bergson's AdamNormalizer is not what this script takes it for.")
    result = {
        "step": "influence_agreement", "unit": "Spearman", "rank": options.rank, "dtype": options.dtype,
        "candidates": len(samples), "targets": len(aims),
        "gradients_per_cpu_second": {
            "ours": round(len(ours) / our_seconds, 3),
            "bergson": round(len(theirs) / their_seconds, 3),
        },
        "gradient_cosine_lowest": torch.cosine_similarity(ours, theirs, dim=1).min().item(),
    }  # fmt: skip
    count = len(samples)
    scores = {
        "bergson plain": cosines(theirs[:count], theirs[count:]),
        "bergson adam": cosines((row / adam for row in theirs[:count]), theirs[count:]),
        "ours plain": cosines(ours[:count], ours[count:]),
    }
    numbers = {"step": checkpoint.step, "betas": checkpoint.betas, "eps": checkpoint.eps}
    for form in adam_features.FORMS:
        for name, start in ((form, m), (f"{form}, no first moments", torch.zeros_like(m))):
            made = (
                adam_features.adam_feature(row, start, v, form=form, **numbers)
                for row in ours[:count]
            )
            scores[f"ours {name}"] = cosines(made, ours[count:])
    if options.rank <= 4:  # drawing the projector's numbers takes minutes at rank 16
        scores["LESS projected"] = less_projected(theirs, count, m, v)
    named = {name: dict(enumerate(values)) for name, values in scores.items()}
    result["ours"] = {
        f"{ours} | {peer}": round(spearman(named[ours], named[peer]), 4)
        for peer in named
        if not peer.startswith("ours")
        for ours in named
        if ours.startswith("ours")
    }
    return result


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--base", type=Path, required=True, help="folder of the model")
    arguments.add_argument("--folder", type=Path, help="where to keep the reference run")
    arguments.add_argument("--rank", type=int, default=2, help="of LoRA")
    arguments.add_argument(
        "--length", type=int, default=LENGTH, help="tokens; longer texts are cut"
    )
    arguments.add_argument("--dtype", default="bfloat16", choices=processor.DTYPES)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or Path(temporary)
        result = measure(options)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
