"""Where the numbers of a table come from: result files, their digests, and the code behind them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..io import UserError, file_digest, provenance, read_json, table_origin
from .published import AVERAGE
from .score_table import OURS, PAPER


def of_table(
    rows: Sequence[dict[str, str]],
    caption: str,
    grades: Sequence[Path],
    paper: str | Path | None,
    code: str,
) -> dict[str, Any]:
    """The sidecar of a table: per number its files, per file its digest and what made it.

    rows: of `score_table.build`; grades: the grades files, each beside the answers.parquet that it
    grades. Raises UserError where those answers are absent.

    {"table", "caption", "made_by", "published": {"file", "sha256"} or null,
    "numbers": [{"row", "benchmark", "score", "low", "high", "n", "files": [...]}],
    "files": {grades file: {"sha256", "made_by", "answers": {"sha256", "made_by"}}}}
    `made_by` is the provenance that the file itself carries (`io.provenance`).
    """
    files = {}
    for path in sorted(grades):
        answers = path.with_name("answers.parquet")
        if not answers.exists():
            raise UserError(f"{answers}: no such file. Run the workflow again to make it.")
        files["/".join(path.parts[-5:])] = _file(path) | {"answers": _file(answers)}
    measured = {
        (row["row"], row["benchmark"]): row["source"]
        for row in rows
        if row["kind"] == OURS and row["benchmark"] != AVERAGE
    }
    numbers = []
    for row in rows:
        if not row["score"]:
            continue
        if row["kind"] == PAPER:
            sources = [str(paper)]
        elif row["benchmark"] == AVERAGE:
            sources = [file for (model, _), file in measured.items() if model == row["row"]]
        else:
            sources = [row["source"]]
        shown = {key: float(row[key]) for key in ("score", "low", "high") if row[key]}
        shown |= {"n": int(row["n"])} if row["n"] else {}
        numbers.append(
            {"row": row["row"], "kind": row["kind"], "benchmark": row["benchmark"]}
            | shown
            | {"files": sources}
        )
    return {
        "table": rows[0]["table"],
        "caption": caption,
        "made_by": provenance("build_table", code),
        "published": {"file": str(paper), "sha256": file_digest(paper)} if paper else None,
        "numbers": numbers,
        "files": files,
    }


def of_files(table: str, paths: Sequence[Path], code: str) -> dict[str, Any]:
    """The sidecar of a table that is counted from whole files: {"table", "made_by", "files"}."""
    files = {
        "/".join(path.parts[-5:] if path.name == "answers.parquet" else path.parts[-3:]): (
            _file(path) if path.suffix == ".parquet" else {"sha256": file_digest(path)}
        )
        for path in sorted(paths)
    }
    return {"table": table, "made_by": provenance(f"build_{table}_table", code), "files": files}


def _file(path: Path) -> dict[str, Any]:
    return {"sha256": file_digest(path), "made_by": table_origin(path)}


def read(path: str | Path) -> dict[str, Any]:
    """A sidecar that `build_table` wrote. Raises UserError if the file is not one."""
    made = read_json(path)
    if not isinstance(made, dict) or not {"table", "made_by", "files"} <= made.keys():
        raise UserError(f"{path}: not the sidecar of a table; build the table again.")
    return made
