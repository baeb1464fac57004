# Small models learn to write problems as the teacher does (paper, section 3.2).
#
# Reads:  synthesizers, recipes; distillation pairs; a starting checkpoint
# Writes: <results>/synthesizers/{synthesizer}/model/          a Hugging Face checkpoint
#         <results>/synthesizers/{synthesizer}/history.jsonl   loss per update


rule train_synthesizer:
    """Fine-tune a starting model on prompt -> problem and solution, loss on the output only."""
    input:
        pairs=lambda wc: expand(
            "<results>/distillation/{distillation}/pairs.parquet",
            distillation=config["synthesizers"][wc.synthesizer]["distillation"],
        ),
        base=lambda wc: checkpoint(config["synthesizers"][wc.synthesizer]["base"]),
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
        "../envs/train.yaml"
    threads: config["compute"]["threads"]
    resources:
        **asked("train_synthesizer", "{synthesizer}"),
    params:
        recipe=lambda wc: canonical(
            {
                **config["recipes"][config["synthesizers"][wc.synthesizer]["recipe"]],
                **numerics(),
            }
        ),
        code=code_version("train_synthesizer.py"),
        seed=config["seed"],
        state=in_results("synthesizers/{synthesizer}/state"),
    shell:
        "exec python scripts/gpus.py --gpus {resources.gpu} --nodes {resources.nodes}"
        " scripts/train_synthesizer.py"
        " --pairs {input.pairs:q} --base {input.base:q} --state {params.state:q}"
        " --seed {params.seed} --recipe {params.recipe:q} --code {params.code:q}"
        " --output {output.model:q} --history {output.history:q} --log {log:q}"


rule synthesizers:
    """Target: all synthesizers."""
    input:
        [synthesizer(name) for name in config["synthesizers"]],
