# Raw mathematical texts, cut into passages (paper, section 3.1).
#
# Reads:  corpus; the files, packages, sources and datasets that it names
# Writes: <results>/corpus/sources/{collection}.parquet   passages of one collection
#         <results>/corpus/passages.parquet               all passages, exact duplicates removed
#         <results>/corpus/funnel.json                    what was dropped, and why


rule extract_passages:
    """Cut one collection's documents into passages."""
    input:
        files=of(layout.collection_files, "collection"),
    output:
        passages=ensure("<results>/corpus/sources/{collection}.parquet", non_empty=True),
    log:
        "<results>/logs/corpus/extract_passages.{collection}.log",
    benchmark:
        "<results>/timings/corpus/extract_passages.{collection}.tsv"
    conda:
        "../envs/main.yaml"
    resources:
        mem_mb=megabytes(8000),
        runtime=720,
    params:
        recipe=recipe(recipes.extract_passages, "collection"),
        code=code_version("extract_passages.py"),
        seed=experiment.seed,
        files=given("--files", "files"),
    shell:
        "python scripts/extract_passages.py --name {wildcards.collection:q} {params.files}"
        " --seed {params.seed} --recipe {params.recipe:q} --code {params.code:q}"
        " --output {output.passages:q} --log {log:q}"


rule pool_passages:
    """Join all collections and remove exact duplicates."""
    input:
        passages=expand(
            "<results>/corpus/sources/{collection}.parquet",
            collection=experiment.corpus.sources,
        ),
    output:
        passages=ensure("<results>/corpus/passages.parquet", non_empty=True),
        report=ensure("<results>/corpus/funnel.json", non_empty=True),
    log:
        "<results>/logs/corpus/pool_passages.log",
    benchmark:
        "<results>/timings/corpus/pool_passages.tsv"
    conda:
        "../envs/main.yaml"
    resources:
        mem_mb=pooling_memory,
        runtime=720,
    params:
        code=code_version("pool_passages.py"),
    shell:
        "python scripts/pool_passages.py --passages {input.passages:q} --code {params.code:q}"
        " --output {output.passages:q} --report {output.report:q} --log {log:q}"


rule corpus:
    """Target: the pool of passages."""
    input:
        rules.pool_passages.output,
