# Small models learn to write problems as the teacher does (paper, section 3.2).
#
# Reads:  synthesizers, recipes; distillation pairs; a starting checkpoint
# Writes: <results>/synthesizers/{synthesizer}/model/          a Hugging Face checkpoint
#         <results>/synthesizers/{synthesizer}/history.jsonl   loss per update


rule train_synthesizer:
    """Fine-tune a starting model on prompt -> problem and solution, loss on the output only."""
    input:
        pairs=of(layout.learned_pairs, "synthesizer"),
        base=of(layout.synthesizer_base, "synthesizer"),
    output:
        model=directory("<results>/synthesizers/{synthesizer}/model"),
        history=ensure(
            "<results>/synthesizers/{synthesizer}/history.jsonl", non_empty=True
        ),
    log:
        "<results>/logs/synthesizers/train_synthesizer.{synthesizer}.log",
    benchmark:
        "<results>/timings/synthesizers/train_synthesizer.{synthesizer}.tsv"
    conda:
        "../envs/main.yaml"
    threads: experiment.compute.threads
    resources:
        **asked("train_synthesizer", "{synthesizer}", experiment.compute.threads),
        conduct=conduct(recipes.train_synthesizer, "synthesizer"),
    params:
        recipe=recipe(recipes.train_synthesizer, "synthesizer"),
        code=code_version("train_synthesizer.py"),
        seed=experiment.seed,
        state=in_results("synthesizers/{synthesizer}/state"),
    shell:
        "exec python scripts/gpus.py --gpus {resources.gpu} --nodes {resources.nodes}"
        " scripts/train_synthesizer.py"
        " --pairs {input.pairs:q} --base {input.base:q} --state {params.state:q}"
        " --seed {params.seed} --recipe {params.recipe:q} --conduct {resources.conduct:q} --code {params.code:q}"
        " --output {output.model:q} --history {output.history:q} --log {log:q}"


rule synthesizers:
    """Target: all synthesizers."""
    input:
        [layout.synthesizer(name) for name in experiment.synthesizers],
