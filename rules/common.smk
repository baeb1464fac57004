# What every stage uses: the checked configuration, names, code versions, resources.
#
# Reads:  config, rules/schemas/config.schema.yaml, the programs' source (for their version)
# Writes: nothing

import functools
import glob
import json
import shlex
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir, "scripts")))

from jz3.code_version import code_version as digest_of_program
from jz3.configuration import mistakes
from jz3.io import UserError, digest


def drop_removed(section):
    """An overlay removes an entry by setting it to null."""
    for key in [key for key, value in section.items() if value is None]:
        del section[key]
    for value in section.values():
        if isinstance(value, dict):
            drop_removed(value)


def check_configuration():
    """Stop with every mistake at once, one line each."""
    drop_removed(config)
    schema = yaml.safe_load(
        Path(workflow.basedir, "rules/schemas/config.schema.yaml").read_text()
    )
    if found := mistakes(config, schema, Path.cwd()):
        count = (
            f"{len(found)} mistake{'s' if len(found) > 1 else ''} in the configuration:"
        )
        raise WorkflowError("\n".join([count, *(f"  {line}" for line in found)]))


check_configuration()

# Programs run under the interpreter that runs Snakemake, unless conda or modules provide one;
# only the `sources` stage and a hosted teacher may use the network.
if not workflow.deployment_settings.deployment_method:
    shell.prefix(f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; ")


def names(section):
    """Wildcard constraint: exactly the names in a part of the configuration."""
    return "|".join(section) or "(?!)"


wildcard_constraints:
    source=names(config["sources"]),
    dataset=names(config["datasets"]),
    checkpoint=names(config["checkpoints"]),
    collection=names(config["corpus"]["sources"]),
    benchmark=names(config["benchmarks"]),
    split="train|test",
    distillation=names(config["distillation"]),
    synthesizer=names(config["synthesizers"]),
    influence=names(config["influence"]),
    corpus=names(config["corpora"]),
    model=names(config["models"]),
    mode="cot|tool",
    shard=r"\d{5}",
    table=names(config["tables"]),


def canonical(section):
    """A part of the configuration as text that does not depend on the order of its keys."""
    return json.dumps(section, sort_keys=True)


@functools.cache
def code_version(program):
    """Digest of a program and the local modules it imports, comments and layout left out."""
    try:
        return digest_of_program(Path(workflow.basedir, "scripts", program))
    except UserError as error:
        raise WorkflowError(str(error)) from None


def in_results(path):
    """A path in the results folder for a param (Snakemake expands `<results>` in files only)."""
    return f"{config['results']}/{path}"


def files(patterns):
    """The files that glob patterns match, in a fixed order."""
    return sorted(
        {path for pattern in patterns for path in glob.glob(pattern, recursive=True)}
    )


def option(flag, paths):
    """A command-line option with its paths, or nothing where there are none."""
    paths = [paths] if isinstance(paths, str) else list(paths)
    return f"{flag} {shlex.join(paths)}" if paths else ""


# ------------------------------------------------------------------ settings and resources


def numerics():
    """Settings of programs that compute with torch."""
    return {key: config["compute"][key] for key in ("threads", "dtype")}


def generation():
    """Settings of programs that generate text."""
    return {
        **numerics(),
        "engine": config["compute"]["generation"],
        "batch": config["compute"]["batch"],
    }


def parameters(name):
    """Billions of parameters of a checkpoint, for sizing."""
    return config["checkpoints"][name]["parameters"]


def base_of(section, name):
    """The checkpoint that a synthesizer or model starts from."""
    entry = config[section][name]
    return entry.get("released") or entry["base"]


def training_memory(billions, attempt=1):
    """Megabytes of host memory: 16 bytes per parameter in training, plus activations."""
    return int((4000 + 24_000 * billions) * attempt)


def generation_memory(billions, attempt=1):
    """Megabytes of host memory: weights twice while loading, plus the cache."""
    return int((4000 + 6_000 * billions) * attempt)
