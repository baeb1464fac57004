# Everything that comes from outside, checked by content. The only rules with network access
# beside a hosted teacher; they run where Snakemake runs, since compute nodes may have none.
#
# Reads:  sources, datasets, checkpoints
# Writes: <results>/sources/files/{source}               bytes with the pinned sha256
#         <results>/sources/datasets/{dataset}.parquet   one table
#         <results>/sources/models/{checkpoint}/         a plain Hugging Face checkpoint
#         <results>/sources/records/{kind}/{name}.json   repository, commit and digests, of the hub's


localrules:
    fetch_file,
    fetch_dataset,
    fetch_model,


rule fetch_file:
    """Fetch one file from the first place that has the right bytes."""
    output:
        file=ensure("<results>/sources/files/{source}", non_empty=True),
    log:
        "<results>/logs/sources/fetch_file.{source}.log",
    benchmark:
        "<results>/timings/sources/fetch_file.{source}.tsv"
    conda:
        "../envs/main.yaml"
    resources:
        conduct=conduct(recipes.fetch_file, "source"),
    params:
        recipe=recipe(recipes.fetch_file, "source"),
        code=code_version("fetch_file.py"),
    shell:
        "HF_HUB_OFFLINE=0 python scripts/fetch_file.py --name {wildcards.source:q}"
        " --recipe {params.recipe:q} --conduct {resources.conduct:q} --code {params.code:q}"
        " --output {output.file:q} --log {log:q}"


rule fetch_dataset:
    """Fetch a hub dataset at its revision into one table."""
    output:
        table=ensure("<results>/sources/datasets/{dataset}.parquet", non_empty=True),
        record="<results>/sources/records/datasets/{dataset}.json",
    log:
        "<results>/logs/sources/fetch_dataset.{dataset}.log",
    benchmark:
        "<results>/timings/sources/fetch_dataset.{dataset}.tsv"
    conda:
        "../envs/main.yaml"
    params:
        recipe=recipe(recipes.fetch_dataset, "dataset"),
        code=code_version("fetch_dataset.py"),
    shell:
        "HF_HUB_OFFLINE=0 python scripts/fetch_dataset.py --name {wildcards.dataset:q}"
        " --recipe {params.recipe:q} --code {params.code:q}"
        " --output {output.table:q} --record {output.record:q} --log {log:q}"


rule fetch_model:
    """Make a plain Hugging Face checkpoint of a starting model."""
    input:
        file=of(layout.checkpoint_file, "checkpoint"),
    output:
        model=directory("<results>/sources/models/{checkpoint}"),
        record="<results>/sources/records/models/{checkpoint}.json",
    log:
        "<results>/logs/sources/fetch_model.{checkpoint}.log",
    benchmark:
        "<results>/timings/sources/fetch_model.{checkpoint}.tsv"
    conda:
        "../envs/main.yaml"
    threads: experiment.compute.threads
    resources:
        **asked("fetch_model", "{checkpoint}"),
    params:
        recipe=recipe(recipes.fetch_model, "checkpoint"),
        code=code_version("fetch_model.py"),
        seed=experiment.seed,
        file=given("--source", "file"),
        state=in_results("sources/state/models/{checkpoint}"),
    shell:
        "HF_HUB_OFFLINE=0 python scripts/fetch_model.py --name {wildcards.checkpoint:q}"
        " {params.file} --state {params.state:q} --seed {params.seed} --recipe {params.recipe:q} --code {params.code:q}"
        " --output {output.model:q} --record {output.record:q} --log {log:q}"
