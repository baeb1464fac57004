# Which texts yield the problems that help most (paper, section 3.3; LESS, arXiv 2402.04333).
#
# Reads:  influence, recipes; passages; a synthesizer; training problems of the targets
# Entries that agree in what decides a product share it (`Experiment.maker`).
#
# Writes: <results>/influence/{influence}/candidates.parquet       problems by the synthesizer
#         <results>/influence/{influence}/reference/               adapter and moments per epoch
#         <results>/influence/{influence}/gradients.safetensors    the targets' mean directions
#         <results>/influence/{influence}/features/{shard}/        with a projection: for re-targeting
#         <results>/influence/{influence}/shards/{shard}.parquet   scores by subtask
#         <results>/influence/{influence}/scores.parquet           one row per candidate


# Seconds of work: not worth a job of a scheduler.
localrules:
    aggregate_scores,


rule synthesize_candidates:
    """Write one problem per candidate passage."""
    input:
        passages="<results>/corpus/passages.parquet",
        exclude=of(layout.earlier_picks, "influence"),
        prompts=lambda wc: layout.prompt_files(experiment.influence[wc.influence].mode),
        synthesizer=lambda wc: layout.synthesizer(
            experiment.influence[wc.influence].synthesizer
        ),
    output:
        candidates=ensure(
            "<results>/influence/{influence}/candidates.parquet", non_empty=True
        ),
    log:
        "<results>/logs/influence/synthesize_candidates.{influence}.log",
    benchmark:
        "<results>/timings/influence/synthesize_candidates.{influence}.tsv"
    conda:
        f"../envs/{GENERATION_STACK}.yaml"
    container:
        f"envs/{GENERATION_STACK}.sif"
    threads: experiment.compute.threads
    resources:
        **asked("synthesize_candidates", "{influence}", experiment.compute.threads),
        environment=WITH_ENGINE,
        conduct=conduct(recipes.synthesize_candidates, "influence"),
    params:
        recipe=recipe(recipes.synthesize_candidates, "influence"),
        code=code_version("synthesize_candidates.py"),
        seed=experiment.seed,
        folder=lambda wc: layout.prompt_folder(experiment.influence[wc.influence].mode),
        exclude=given("--exclude", "exclude"),
        state=in_results("influence/{influence}/state/synthesize_candidates"),
    shell:
        "{resources.environment}; exec python scripts/gpus.py --gpus {resources.gpu}"
        " --nodes {resources.nodes}"
        " scripts/synthesize_candidates.py"
        " --passages {input.passages:q} {params.exclude} --prompts {params.folder:q}"
        " --synthesizer {input.synthesizer:q} --state {params.state:q} --seed {params.seed}"
        " --recipe {params.recipe:q} --conduct {resources.conduct:q} --code {params.code:q}"
        " --output {output.candidates:q} --log {log:q}"


rule train_reference:
    """Warm up a LoRA reference model; keep its adapter and Adam moments after every epoch."""
    input:
        candidates=of(layout.candidates, "influence"),
        base=of(layout.reference_base, "influence"),
    output:
        reference=directory("<results>/influence/{influence}/reference"),
    log:
        "<results>/logs/influence/train_reference.{influence}.log",
    benchmark:
        "<results>/timings/influence/train_reference.{influence}.tsv"
    conda:
        "../envs/main.yaml"
    threads: experiment.compute.threads
    resources:
        **asked("train_reference", "{influence}", experiment.compute.threads),
        conduct=conduct(recipes.train_reference, "influence"),
    params:
        recipe=recipe(recipes.train_reference, "influence"),
        code=code_version("train_reference.py"),
        seed=experiment.seed,
        state=in_results("influence/{influence}/state/train_reference"),
    shell:
        "exec python scripts/gpus.py --gpus {resources.gpu} --nodes {resources.nodes}"
        " scripts/train_reference.py"
        " --candidates {input.candidates:q} --base {input.base:q} --state {params.state:q}"
        " --seed {params.seed} --recipe {params.recipe:q} --conduct {resources.conduct:q} --code {params.code:q}"
        " --output {output.reference:q} --log {log:q}"


