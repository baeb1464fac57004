"""Pack the training data of a model: all of pre-training, then all of fine-tuning (section 3.5).

Reads any number of files per stage: PROBLEMS tables (their kept rows), BENCHMARK tables (train
splits with worked solutions), or Parquet and JSON-lines files with columns input and output.
Writes a PACKS table, shuffled within each stage, and a report: documents, tokens, packs, fill.
"""

import argparse
from pathlib import Path

from jz3 import io, models, program, records
from jz3.workflow import recipes
from jz3.workflow.messages import accepts


def main(options: argparse.Namespace) -> None:
    """Encode, pack and write both stages."""
    from jz3.training import examples, packing

    length, modes = options.recipe["length"], options.recipe["modes"]
    tokenizer = models.open_tokenizer(options.base)
    report, stages = {}, []
    for stage, paths in (("pretrain", options.pretrain), ("finetune", options.finetune)):
        if not paths:
            continue
        pairs = (pair for path in paths for pair in examples.read_examples(path, modes))
        documents = packing.DocumentStore()
        with program.Progress(0, f"encoding for {stage}", "example") as bar:
            for document in packing.encode_all(tokenizer, pairs, length):
                documents.append(document)
                bar.total += 1
                bar.update()
        packs = packing.best_fit(documents.lengths, length)
        io.rng(options.seed, "packs", stage).shuffle(packs)
        stages.append((stage, documents, packs))
        report[stage] = {
            "documents": len(documents),
            "tokens": documents.tokens,
            "supervised_tokens": documents.supervised_tokens,
            "packs": len(packs),
            "fill": documents.tokens / (length * len(packs)) if packs else 0.0,
            "truncated": documents.truncated,
            "dropped_prompt_fills_length": documents.unsupervised,
        }
    if not any(packs for _, _, packs in stages):
        raise io.UserError(
            "pack_corpus: nothing to train on. Name files after --pretrain or --finetune, or"
            f" raise the recipe's length ({length} tokens) if every prompt fills it."
        )
    tables = (table for stage in stages for table in packing.pack_tables(*stage))
    inputs = [*options.pretrain, *options.finetune]
    origin = program.origin(__file__, options, inputs)
    io.write_table(options.output, tables, records.PACKS, origin)
    io.write_json(options.report, report)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    arguments.add_argument("--pretrain", nargs="*", type=Path, default=[], help="files of stage 1")
    arguments.add_argument("--finetune", nargs="*", type=Path, default=[], help="files of stage 2")
    arguments.add_argument("--base", type=Path, required=True, help="checkpoint with the tokenizer")
    arguments.add_argument("--output", type=Path, required=True, help="PACKS table to write")
    arguments.add_argument("--report", type=Path, required=True, help="report to write, JSON")
    return arguments


if __name__ == "__main__":
    program.run(main, parser(), accepts(recipes.PackCorpus))
