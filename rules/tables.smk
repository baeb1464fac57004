# The paper's tables with our numbers beside the paper's, figures, and one report (section 4).
#
# Reads:  tables, resources/paper/; grades, training histories, influence scores, funnels
# Writes: <results>/tables/{table}.csv|md|tex      and {table}.json: where each number is from
#         <results>/tables/cost.*, influence.*       about the run itself, without an entry
#         <results>/figures/scores.{table}.svg, losses.svg, influence.{influence}.svg, funnels.svg
#         <results>/influence/{influence}/README.md, summary.json   what the scores say
#         <results>/report.html


# Seconds of work: not worth a job of a scheduler.
localrules:
    build_table,
    build_cost_table,
    build_influence_table,
    plot_scores,
    plot_losses,
    plot_influence,
    plot_funnels,
    report,


rule build_table:
    """Build one table in three forms from one list of cells, and say where each is from."""
    input:
        grades=lambda wc: [f"{f}/grades.parquet" for f in layout.evaluations(wc.table)],
        answers=lambda wc: [
            f"{f}/answers.parquet" for f in layout.evaluations(wc.table)
        ],
        paper=lambda wc: experiment.tables[wc.table].paper or [],
    output:
        csv=ensure("<results>/tables/{table}.csv", non_empty=True),
        markdown=ensure("<results>/tables/{table}.md", non_empty=True),
        latex=ensure("<results>/tables/{table}.tex", non_empty=True),
        sidecar=ensure("<results>/tables/{table}.json", non_empty=True),
    log:
        "<results>/logs/tables/build_table.{table}.log",
    benchmark:
        "<results>/timings/tables/build_table.{table}.tsv"
    conda:
        "../envs/main.yaml"
    params:
        recipe=recipe(recipes.build_table, "table"),
        code=code_version("build_table.py"),
        seed=experiment.seed,
        paper=given("--paper", "paper"),
    shell:
        "python scripts/build_table.py --name {wildcards.table:q} --grades {input.grades:q}"
        " {params.paper} --seed {params.seed} --recipe {params.recipe:q} --code {params.code:q}"
        " --csv {output.csv:q} --markdown {output.markdown:q} --latex {output.latex:q}"
        " --sidecar {output.sidecar:q} --log {log:q}"


rule build_cost_table:
    """Add up tokens, dollars, time and GPU-hours from the run's own records."""
    input:
        completions=expand(
            "<results>/distillation/{distillation}/completions.parquet",
            distillation=experiment.distillation,
        ),
        problems=expand(
            "<results>/synthesis/{corpus}/{part}.parquet",
            corpus=experiment.written_corpora,
            part=["problems", "rejected"],
        ),
        candidates=layout.candidate_tables(),
        histories=layout.histories(),
        answers=[f"{folder}/answers.parquet" for folder in layout.evaluations()],
    output:
        csv=ensure("<results>/tables/cost.csv", non_empty=True),
        markdown=ensure("<results>/tables/cost.md", non_empty=True),
        latex=ensure("<results>/tables/cost.tex", non_empty=True),
        sidecar=ensure("<results>/tables/cost.json", non_empty=True),
    log:
        "<results>/logs/tables/build_cost_table.log",
    benchmark:
        "<results>/timings/tables/build_cost_table.tsv"
    conda:
        "../envs/main.yaml"
    params:
        recipe=canonical(
            {
                "gpus": workload.gpus_of_jobs(PLAN.values()),
                "gpu_hour_dollars": experiment.sizing.gpu_hour_dollars,
            }
        ),
        timings=in_results("timings"),
        journal=in_results("distillation/journal.sqlite"),
        code=code_version("build_cost_table.py"),
    shell:
        "python scripts/build_cost_table.py --products {input:q} --timings {params.timings:q}"
        " --journal {params.journal:q}"
        " --recipe {params.recipe:q} --code {params.code:q} --csv {output.csv:q}"
        " --markdown {output.markdown:q} --latex {output.latex:q} --sidecar {output.sidecar:q}"
        " --log {log:q}"


rule build_influence_table:
    """Summarise the influence scores by source and level."""
    input:
        scores=[paths.scores(name) for name in experiment.influence],
    output:
        csv=ensure("<results>/tables/influence.csv", non_empty=True),
        markdown=ensure("<results>/tables/influence.md", non_empty=True),
        latex=ensure("<results>/tables/influence.tex", non_empty=True),
        sidecar=ensure("<results>/tables/influence.json", non_empty=True),
    log:
        "<results>/logs/tables/build_influence_table.log",
    benchmark:
        "<results>/timings/tables/build_influence_table.tsv"
    conda:
        "../envs/main.yaml"
    params:
        recipe=recipe(recipes.build_influence_table),
        code=code_version("build_influence_table.py"),
        seed=experiment.seed,
    shell:
        "python scripts/build_influence_table.py --scores {input.scores:q} --seed {params.seed}"
        " --recipe {params.recipe:q} --code {params.code:q} --csv {output.csv:q}"
        " --markdown {output.markdown:q} --latex {output.latex:q} --sidecar {output.sidecar:q}"
        " --log {log:q}"


rule plot_scores:
    """Plot a table's scores with their intervals."""
    input:
        table="<results>/tables/{table}.csv",
    output:
        figure=report(
            ensure("<results>/figures/scores.{table}.svg", non_empty=True),
            caption="report/scores.rst",
            category="Scores",
        ),
    log:
        "<results>/logs/tables/plot_scores.{table}.log",
    benchmark:
        "<results>/timings/tables/plot_scores.{table}.tsv"
    conda:
        "../envs/main.yaml"
    params:
        code=code_version("plot_scores.py"),
    shell:
        "python scripts/plot_scores.py --table {input.table:q}"
        " --code {params.code:q} --output {output.figure:q} --log {log:q}"


