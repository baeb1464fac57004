# The paper's tables with our numbers beside the paper's, figures, and one report (section 4).
#
# Reads:  tables, resources/paper/; grades, training histories, influence scores, funnels
# Writes: <results>/tables/{table}.csv|md|tex
#         <results>/figures/scores.{table}.svg, losses.svg, influence.{influence}.svg
#         <results>/report.html


# Seconds of work: not worth a job of a scheduler.
localrules:
    build_table,
    plot_scores,
    plot_losses,
    plot_influence,
    report,


rule build_table:
    """Build one table in three forms from one list of cells."""
    input:
        grades=lambda wc: [
            f"{f}/grades.parquet" for f in evaluations(config["tables"][wc.table])
        ],
        paper=lambda wc: config["tables"][wc.table]["paper"] or [],
    output:
        csv=ensure("<results>/tables/{table}.csv", non_empty=True),
        markdown=ensure("<results>/tables/{table}.md", non_empty=True),
        latex=ensure("<results>/tables/{table}.tex", non_empty=True),
    log:
        "<results>/logs/tables/build_table.{table}.log",
    benchmark:
        "<results>/timings/tables/build_table.{table}.tsv"
    conda:
        "../envs/evaluate.yaml"
    params:
        recipe=lambda wc: canonical(
            {
                **config["tables"][wc.table],
                "confidence": config["evaluation"]["confidence"],
                "subsets": subsets(config["tables"][wc.table]),
                "rows": {
                    name: {
                        key: value
                        for key, value in config["models"][name].items()
                        if key == "paper_row"
                    }
                    for name in config["tables"][wc.table]["models"]
                },
            }
        ),
        code=code_version("build_table.py"),
        seed=config["seed"],
        paper=lambda wc, input: option("--paper", input.paper),
    shell:
        "python scripts/build_table.py --name {wildcards.table:q} --grades {input.grades:q}"
        " {params.paper} --seed {params.seed} --recipe {params.recipe:q} --code {params.code:q}"
        " --csv {output.csv:q} --markdown {output.markdown:q} --latex {output.latex:q}"
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
        "../envs/evaluate.yaml"
    params:
        recipe=lambda wc: canonical({"name": wc.table}),
        code=code_version("plot_scores.py"),
    shell:
        "python scripts/plot_scores.py --table {input.table:q} --recipe {params.recipe:q}"
        " --code {params.code:q} --output {output.figure:q} --log {log:q}"


rule plot_losses:
    """Plot the loss of every training against its tokens."""
    input:
        histories=histories(),
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
        "../envs/evaluate.yaml"
    params:
        code=code_version("plot_losses.py"),
    shell:
        "python scripts/plot_losses.py --histories {input.histories:q} --code {params.code:q}"
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
        "../envs/evaluate.yaml"
    params:
        code=code_version("plot_influence.py"),
    shell:
        "python scripts/plot_influence.py --scores {input.scores:q} --code {params.code:q}"
        " --output {output.figure:q} --log {log:q}"


rule report:
    """Put everything a reader wants to see on one page."""
    input:
        tables=expand("<results>/tables/{table}.csv", table=config["tables"]),
        figures=[
            *expand("<results>/figures/scores.{table}.svg", table=config["tables"]),
            *(["<results>/figures/losses.svg"] if histories() else []),
            *expand(
                "<results>/figures/influence.{influence}.svg",
                influence=config["influence"],
            ),
        ],
        funnels=[
            "<results>/corpus/funnel.json",
            *expand(
                "<results>/synthesis/{corpus}/funnel.json", corpus=written_corpora()
            ),
        ],
        scores=expand(
            "<results>/influence/{influence}/scores.parquet",
            influence=config["influence"],
        ),
        candidates=expand(
            "<results>/influence/{influence}/candidates.parquet",
            influence=config["influence"],
        ),
        cards=expand("<results>/synthesis/{corpus}/README.md", corpus=written_corpora()),
        disagreements=[f"{folder}/disagreements.csv" for folder in all_evaluations()],
        template="rules/report/report.html.j2",
    output:
        page=ensure("<results>/report.html", non_empty=True),
    log:
        "<results>/logs/tables/report.log",
    benchmark:
        "<results>/timings/tables/report.tsv"
    conda:
        "../envs/evaluate.yaml"
    params:
        recipe=lambda wc: canonical(config),
        scores=lambda wc, input: option("--scores", input.scores),
        candidates=lambda wc, input: option("--candidates", input.candidates),
        cards=lambda wc, input: option("--cards", input.cards),
        code=code_version("report.py"),
    shell:
        "python scripts/report.py --tables {input.tables:q} --figures {input.figures:q}"
        " --funnels {input.funnels:q} {params.scores} {params.candidates} {params.cards}"
        " --disagreements {input.disagreements:q}"
        " --recipe {params.recipe:q} --code {params.code:q} --output {output.page:q} --log {log:q}"


rule tables:
    """Target: all tables, figures and the report."""
    input:
        expand(
            "<results>/tables/{table}.{form}",
            table=config["tables"],
            form=["csv", "md", "tex"],
        ),
        rules.report.input.figures,
        rules.list_disagreements.output,
        rules.report.output,