rule target_gradients:
    """Mean gradient direction of each target at each checkpoint of the reference."""
    input:
        reference=of(layout.reference, "influence"),
        base=of(layout.reference_base, "influence"),
        targets=of(layout.target_problems, "influence"),
    output:
        gradients=ensure(
            "<results>/influence/{influence}/gradients.safetensors", non_empty=True
        ),
    log:
        "<results>/logs/influence/target_gradients.{influence}.log",
    benchmark:
        "<results>/timings/influence/target_gradients.{influence}.tsv"
    conda:
        "../envs/main.yaml"
    threads: experiment.compute.threads
    resources:
        **asked("target_gradients", "{influence}", experiment.compute.threads),
    params:
        recipe=recipe(recipes.target_gradients, "influence"),
        code=code_version("target_gradients.py"),
        seed=experiment.seed,
        state=in_results("influence/{influence}/state/target_gradients"),
    shell:
        "exec python scripts/gpus.py --gpus {resources.gpu} --nodes {resources.nodes}"
        " scripts/target_gradients.py"
        " --reference {input.reference:q} --base {input.base:q} --targets {input.targets:q}"
        " --state {params.state:q} --seed {params.seed} --recipe {params.recipe:q} --code {params.code:q}"
        " --output {output.gradients:q} --log {log:q}"


rule store_features:
    """Store one shard's projected features, for scores against any targets (if `projection` says so)."""
    input:
        candidates=of(layout.candidates, "influence"),
        reference=of(layout.reference, "influence"),
        base=of(layout.reference_base, "influence"),
    output:
        features=directory("<results>/influence/{influence}/features/{shard}"),
    log:
        "<results>/logs/influence/store_features.{influence}.{shard}.log",
    benchmark:
        "<results>/timings/influence/store_features.{influence}.{shard}.tsv"
    conda:
        "../envs/main.yaml"
    threads: experiment.compute.threads
    resources:
        **asked("store_features", "{influence}", experiment.compute.threads),
    params:
        recipe=recipe(recipes.store_features, "influence"),
        code=code_version("store_features.py"),
        seed=experiment.seed,
        state=in_results("influence/{influence}/state/store_features.{shard}"),
    shell:
        "exec python scripts/gpus.py --gpus {resources.gpu} --nodes {resources.nodes}"
        " scripts/store_features.py"
        " --candidates {input.candidates:q} --reference {input.reference:q}"
        " --base {input.base:q} --shard {wildcards.shard:q} --state {params.state:q}"
        " --seed {params.seed} --recipe {params.recipe:q} --code {params.code:q}"
        " --output {output.features:q} --log {log:q}"


rule score_influence:
    """Score one shard by the agreement of its updates with the targets' gradients."""
    input:
        candidates=of(layout.candidates, "influence"),
        reference=of(layout.reference, "influence"),
        source=of(layout.scored_from, "influence", "shard"),
        gradients=of(layout.gradients, "influence"),
    output:
        scores=ensure(
            "<results>/influence/{influence}/shards/{shard}.parquet", non_empty=True
        ),
    log:
        "<results>/logs/influence/score_influence.{influence}.{shard}.log",
    benchmark:
        "<results>/timings/influence/score_influence.{influence}.{shard}.tsv"
    conda:
        "../envs/main.yaml"
    threads: experiment.compute.threads
    resources:
        **asked("score_influence", "{influence}", experiment.compute.threads),
    params:
        recipe=recipe(recipes.score_influence, "influence"),
        code=code_version("score_influence.py"),
        seed=experiment.seed,
        source=lambda wc: (
            "--features"
            if experiment.influence[wc.influence].is_projected
            else "--base"
        ),
        state=in_results("influence/{influence}/state/score_influence.{shard}"),
    shell:
        "exec python scripts/gpus.py --gpus {resources.gpu} --nodes {resources.nodes}"
        " scripts/score_influence.py"
        " --candidates {input.candidates:q} --reference {input.reference:q}"
        " {params.source} {input.source:q} --gradients {input.gradients:q}"
        " --shard {wildcards.shard:q} --state {params.state:q}"
        " --seed {params.seed} --recipe {params.recipe:q} --code {params.code:q}"
        " --output {output.scores:q} --log {log:q}"


rule aggregate_scores:
    """Join the shards, and make one score of each candidate's subtasks."""
    input:
        shards=of(layout.influence_shards, "influence"),
    output:
        scores=ensure("<results>/influence/{influence}/scores.parquet", non_empty=True),
    log:
        "<results>/logs/influence/aggregate_scores.{influence}.log",
    benchmark:
        "<results>/timings/influence/aggregate_scores.{influence}.tsv"
    conda:
        "../envs/main.yaml"
    params:
        recipe=recipe(recipes.aggregate_scores, "influence"),
        code=code_version("aggregate_scores.py"),
        seed=experiment.seed,
    shell:
        "python scripts/aggregate_scores.py --shards {input.shards:q} --seed {params.seed}"
        " --recipe {params.recipe:q} --code {params.code:q}"
        " --output {output.scores:q} --log {log:q}"


rule influence:
    """Target: all influence scores."""
    input:
        expand(
            "<results>/influence/{influence}/scores.parquet",
            influence=experiment.influence,
        ),