rule plot_losses:
    """Plot the loss of every training against its tokens."""
    input:
        histories=layout.histories(),
    output:
        figure=report(
            ensure("<results>/figures/losses.svg", non_empty=True),
            caption="report/losses.rst",
            category="Training",
        ),
    log:
        "<results>/logs/tables/plot_losses.log",
    benchmark:
        "<results>/timings/tables/plot_losses.tsv"
    conda:
        "../envs/main.yaml"
    params:
        code=code_version("plot_losses.py"),
    shell:
        "python scripts/plot_losses.py --histories {input.histories:q} --code {params.code:q}"
        " --output {output.figure:q} --log {log:q}"


rule plot_funnels:
    """Plot what was kept of passages and problems, and why the rest was not."""
    input:
        funnels=layout.funnels(),
    output:
        figure=report(
            ensure("<results>/figures/funnels.svg", non_empty=True),
            caption="report/funnels.rst",
            category="Corpora",
        ),
    log:
        "<results>/logs/tables/plot_funnels.log",
    benchmark:
        "<results>/timings/tables/plot_funnels.tsv"
    conda:
        "../envs/main.yaml"
    params:
        code=code_version("plot_funnels.py"),
    shell:
        "python scripts/plot_funnels.py --funnels {input.funnels:q} --code {params.code:q}"
        " --output {output.figure:q} --log {log:q}"


rule plot_influence:
    """Plot how the influence scores are distributed."""
    input:
        scores="<results>/influence/{influence}/scores.parquet",
    output:
        figure=report(
            ensure("<results>/figures/influence.{influence}.svg", non_empty=True),
            caption="report/influence.rst",
            category="Influence",
        ),
    log:
        "<results>/logs/tables/plot_influence.{influence}.log",
    benchmark:
        "<results>/timings/tables/plot_influence.{influence}.tsv"
    conda:
        "../envs/main.yaml"
    params:
        code=code_version("plot_influence.py"),
    shell:
        "python scripts/plot_influence.py --scores {input.scores:q} --code {params.code:q}"
        " --output {output.figure:q} --log {log:q}"


rule influence_card:
    """Describe how the influence scores spread, what they choose, and both ends."""
    input:
        scores="<results>/influence/{influence}/scores.parquet",
        candidates=of(layout.candidates, "influence"),
        passages="<results>/corpus/passages.parquet",
        templates=expand("rules/report/{name}.j2", name=["influence_card", "markdown"]),
    output:
        card=ensure("<results>/influence/{influence}/README.md", non_empty=True),
        summary=ensure("<results>/influence/{influence}/summary.json", non_empty=True),
    log:
        "<results>/logs/tables/influence_card.{influence}.log",
    benchmark:
        "<results>/timings/tables/influence_card.{influence}.tsv"
    conda:
        "../envs/main.yaml"
    resources:
        mem_mb=megabytes(8000),
        runtime=120,
    params:
        recipe=recipe(recipes.influence_card, "influence"),
        code=code_version("influence_card.py"),
        seed=experiment.seed,
    shell:
        "python scripts/influence_card.py --scores {input.scores:q}"
        " --candidates {input.candidates:q} --passages {input.passages:q} --seed {params.seed}"
        " --recipe {params.recipe:q} --code {params.code:q} --summary {output.summary:q}"
        " --output {output.card:q} --log {log:q}"


rule report:
    """Put everything a reader wants to see on one page."""
    input:
        tables=expand("<results>/tables/{table}.csv", table=experiment.tables),
        run_tables=expand("<results>/tables/{table}.csv", table=experiment.run_tables),
        sidecars=layout.tables("json"),
        figures=layout.figures(),
        funnels=layout.funnels(),
        influences=expand(
            "<results>/influence/{influence}/summary.json",
            influence=experiment.influence,
        ),
        scores=[paths.scores(name) for name in experiment.influence],
        candidates=layout.candidate_tables(),
        cards=expand(
            "<results>/synthesis/{corpus}/card.json", corpus=experiment.written_corpora
        ),
        disagreements=[f"{folder}/disagreements.csv" for folder in layout.evaluations()],
        fetched=layout.records(),
        templates=expand(
            "rules/report/{name}.j2",
            name=["report.html", "html", "corpus_card", "influence_card"],
        ),
    output:
        page=ensure("<results>/report.html", non_empty=True),
    log:
        "<results>/logs/tables/report.log",
    benchmark:
        "<results>/timings/tables/report.tsv"
    conda:
        "../envs/main.yaml"
    params:
        recipe=lambda wc: canonical(config),
        influences=given("--influences", "influences"),
        scores=given("--scores", "scores"),
        candidates=given("--candidates", "candidates"),
        cards=given("--cards", "cards"),
        fetched=given("--fetched", "fetched"),
        code=code_version("report.py"),
    shell:
        "python scripts/report.py --tables {input.tables:q} --run-tables {input.run_tables:q}"
        " --sidecars {input.sidecars:q} --figures {input.figures:q} --funnels {input.funnels:q}"
        " {params.influences} {params.scores} {params.candidates} {params.cards}"
        " {params.fetched} --disagreements {input.disagreements:q}"
        " --recipe {params.recipe:q} --code {params.code:q} --output {output.page:q} --log {log:q}"


rule tables:
    """Target: all tables, figures and the report."""
    input:
        [layout.tables(form) for form in ("csv", "md", "tex", "json")],
        rules.report.input.figures,
        rules.list_disagreements.output,
        rules.report.output,
