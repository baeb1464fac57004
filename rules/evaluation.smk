# Models answer benchmarks; answers are graded twice (paper, section 4).
#
# Reads:  evaluation, execution, models, benchmarks, tables; test splits; model checkpoints
# Writes: <results>/evaluation/{model}/{mode}/state/generated.json   with vLLM: journals are full
#         <results>/evaluation/{model}/{mode}/{benchmark}/answers.parquet
#         <results>/evaluation/{model}/{mode}/{benchmark}/grades.parquet
#         <results>/evaluation/{model}/{mode}/{benchmark}/disagreements.csv   strict against released
#         <results>/tables/disagreements.csv   all of them


localrules:
    list_disagreements,


rule generate_answers:
    """Generate a model's answers to all benchmarks, where an engine takes minutes to start."""
    input:
        problems=of(layout.asked_problems, "model", "mode"),
        model=of(layout.model, "model"),
        shots=of(layout.asked_shots, "model", "mode"),
    output:
        mark=ensure(
            "<results>/evaluation/{model}/{mode}/state/generated.json", non_empty=True
        ),
    log:
        "<results>/logs/evaluation/generate_answers.{model}.{mode}.log",
    benchmark:
        "<results>/timings/evaluation/generate_answers.{model}.{mode}.tsv"
    conda:
        f"../envs/{GENERATION_STACK}.yaml"
    container:
        f"envs/{GENERATION_STACK}.sif"
    threads: experiment.compute.threads
    resources:
        **asked("generate_answers", "{model}/{mode}", experiment.compute.threads),
        environment=WITH_ENGINE,
        conduct=conduct(recipes.generate_answers, "model", "mode"),
    params:
        recipe=recipe(recipes.generate_answers, "model", "mode"),
        code=code_version("generate_answers.py"),
        reader=code_version("answer_benchmark.py"),
        seed=experiment.seed,
        shots=of(layout.shots_arguments, "model", "mode"),
        states=of(layout.states_arguments, "model", "mode"),
    shell:
        "{resources.environment}; exec python scripts/gpus.py --gpus {resources.gpu}"
        " --nodes {resources.nodes}"
        " scripts/generate_answers.py"
        " --benchmarks {input.problems:q} --model {input.model:q} --mode {wildcards.mode:q}"
        " --shots {params.shots:q} --states {params.states:q} --seed {params.seed}"
        " --reader {params.reader:q}"
        " --recipe {params.recipe:q} --conduct {resources.conduct:q} --code {params.code:q}"
        " --output {output.mark:q} --log {log:q}"


rule answer_benchmark:
    """Let a model answer a benchmark's test split."""
    input:
        generated=ancient(of(layout.generated, "model", "mode")),
        problems="<results>/benchmarks/{benchmark}/test.parquet",
        model=of(layout.model, "model"),
        shots=of(layout.shots, "model", "mode", "benchmark"),
    output:
        answers=ensure(
            "<results>/evaluation/{model}/{mode}/{benchmark}/answers.parquet",
            non_empty=True,
        ),
    log:
        "<results>/logs/evaluation/answer_benchmark.{model}.{mode}.{benchmark}.log",
    benchmark:
        "<results>/timings/evaluation/answer_benchmark.{model}.{mode}.{benchmark}.tsv"
    conda:
        f"../envs/{GENERATION_STACK}.yaml"
    container:
        f"envs/{GENERATION_STACK}.sif"
    threads: experiment.compute.threads
    resources:
        **asked(
            "answer_benchmark",
            "{model}/{mode}/{benchmark}",
            experiment.compute.threads,
        ),
        environment=WITH_ENGINE,
        conduct=conduct(recipes.answer_benchmark, "model", "mode", "benchmark"),
    params:
        recipe=recipe(recipes.answer_benchmark, "model", "mode", "benchmark"),
        code=code_version("answer_benchmark.py"),
        seed=experiment.seed,
        state=in_results("evaluation/{model}/{mode}/{benchmark}/state"),
        shots=given("--shots", "shots"),
        generated=given("--generated", "generated"),
    shell:
        "{resources.environment}; exec python scripts/gpus.py --gpus {resources.gpu}"
        " --nodes {resources.nodes}"
        " scripts/answer_benchmark.py"
        " --benchmark {input.problems:q} --model {input.model:q} --mode {wildcards.mode:q}"
        " {params.shots} {params.generated} --state {params.state:q} --seed {params.seed}"
        " --recipe {params.recipe:q} --conduct {resources.conduct:q} --code {params.code:q}"
        " --output {output.answers:q} --log {log:q}"


rule grade_answers:
    """Grade answers by both sets of rules; list where they differ."""
    input:
        answers="<results>/evaluation/{model}/{mode}/{benchmark}/answers.parquet",
    output:
        grades=ensure(
            "<results>/evaluation/{model}/{mode}/{benchmark}/grades.parquet",
            non_empty=True,
        ),
        disagreements=ensure(
            "<results>/evaluation/{model}/{mode}/{benchmark}/disagreements.csv",
            non_empty=True,
        ),
    log:
        "<results>/logs/evaluation/grade_answers.{model}.{mode}.{benchmark}.log",
    benchmark:
        "<results>/timings/evaluation/grade_answers.{model}.{mode}.{benchmark}.tsv"
    conda:
        "../envs/main.yaml"
    resources:
        mem_mb=megabytes(4000),
        runtime=60,
    params:
        code=code_version("grade_answers.py"),
    shell:
        "python scripts/grade_answers.py --answers {input.answers:q} --code {params.code:q}"
        " --output {output.grades:q} --disagreements {output.disagreements:q} --log {log:q}"


rule list_disagreements:
    """List the disagreements of the two graders in all evaluations, with their texts."""
    input:
        disagreements=[f"{folder}/disagreements.csv" for folder in layout.evaluations()],
    output:
        csv=ensure("<results>/tables/disagreements.csv", non_empty=True),
    log:
        "<results>/logs/evaluation/list_disagreements.log",
    benchmark:
        "<results>/timings/evaluation/list_disagreements.tsv"
    conda:
        "../envs/main.yaml"
    params:
        code=code_version("list_disagreements.py"),
    shell:
        "python scripts/list_disagreements.py --disagreements {input.disagreements:q}"
        " --code {params.code:q} --output {output.csv:q} --log {log:q}"


rule evaluation:
    """Target: all graded answers that the tables need."""
    input:
        [f"{folder}/grades.parquet" for folder in layout.evaluations()],
