# A strong teacher writes problems from passages (paper, section 3.2).
#
# Reads:  teacher, prompts, distillation; passages; influence scores where they pick
# Writes: <results>/distillation/{distillation}/picks.parquet         passages and levels
#         <results>/distillation/{distillation}/prompts.parquet       requests
#         <results>/distillation/{distillation}/completions.parquet   answers, good and bad
#         <results>/distillation/{distillation}/pairs.parquet         prompt -> problem, solution
#         <results>/distillation/{distillation}/rejected.json         what was not usable, and why
#         <results>/distillation/journal.sqlite                       paid answers, never asked again


# Seconds of work: not worth a job of a scheduler.
localrules:
    build_prompts,
    parse_pairs,
    journal,


rule pick_passages:
    """Choose passages and levels: at random, or by influence."""
    input:
        passages="<results>/corpus/passages.parquet",
        prompts=lambda wc: layout.prompt_files(
            experiment.distillation[wc.distillation].mode
        ),
        scores=of(layout.picking_scores, "distillation"),
    output:
        picks=ensure(
            "<results>/distillation/{distillation}/picks.parquet", non_empty=True
        ),
    log:
        "<results>/logs/distillation/pick_passages.{distillation}.log",
    benchmark:
        "<results>/timings/distillation/pick_passages.{distillation}.tsv"
    conda:
        "../envs/main.yaml"
    resources:
        mem_mb=megabytes(8000),
        runtime=720,
    params:
        recipe=recipe(recipes.pick_passages, "distillation"),
        code=code_version("pick_passages.py"),
        seed=experiment.seed,
        folder=lambda wc: layout.prompt_folder(
            experiment.distillation[wc.distillation].mode
        ),
        scores=given("--scores", "scores"),
    shell:
        "python scripts/pick_passages.py --passages {input.passages:q} {params.scores}"
        " --levels-from {params.folder:q} --seed {params.seed}"
        " --recipe {params.recipe:q} --code {params.code:q}"
        " --output {output.picks:q} --log {log:q}"


rule build_prompts:
    """Put each picked passage into the prompt of its level."""
    input:
        picks="<results>/distillation/{distillation}/picks.parquet",
        prompts=lambda wc: layout.prompt_files(
            experiment.distillation[wc.distillation].mode
        ),
    output:
        prompts=ensure(
            "<results>/distillation/{distillation}/prompts.parquet", non_empty=True
        ),
    log:
        "<results>/logs/distillation/build_prompts.{distillation}.log",
    benchmark:
        "<results>/timings/distillation/build_prompts.{distillation}.tsv"
    conda:
        "../envs/main.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=30,
    params:
        code=code_version("build_prompts.py"),
        folder=lambda wc: layout.prompt_folder(
            experiment.distillation[wc.distillation].mode
        ),
    shell:
        "python scripts/build_prompts.py --picks {input.picks:q} --prompts {params.folder:q}"
        " --code {params.code:q} --output {output.prompts:q} --log {log:q}"


# A hosted teacher needs the network, which compute nodes may lack.
if experiment.teacher.base_url:

    localrules:
        ask_teacher,


rule ask_teacher:
    """Ask the teacher; what was answered once is never asked again."""
    input:
        prompts="<results>/distillation/{distillation}/prompts.parquet",
        examples=lambda wc: layout.examples(
            experiment.distillation[wc.distillation].mode
        ),
        model=layout.teacher_file(),
    output:
        completions=ensure(
            "<results>/distillation/{distillation}/completions.parquet", non_empty=True
        ),
    log:
        "<results>/logs/distillation/ask_teacher.{distillation}.log",
    benchmark:
        "<results>/timings/distillation/ask_teacher.{distillation}.tsv"
    conda:
        f"../envs/{TEACHER_STACK}.yaml"
    container:
        f"envs/{TEACHER_STACK}.sif"
    threads: 1 if experiment.teacher.base_url else experiment.compute.threads
    resources:
        **asked("ask_teacher", "{distillation}", experiment.compute.threads),
        environment=WITH_TEACHER,
        conduct=conduct(recipes.ask_teacher, "distillation"),
    params:
        recipe=recipe(recipes.ask_teacher, "distillation"),
        code=code_version("ask_teacher.py"),
        seed=experiment.seed,
        journal=in_results("distillation/journal.sqlite"),
        model=given("--model", "model"),
    shell:
        "{resources.environment}; exec python scripts/gpus.py --gpus {resources.gpu}"
        " --nodes {resources.nodes}"
        " scripts/ask_teacher.py --prompts {input.prompts:q} --examples {input.examples:q}"
        " {params.model} --journal {params.journal:q} --seed {params.seed}"
        " --recipe {params.recipe:q} --conduct {resources.conduct:q} --code {params.code:q}"
        " --output {output.completions:q} --log {log:q}"


rule parse_pairs:
    """Turn answers into pairs of prompt and problem with solution; list what is unusable."""
    input:
        prompts="<results>/distillation/{distillation}/prompts.parquet",
        completions="<results>/distillation/{distillation}/completions.parquet",
    output:
        pairs=ensure(
            "<results>/distillation/{distillation}/pairs.parquet", non_empty=True
        ),
        report=ensure(
            "<results>/distillation/{distillation}/rejected.json", non_empty=True
        ),
    log:
        "<results>/logs/distillation/parse_pairs.{distillation}.log",
    benchmark:
        "<results>/timings/distillation/parse_pairs.{distillation}.tsv"
    conda:
        "../envs/main.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=30,
    params:
        recipe=recipe(recipes.parse_pairs, "distillation"),
        code=code_version("parse_pairs.py"),
    shell:
        "python scripts/parse_pairs.py --prompts {input.prompts:q}"
        " --completions {input.completions:q}"
        " --recipe {params.recipe:q} --code {params.code:q}"
        " --output {output.pairs:q} --report {output.report:q} --log {log:q}"


rule distillation:
    """Target: all distillation pairs."""
    input:
        expand(
            "<results>/distillation/{distillation}/pairs.parquet",
            distillation=experiment.distillation,
        ),


rule journal:
    """Target: print what the teacher was paid, open charges, and failures by kind."""
    log:
        "<results>/logs/distillation/journal.log",
    retries: 0
    conda:
        "../envs/main.yaml"
    params:
        journal=experiment.teacher.journal or in_results("distillation/journal.sqlite"),
    shell:
        "python scripts/journal.py list {params.journal:q} 2> {log:q}"
