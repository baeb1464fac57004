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


rule pick_passages:
    """Choose passages and levels: at random, or by influence."""
    input:
        passages="<results>/corpus/passages.parquet",
        prompts=lambda wc: prompt_files(distillation_mode(wc)),
        scores=picking_scores,
    output:
        picks=ensure(
            "<results>/distillation/{distillation}/picks.parquet", non_empty=True
        ),
    log:
        "<results>/logs/distillation/pick_passages.{distillation}.log",
    benchmark:
        "<results>/timings/distillation/pick_passages.{distillation}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=lambda wc, attempt: 8000 * attempt,
        runtime=720,
    params:
        recipe=lambda wc: canonical(config["distillation"][wc.distillation]),
        code=code_version("pick_passages.py"),
        seed=config["seed"],
        folder=lambda wc: prompt_folder(distillation_mode(wc)),
        scores=lambda wc, input: option("--scores", input.scores),
    shell:
        "python scripts/pick_passages.py --passages {input.passages:q} {params.scores}"
        " --levels-from {params.folder:q} --seed {params.seed}"
        " --recipe {params.recipe:q} --code {params.code:q}"
        " --output {output.picks:q} --log {log:q}"


rule build_prompts:
    """Put each picked passage into the prompt of its level."""
    input:
        picks="<results>/distillation/{distillation}/picks.parquet",
        prompts=lambda wc: prompt_files(distillation_mode(wc)),
    output:
        prompts=ensure(
            "<results>/distillation/{distillation}/prompts.parquet", non_empty=True
        ),
    log:
        "<results>/logs/distillation/build_prompts.{distillation}.log",
    benchmark:
        "<results>/timings/distillation/build_prompts.{distillation}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=30,
    params:
        code=code_version("build_prompts.py"),
        folder=lambda wc: prompt_folder(distillation_mode(wc)),
    shell:
        "python scripts/build_prompts.py --picks {input.picks:q} --prompts {params.folder:q}"
        " --code {params.code:q} --output {output.prompts:q} --log {log:q}"


# A hosted teacher needs the network, which compute nodes may lack.
if config["teacher"]["base_url"]:

    localrules:
        ask_teacher,


rule ask_teacher:
    """Ask the teacher; what was answered once is never asked again."""
    input:
        prompts="<results>/distillation/{distillation}/prompts.parquet",
        examples=lambda wc: f"{prompt_folder(distillation_mode(wc))}/examples.jsonl",
        model=teacher_file,
    output:
        completions=ensure(
            "<results>/distillation/{distillation}/completions.parquet", non_empty=True
        ),
    log:
        "<results>/logs/distillation/ask_teacher.{distillation}.log",
    benchmark:
        "<results>/timings/distillation/ask_teacher.{distillation}.tsv"
    conda:
        "../envs/data.yaml"
    threads: 1 if config["teacher"]["base_url"] else config["compute"]["threads"]
    resources:
        **asked("ask_teacher", "{distillation}"),
    params:
        recipe=lambda wc: canonical(teacher_recipe(wc)),
        code=code_version("ask_teacher.py"),
        seed=config["seed"],
        journal=in_results("distillation/journal.sqlite"),
        model=lambda wc, input: option("--model", input.model),
    shell:
        "python scripts/ask_teacher.py --prompts {input.prompts:q} --examples {input.examples:q}"
        " {params.model} --journal {params.journal:q} --seed {params.seed}"
        " --recipe {params.recipe:q} --code {params.code:q}"
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
        "../envs/data.yaml"
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=30,
    params:
        recipe=lambda wc: canonical(
            {
                "mode": distillation_mode(wc),
                "structured": config["teacher"]["structured"],
            }
        ),
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
            distillation=config["distillation"],
        ),
