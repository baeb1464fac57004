r"""The documents of a source, as normalised text (paper section 3.1).

A source's `kind` says what its documents are: web | textbook | wiki | paper | qa | reference.
Files are read by suffix: .txt, .md and .tex hold one document each; .jsonl, .jsonl.gz and .parquet
hold one per row, and the source's `fields` say which columns make it:

    fields: {text: text}                            # a column
    fields: {question: "{title}\n{body}", answer: answer}   # a template over columns; kind qa

A reference source has `packages` in place of files: the docstrings of installed Python packages.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Required, TypedDict

from ..io import Row, UserError, did_you_mean, digest, iterate_json_lines, open_parquet, rng
from .docstrings import docstrings, explanation

KINDS = ("web", "textbook", "wiki", "paper", "qa", "reference")
TEXT_SUFFIXES = (".txt", ".md", ".tex")
ROW_SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")

# A reference document is a docstring without the parts below, longer than this, and the docstring
# shows a formula or an example.
DOCSTRING_CHARACTERS = 400
_SHOWS = re.compile(r">>> |:math:|\.\. math::|\$[^$\n]+\$|\\\(|\\frac|\\sum|\\int")


class Source(TypedDict, total=False):
    """A source of the configuration, as far as its documents depend on it.

    documents: the most that a reference source gives (0 or none: all).
    """

    kind: Required[str]
    fields: dict[str, str] | None
    packages: list[str]
    documents: int


@dataclass(frozen=True, slots=True)
class Document:
    """Normalised text, and an identity made of its origin's name and a hash of its content."""

    document_id: str
    text: str


def read_documents(
    name: str, source: Source, files: Iterable[str | Path] = (), seed: int = 0
) -> Iterator[Document]:
    """The documents of the source `name`, in the order of file names and rows.

    Raises UserError for a missing, malformed or non-UTF-8 file, an unknown suffix, kind or column,
    a package that is not installed, and where there is no file at all.
    """
    kind = source["kind"]
    if kind not in KINDS:
        raise UserError(
            f'corpus source {name}: unknown kind "{kind}".{did_you_mean(kind, KINDS)}'
            f" Known: {', '.join(KINDS)}."
        )
    if kind == "reference":
        yield from _reference(name, source, seed)
        return
    paths = sorted({Path(path) for path in files}, key=lambda path: (path.name, path.as_posix()))
    if not paths:
        raise UserError(f"corpus source {name}: no file. Check corpus.sources.{name}.files.")
    for path in paths:
        stem = path.name.split(".")[0]
        if path.name.endswith(TEXT_SUFFIXES):
            yield _document(stem, read_text(path), kind)
        elif path.name.endswith(ROW_SUFFIXES):
            for row in _selected_rows(path, name, source):
                text = row["text"] if kind != "qa" else f"{row['question']}\n\n{row['answer']}"
                yield _document(stem, text, kind)
        else:
            raise UserError(
                f"{path}: a corpus file ends in one of {', '.join(TEXT_SUFFIXES + ROW_SUFFIXES)}."
            )


def read_text(path: str | Path) -> str:
    """Read a UTF-8 file. Raises UserError where it is missing or not UTF-8."""
    try:
        return Path(path).read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error}). Convert it first.") from None


def _document(origin: str, text: str, kind: str) -> Document:
    text = normalise(text, kind)
    return Document(f"{origin}-{digest(text)}", text)


# ---------------------------------------------------------------- normalisation

_UNSEEN = re.compile("[\u00ad\u200b\u2060\ufeff\ud800-\udfff\x00-\x08\x0e-\x1f\x7f]")
_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")

_COMMENT_LINE = re.compile(r"^[ \t]*%.*(?:\n|\Z)", re.MULTILINE)
_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*")
_LAYOUT = (
    r"(?:\\(?:(?:label|index|[vh]space\*?)\{[^{}]*\}|(?:noindent|(?:small|med|big)skip"
    r"|(?:new|clear)page|phantomsection|centering|sloppy)(?![A-Za-z])[ \t]*))+"
)
_LAYOUT_AT_START = re.compile(rf"^(?:[ \t]*{_LAYOUT})+[ \t]*\n?", re.MULTILINE)
_LAYOUT_WITHIN = re.compile(_LAYOUT)


