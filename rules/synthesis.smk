# The synthesizers write the corpora; what fails a check is set aside (paper, section 3.4).
#
# Reads:  corpora, execution, filtering; passages; synthesizers; all test splits
# Writes: <results>/synthesis/{corpus}/prompts/{shard}.parquet    passages in prompts
#         <results>/synthesis/{corpus}/shards/{shard}.parquet     everything written
#         <results>/synthesis/{corpus}/executed/{shard}.parquet   tool solutions after execution
#         <results>/synthesis/{corpus}/problems.parquet           what passed every check
#         <results>/synthesis/{corpus}/rejected.parquet           the rest, with the reason
#         <results>/synthesis/{corpus}/funnel.json                counts, check by check
#         <results>/synthesis/{corpus}/README.md, card.json       data card


rule draw_prompts:
    """Draw passages and levels, and deal them out to the shards."""
    input:
        passages="<results>/corpus/passages.parquet",
        prompts=lambda wc: layout.prompt_files(experiment.corpora[wc.corpus].mode),
    output:
        prompts=directory("<results>/synthesis/{corpus}/prompts"),
    log:
        "<results>/logs/synthesis/draw_prompts.{corpus}.log",
    benchmark:
        "<results>/timings/synthesis/draw_prompts.{corpus}.tsv"
    conda:
        "../envs/main.yaml"
    resources:
        mem_mb=drawing_memory,
        runtime=720,
    params:
        recipe=recipe(recipes.draw_prompts, "corpus"),
        code=code_version("draw_prompts.py"),
        seed=experiment.seed,
        folder=lambda wc: layout.prompt_folder(experiment.corpora[wc.corpus].mode),
    shell:
        "python scripts/draw_prompts.py --passages {input.passages:q}"
        " --prompts {params.folder:q} --seed {params.seed}"
        " --recipe {params.recipe:q} --code {params.code:q}"
        " --output {output.prompts:q} --log {log:q}"


rule synthesize:
    """Write one shard of a corpus."""
    input:
        prompts="<results>/synthesis/{corpus}/prompts",
        synthesizer=of(layout.writer, "corpus"),
    output:
        problems=ensure(
            "<results>/synthesis/{corpus}/shards/{shard}.parquet", non_empty=True
        ),
    log:
        "<results>/logs/synthesis/synthesize.{corpus}.{shard}.log",
    benchmark:
        "<results>/timings/synthesis/synthesize.{corpus}.{shard}.tsv"
    conda:
        f"../envs/{GENERATION_STACK}.yaml"
    container:
        f"envs/{GENERATION_STACK}.sif"
    threads: experiment.compute.threads
    resources:
        **asked("synthesize", "{corpus}", experiment.compute.threads),
        environment=WITH_ENGINE,
        conduct=conduct(recipes.synthesize, "corpus"),
    params:
        recipe=recipe(recipes.synthesize, "corpus"),
        code=code_version("synthesize.py"),
        seed=experiment.seed,
        state=in_results("synthesis/{corpus}/state/{shard}"),
    shell:
        "{resources.environment}; exec python scripts/gpus.py --gpus {resources.gpu}"
        " --nodes {resources.nodes}"
        " scripts/synthesize.py"
        " --prompts {input.prompts:q}/{wildcards.shard:q}.parquet"
        " --synthesizer {input.synthesizer:q} --state {params.state:q} --seed {params.seed}"
        " --recipe {params.recipe:q} --conduct {resources.conduct:q} --code {params.code:q}"
        " --output {output.problems:q} --log {log:q}"


rule execute_solutions:
    """Run every program of a shard; put in what it really prints."""
    input:
        problems="<results>/synthesis/{corpus}/shards/{shard}.parquet",
    output:
        problems=ensure(
            "<results>/synthesis/{corpus}/executed/{shard}.parquet", non_empty=True
        ),
    log:
        "<results>/logs/synthesis/execute_solutions.{corpus}.{shard}.log",
    benchmark:
        "<results>/timings/synthesis/execute_solutions.{corpus}.{shard}.tsv"
    conda:
        "../envs/main.yaml"
    threads: experiment.execution.workers
    resources:
        conduct=conduct(recipes.execute_solutions),
        cpus_per_task=experiment.execution.workers,
        mem_mb=megabytes(workload.execution_memory(experiment)),
        runtime=120,
    params:
        recipe=recipe(recipes.execute_solutions),
        code=code_version("execute_solutions.py"),
    shell:
        "python scripts/execute_solutions.py --problems {input.problems:q}"
        " --recipe {params.recipe:q} --conduct {resources.conduct:q} --code {params.code:q}"
        " --output {output.problems:q} --log {log:q}"


rule filter_problems:
    """Apply the checks in order; keep, or set aside with the reason."""
    input:
        problems=of(layout.corpus_shards, "corpus"),
        benchmarks=layout.decontaminated(),
        earlier=of(layout.corpora_before, "corpus"),
    output:
        problems=ensure("<results>/synthesis/{corpus}/problems.parquet", non_empty=True),
        rejected=ensure("<results>/synthesis/{corpus}/rejected.parquet", non_empty=True),
        report=ensure("<results>/synthesis/{corpus}/funnel.json", non_empty=True),
    log:
        "<results>/logs/synthesis/filter_problems.{corpus}.log",
    benchmark:
        "<results>/timings/synthesis/filter_problems.{corpus}.tsv"
    conda:
        "../envs/main.yaml"
    resources:
        **asked("filter_problems", "{corpus}"),
    params:
        recipe=recipe(recipes.filter_problems, "corpus"),
        code=code_version("filter_problems.py"),
        seed=experiment.seed,
    shell:
        "python scripts/filter_problems.py --problems {input.problems:q}"
        " --benchmarks {input.benchmarks:q} --earlier {input.earlier:q} --seed {params.seed}"
        " --recipe {params.recipe:q} --code {params.code:q} --output {output.problems:q}"
        " --rejected {output.rejected:q} --report {output.report:q} --log {log:q}"


rule data_card:
    """Describe a corpus: counts, checks, samples, limits."""
    input:
        problems="<results>/synthesis/{corpus}/problems.parquet",
        rejected="<results>/synthesis/{corpus}/rejected.parquet",
        report="<results>/synthesis/{corpus}/funnel.json",
        templates=expand("rules/report/{name}.j2", name=["corpus_card", "markdown"]),
    output:
        card=ensure("<results>/synthesis/{corpus}/README.md", non_empty=True),
        facts=ensure("<results>/synthesis/{corpus}/card.json", non_empty=True),
    log:
        "<results>/logs/synthesis/data_card.{corpus}.log",
    benchmark:
        "<results>/timings/synthesis/data_card.{corpus}.tsv"
    conda:
        "../envs/main.yaml"
    resources:
        **asked("filter_problems", "{corpus}"),
    params:
        recipe=recipe(recipes.data_card, "corpus"),
        code=code_version("data_card.py"),
        seed=experiment.seed,
    shell:
        "python scripts/data_card.py --problems {input.problems:q} --rejected {input.rejected:q}"
        " --report {input.report:q} --seed {params.seed}"
        " --recipe {params.recipe:q} --code {params.code:q}"
        " --facts {output.facts:q} --output {output.card:q} --log {log:q}"


rule synthesis:
    """Target: all synthetic corpora and their data cards."""
    input:
        [layout.corpus_table(name) for name in experiment.corpora],
        expand(
            "<results>/synthesis/{corpus}/README.md", corpus=experiment.written_corpora
        ),
