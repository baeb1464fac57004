# Students: pre-training on the synthetic corpora, then fine-tuning, in one schedule (paper,
# section 3.5).
#
# Reads:  models, finetuning, recipes; corpora; training splits; a starting checkpoint
# Writes: <results>/models/{model}/packed.parquet   sequences of whole documents, in training order
#         <results>/models/{model}/packing.json     how full they are
#         <results>/models/{model}/model/           a Hugging Face checkpoint
#         <results>/models/{model}/history.jsonl    loss per update


rule pack_corpus:
    """Tokenise and pack a model's training data, first stage before second."""
    input:
        pretrain=of(layout.pretraining, "model"),
        finetune=of(layout.finetuning, "model"),
        base=of(layout.model_base, "model"),
    output:
        packed=ensure("<results>/models/{model}/packed.parquet", non_empty=True),
        report=ensure("<results>/models/{model}/packing.json", non_empty=True),
    log:
        "<results>/logs/training/pack_corpus.{model}.log",
    benchmark:
        "<results>/timings/training/pack_corpus.{model}.tsv"
    conda:
        "../envs/main.yaml"
    resources:
        **asked("pack_corpus", "{model}"),
    params:
        recipe=recipe(recipes.pack_corpus, "model"),
        code=code_version("pack_corpus.py"),
        seed=experiment.seed,
        pretrain=given("--pretrain", "pretrain"),
        finetune=given("--finetune", "finetune"),
    shell:
        "python scripts/pack_corpus.py {params.pretrain} {params.finetune}"
        " --base {input.base:q} --seed {params.seed}"
        " --recipe {params.recipe:q} --code {params.code:q}"
        " --output {output.packed:q} --report {output.report:q} --log {log:q}"


rule train_model:
    """Train a student through both stages; continues where an interrupted run stopped."""
    input:
        packed="<results>/models/{model}/packed.parquet",
        base=of(layout.model_base, "model"),
    output:
        model=directory("<results>/models/{model}/model"),
        history=ensure("<results>/models/{model}/history.jsonl", non_empty=True),
    log:
        "<results>/logs/training/train_model.{model}.log",
    benchmark:
        "<results>/timings/training/train_model.{model}.tsv"
    conda:
        "../envs/main.yaml"
    threads: experiment.compute.threads
    resources:
        **asked("train_model", "{model}", experiment.compute.threads),
        conduct=conduct(recipes.train_model, "model"),
    params:
        recipe=recipe(recipes.train_model, "model"),
        code=code_version("train_model.py"),
        seed=experiment.seed,
        state=in_results("models/{model}/state"),
    shell:
        "exec python scripts/gpus.py --gpus {resources.gpu} --nodes {resources.nodes}"
        " scripts/train_model.py"
        " --packed {input.packed:q} --base {input.base:q} --state {params.state:q}"
        " --seed {params.seed} --recipe {params.recipe:q} --conduct {resources.conduct:q} --code {params.code:q}"
        " --output {output.model:q} --history {output.history:q} --log {log:q}"


rule training:
    """Target: all trained models."""
    input:
        [layout.model(name) for name in experiment.trained_models],
