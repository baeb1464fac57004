# Before a run: what it would take, and whether it can start. None of this makes a product.
#
# Reads:  the whole configuration
# Writes: <results>/preflight/{kind}.json       findings on a node, removed once they are used
#         <results>/preflight/{kind}.admitted   nothing found there would make jobs fail


localrules:
    estimate,
    preflight,
    admit_jobs,


rule estimate:
    """Target: print tokens, GPU-hours, time, money and disk of the run."""
    log:
        "<results>/logs/planning/estimate.log",
    retries: 0
    conda:
        "../envs/main.yaml"
    params:
        recipe=lambda wc: canonical(config),
        code=code_version("estimate.py"),
    shell:
        "python scripts/estimate.py --recipe {params.recipe:q} --code {params.code:q}"
        " 2> {log:q}"


rule check_node:
    """Look at the machine that one kind of job is sent to."""
    output:
        findings=temp("<results>/preflight/{kind}.json"),
    log:
        "<results>/logs/planning/check_node.{kind}.log",
    benchmark:
        "<results>/timings/planning/check_node.{kind}.tsv"
    priority: 100  # first of all: long jobs wait for earlier stages anyway
    retries: 0
    conda:
        lambda wc: f"../envs/{node_request(wc.kind).stack}.yaml"
    container:
        lambda wc: f"envs/{node_request(wc.kind).stack}.sif"
    threads: lambda wc: workload.node_threads(experiment, wc.kind)
    resources:
        environment=lambda wc: WITH_ENGINE if wc.kind == "vllm" else ":",
        gpu=lambda wc: node_request(wc.kind).gpus,
        cpus_per_task=lambda wc: workload.node_threads(experiment, wc.kind),
        nodes=1,
        mem_mb=lambda wc: workload.node_memory(experiment, node_request(wc.kind)),
        runtime=15,
    params:
        recipe=lambda wc: canonical(node_request(wc.kind).identity()),
        code=code_version("check_node.py"),
    shell:
        "{resources.environment}; exec python scripts/gpus.py --gpus {resources.gpu}"
        " scripts/check_node.py"
        " --kind {wildcards.kind:q} --recipe {params.recipe:q}"
        " --code {params.code:q} --output {output.findings:q} --log {log:q}"


rule admit_jobs:
    """Stop the run where something on a node would make the long jobs of a kind fail."""
    input:
        findings="<results>/preflight/{kind}.json",
    output:
        admitted=touch("<results>/preflight/{kind}.admitted"),
    log:
        "<results>/logs/planning/admit_jobs.{kind}.log",
    benchmark:
        "<results>/timings/planning/admit_jobs.{kind}.tsv"
    priority: 100
    retries: 0
    conda:
        "../envs/main.yaml"
    params:
        recipe=lambda wc: canonical({"dtype": node_request(wc.kind).dtype}),
        code=code_version("admit_jobs.py"),
    shell:
        "python scripts/admit_jobs.py --findings {input.findings:q} --recipe {params.recipe:q}"
        " --code {params.code:q} --log {log:q}"


rule preflight:
    """Target: say whether a run can start, on the nodes and here."""
    input:
        nodes=expand("<results>/preflight/{kind}.json", kind=workload.NODE_KINDS),
    log:
        "<results>/logs/planning/preflight.log",
    retries: 0
    conda:
        "../envs/main.yaml"
    params:
        recipe=lambda wc: canonical(config),
        code=code_version("preflight.py"),
    shell:
        "python scripts/preflight.py --nodes {input.nodes:q} --recipe {params.recipe:q}"
        " --code {params.code:q} 2> {log:q}"