def normalise(text: str, kind: str = "web") -> str:
    r"""Unicode NFC, "\n" line ends, plain spaces, no unseen characters, no runs of blank lines.

    Papers also lose what LaTeX does not print: comments, labels, and commands of layout.
    """
    text = unicodedata.normalize("NFC", _UNSEEN.sub("", _LINE_ENDS.sub("\n", text)))
    text = _SPACES.sub(" ", text)
    if kind == "paper":
        text = _COMMENT.sub(r"\1", _COMMENT_LINE.sub("", text))
        text = _LAYOUT_WITHIN.sub("", _LAYOUT_AT_START.sub("", text))
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


# ---------------------------------------------------------------- rows of JSON lines and Parquet


def _selected_rows(path: Path, name: str, source: Source) -> Iterator[dict[str, str]]:
    """Rows of a file as {"text"} or {"question", "answer"}, all strings."""
    wanted = ("question", "answer") if source["kind"] == "qa" else ("text",)
    fields = source.get("fields") or {}
    for key in fields:
        if key not in wanted:
            raise UserError(
                f'corpus source {name}: unknown field "{key}".{did_you_mean(key, wanted)}'
                f" A {source['kind']} source has {' and '.join(wanted)}."
            )
    for key in wanted:
        if not fields.get(key):
            raise UserError(
                f'corpus source {name}: {path.name} holds rows; name the column of "{key}" in'
                f" corpus.sources.{name}.fields."
            )
    templates = {key: value if "{" in value else "{" + value + "}" for key, value in fields.items()}
    columns = sorted({c for t in templates.values() for c in _columns(t)})
    for where, row in _rows(path, columns):
        for column in columns:
            if column not in row:
                raise UserError(
                    f'{where}: no column "{column}".{did_you_mean(column, row)}'
                    f" Columns found: {', '.join(map(str, row))}."
                )
        yield {key: _fill(template, row) for key, template in templates.items()}


def _columns(template: str) -> list[str]:
    return re.findall(r"\{([^{}]+)\}", template)


def _fill(template: str, row: Row) -> str:
    def value(found: re.Match[str]) -> str:
        cell = row[found[1]]
        return "" if cell is None else str(cell)

    return re.sub(r"\{([^{}]+)\}", value, template)


def _rows(path: Path, columns: list[str]) -> Iterator[tuple[str, Row]]:
    """Rows of a file, each with its place for messages."""
    if path.suffix == ".parquet":
        with open_parquet(path, product=False) as file:
            known = set(file.schema_arrow.names)
            for batch in file.iter_batches(4096, columns=[c for c in columns if c in known]):
                for row in batch.to_pylist():
                    yield str(path), row if known >= set(columns) else dict.fromkeys(known)
        return
    for number, row in enumerate(iterate_json_lines(path), 1):
        if not isinstance(row, dict):
            raise UserError(f"{path}, record {number}: not a JSON object.")
        yield f"{path}, record {number}", row


# ---------------------------------------------------------------- docstrings of packages


def _reference(name: str, source: Source, seed: int) -> Iterator[Document]:
    found: dict[str, Document] = {}
    for package in sorted(set(source["packages"])):
        for place, text in docstrings(package):
            if len(text) > DOCSTRING_CHARACTERS and _SHOWS.search(text):
                document = _document(place, explanation(text), "reference")
                if len(document.text) > DOCSTRING_CHARACTERS:
                    found[document.document_id] = document
    chosen = sorted(found, key=lambda key: (rng(seed, name, key).random(), key))
    limit = source.get("documents") or len(chosen)
    for document_id in sorted(chosen[:limit]):
        yield found[document_id]
