# Problem sets in one form, for evaluation, fine-tuning and as influence targets.
#
# Reads:  benchmarks; the source, dataset or files of each split
# Writes: <results>/benchmarks/{benchmark}/{split}.parquet


# Seconds of work: not worth a job of a scheduler.
localrules:
    prepare_benchmark,


rule prepare_benchmark:
    """Read, or generate, one split of a benchmark."""
    input:
        files=of(layout.split_files, "benchmark", "split"),
    output:
        problems=ensure(
            "<results>/benchmarks/{benchmark}/{split}.parquet", non_empty=True
        ),
    log:
        "<results>/logs/benchmarks/prepare_benchmark.{benchmark}.{split}.log",
    benchmark:
        "<results>/timings/benchmarks/prepare_benchmark.{benchmark}.{split}.tsv"
    conda:
        "../envs/main.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=30,
    params:
        recipe=recipe(recipes.prepare_benchmark, "benchmark", "split"),
        code=code_version("prepare_benchmark.py"),
        seed=experiment.seed,
        files=given("--files", "files"),
    shell:
        "python scripts/prepare_benchmark.py --benchmark {wildcards.benchmark:q}"
        " --split {wildcards.split:q} {params.files} --seed {params.seed}"
        " --recipe {params.recipe:q} --code {params.code:q}"
        " --output {output.problems:q} --log {log:q}"


rule benchmarks:
    """Target: every configured split of every benchmark."""
    input:
        [
            f"<results>/benchmarks/{name}/{split}.parquet"
            for name, entry in experiment.benchmarks.items()
            for split in entry.splits
        ],
