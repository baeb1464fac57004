# JiuZhang3.0 (Zhou et al., NeurIPS 2024, arXiv 2405.14365) as a workflow.
#
#   snakemake                              the miniature (config.yaml)
#   snakemake --profile slurm              the paper (config.paper.yaml) on a cluster
#   snakemake corpus | influence | ...     up to a stage
#   snakemake estimate | preflight         what a run takes, and whether it can start
#
# Stages are in the paper's order; docs/replication.md maps its sections to these rules.

from snakemake.utils import min_version

min_version("9.25")


# A configuration with a name is complete; one without is laid over the miniature.
if "name" not in config:

    configfile: "config.yaml"


pathvars:
    results=str(config.get("results", "results")),  # whether it is there: rules/common.smk


# With --sdm apptainer; generation has an image of its own (envs/*.def).
container: "envs/main.sif"


include: "rules/common.smk"
include: "rules/sources.smk"
include: "rules/corpus.smk"
include: "rules/benchmarks.smk"
include: "rules/distillation.smk"
include: "rules/synthesizers.smk"
include: "rules/influence.smk"
include: "rules/synthesis.smk"
include: "rules/training.smk"
include: "rules/evaluation.smk"
include: "rules/tables.smk"
include: "rules/planning.smk"


onstart:
    refuse_orphans()
    forget_mistakes()
    refuse_moving_revisions()


rule all:
    """The tables, the figures and the report; nodes are looked at first."""
    default_target: True
    input:
        admitted(),
        rules.tables.input,


localrules:
    all,
    corpus,
    benchmarks,
    distillation,
    synthesizers,
    influence,
    synthesis,
    training,
    evaluation,
    tables,
