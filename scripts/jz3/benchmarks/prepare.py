"""Problem sets of any shape as rows of `records.BENCHMARK`, by configuration alone.

A split's entry names where its rows come from and how their columns map:
- `generator`, `problems`: our own problems (`word_problems`); or files, with
- `fields`: question, answer, solution, subject as "{column}" templates, in which a part in
  [brackets] is left out where its column is empty; choices as the name of a column that holds a
  list, or a text such as "A) 3 B) 4";
- `take`: what the gold answer is in the answer's text: whole | number (its only number) |
  after_hashes ("#### 18") | boxed (the last \\boxed{...}) | letter (A, "(A)", or a place counted
  from 0);
- `clean`: calculator (drop <<3+5=8>> from solutions), parentheses (drop "(apples)" from answers),
  full_stop (end what a column gives to the question with one, where it ends in a word or number);
- `problems`: how many, drawn by a hash of the problem (0 or absent: all).
"""

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from .. import io, records
from ..boxes import last_boxed
from ..io import UserError
from . import word_problems

GENERATORS = {"word_problems": word_problems.generate}
TAKES = ("whole", "number", "after_hashes", "boxed", "letter")
CLEANINGS = ("calculator", "parentheses", "full_stop")
FIELDS = ("question", "answer", "solution", "subject", "choices")

_SLOT = re.compile(r"\{([^{}]+)\}")
_OPTIONAL = re.compile(r"\[([^\[\]{}]*\{([^{}]+)\}[^\[\]{}]*)\]")
# Not part of a word, an ordinal or an exponent: "3rd" and "m^2" hold no quantity.
_NUMBER = re.compile(
    r"(?<![\w^.])-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:/\d+)?(?!(?:st|nd|rd|th)\b)(?![\d/])"
)
_LABEL = r"(?:^|(?<=\s))\(?{letter}{mark}\s*"
_CALCULATOR = re.compile(r"<<[^<>]*>>")
_HASHES = re.compile(r"\n?\s*####.*\s*\Z", re.DOTALL)


def prepare(
    entry: dict[str, Any], benchmark: str, split: str, files: list[Path], seed: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of `records.BENCHMARK` for one split, and lines that say what was read and dropped.

    Rows from files come in an order, and a choice of `problems`, that depend on the problems
    only: not on the order of the file, nor on the seed. Generated ones depend on the seed.

    Raises UserError on an unreadable file, another number of rows than `size`, an unknown column,
    generator or `take`, and where no or too few problems remain.
    """
    where = f"benchmark {benchmark}, split {split}"
    count = int(entry.get("problems") or 0)
    if generator := entry.get("generator"):
        if generator not in GENERATORS:
            hint = io.did_you_mean(generator, GENERATORS)
            raise UserError(f'{where}: unknown generator "{generator}".{hint}')
        if count < 1:
            raise UserError(f"{where}: a generator needs `problems`, the number to make.")
        problems = [{**row, "choices": []} for row in GENERATORS[generator](split, count, seed)]
        notes = [f"{where}: {len(problems)} problems generated"]
        return _identified(problems, benchmark, split), notes
    if not files:
        raise UserError(f"{where}: no generator, source, dataset or files to read.")
    settings = _Settings(entry, where)
    rows: list[dict[str, Any]] = []
    dropped: Counter[str] = Counter()
    first_dropped = ""
    for path in files:
        for number, raw in enumerate(read_rows(path), 1):
            row = settings.row(raw, f"{path}, row {number}")
            if isinstance(row, str):
                dropped[row] += 1
                first_dropped = first_dropped or f"{path}, row {number}: {row}"
            else:
                rows.append(row)
    read = len(rows) + dropped.total()
    if read != entry.get("size", read):
        raise UserError(
            f"{where}: {read} rows, not {entry['size']} as the configuration's `size` says. Is it"
            " another version of the file?"
        )
    if not rows:
        raise UserError(
            f'{where}: no answer in any of {read} rows with take "{settings.take}"'
            f" ({first_dropped}). Is `fields.answer` the right column?"
        )
    if count > len(rows):
        raise UserError(
            f"{where}: {count} problems asked for, {len(rows)} of {read} rows are usable."
            " Lower `problems` (0: all)."
        )
    rows = _identified(rows, benchmark, split)
    rows.sort(key=lambda row: io.digest(["order", row["problem_id"]], 64))
    rows = rows[: count or None]
    notes = [f"{where}: {read} rows read, {len(rows)} problems taken"]
    notes += [f"{where}: {count} rows dropped: {why}" for why, count in sorted(dropped.items())]
    return rows, notes


def _identified(rows: list[dict[str, Any]], benchmark: str, split: str) -> list[dict[str, Any]]:
    copies: Counter[str] = Counter()
    done = []
    for row in rows:
        what = [row["question"], row["answer"], *row["choices"]]
        identity = records.problem_id(*what)
        copies[identity] += 1
        if copies[identity] > 1:  # some published sets repeat problems; each counts as printed
            identity = records.problem_id(*what, f"copy {copies[identity]}")
        done.append({"problem_id": identity, "benchmark": benchmark, "split": split, **row})
    return done


class _Settings:
    """The checked settings of a split that is read from files."""

    def __init__(self, entry: dict[str, Any], where: str):
        self.where, self.fields = where, dict(entry.get("fields") or {})
        self.take = entry.get("take") or "whole"
        self.clean = list(entry.get("clean") or [])
        for what, names, known in (
            ("take", [self.take], TAKES),
            ("clean", self.clean, CLEANINGS),
            ("field", self.fields, FIELDS),
        ):
            for name in names:
                if name not in known:
                    hint = io.did_you_mean(name, known)
                    raise UserError(
                        f'{where}: unknown {what} "{name}".{hint} Known: {", ".join(known)}.'
                    )
        for needed in ("question", "answer"):
            if not self.fields.get(needed):
                raise UserError(f"{where}: `fields` does not say what the {needed} is.")

    def row(self, raw: dict[str, Any], origin: str) -> dict[str, Any] | str:
        """The row in our columns, or why it is dropped."""
        choices = self._choices(raw, origin)
        text = self._fill("answer", raw, origin)
        if "parentheses" in self.clean:
            text = re.sub(r"\([^()]*\)", "", text).strip()
        answer, reason = take(text, self.take, choices)
        if reason:
            return reason
        question = self._fill("question", raw, origin)
        if not question:
            return "the question is empty"
        solution = self._fill("solution", raw, origin)
        if "calculator" in self.clean:
            solution = _CALCULATOR.sub("", solution)
        return {
            "subject": self._fill("subject", raw, origin),
            "question": question,
            "answer": answer,
            "solution": _boxed_at_the_end(solution, answer),
            "program": "",
            "choices": choices,
        }

    def _column(self, name: str, raw: dict[str, Any], origin: str) -> Any:
        if name not in raw:
            raise UserError(
                f'{self.where}: {origin}: no column "{name}".{io.did_you_mean(name, raw)}'
                f" Columns found: {', '.join(raw)}."
            )
        return raw[name]

    def _fill(self, field: str, raw: dict[str, Any], origin: str) -> str:
        def value(name: str) -> str:
            text = _text(self._column(name, raw, origin))
            if field == "question" and "full_stop" in self.clean and text.rstrip()[-1:].isalnum():
                text = f"{text.rstrip()}."
            return text

        template = _OPTIONAL.sub(
            lambda part: part[1] if value(part[2]).strip() else "", self.fields.get(field, "")
        )
        return _SLOT.sub(lambda slot: value(slot[1]), template).strip()

    def _choices(self, raw: dict[str, Any], origin: str) -> list[str]:
        name = self.fields.get("choices", "").strip("{}")
        value = self._column(name, raw, origin) if name else []
        try:
            return split_choices(value)
        except ValueError as error:
            raise UserError(f'{self.where}: {origin}, column "{name}": {error}') from None


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _boxed_at_the_end(solution: str, answer: str) -> str:
    """A worked solution that states its answer the way the rest of the workflow does."""
    if not solution or "\\boxed" in solution:
        return solution
    return f"{_HASHES.sub('', solution).rstrip()}\nThe answer is \\boxed{{{answer}}}."


# ---------------------------------------------------------------- gold answers and choices


def take(text: str, how: str, choices: list[str]) -> tuple[str, str]:
    """The gold answer in `text`, or "" and the reason why there is none.

    `how` is one of `TAKES`. Numbers lose their commas and a fraction part of zeros.
    """
    answer, missing = "", "the answer is empty"
    match how:
        case "number":
            numbers = _NUMBER.findall(text)
            if len(numbers) > 1:
                return "", "several numbers in the answer"
            answer, missing = _plain("".join(numbers)), "no number in the answer"
        case "after_hashes":
            _, hashes, rest = text.rpartition("####")
            answer, missing = _plain(rest.strip()) if hashes else "", "no #### in the answer"
        case "boxed":
            answer, missing = last_boxed(text), "no \\boxed{} in the answer"
        case "letter":
            answer, missing = _letter(text, choices), "the answer names none of the choices"
        case _:
            answer = text.strip()
    return answer, "" if answer else missing


def _plain(number: str) -> str:
    if re.fullmatch(r"-?[\d,]*\.?\d+", number):
        number = re.sub(r"\.0+\Z", "", number.replace(",", ""))
    return number


def _letter(text: str, choices: list[str]) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(choices) or 26]
    named = re.fullmatch(r"\(?([A-Za-z])[).]?", text)
    if named:
        return named[1].upper() if named[1].upper() in letters else ""
    if text.isdigit():
        return letters[int(text)] if int(text) < len(letters) else ""
    return letters[choices.index(text)] if text in choices else ""


def split_choices(value: Any) -> list[str]:
    """Choices without their letters, from a list or from a text like "A) 3 B) 4" or "A. 3 B. 4".

    Raises ValueError on anything else.
    """
    if isinstance(value, list | tuple):
        choices = [_text(choice).strip() for choice in value]
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        labels = [m for choice in choices if (m := re.match(r"\(?([A-Z])[).:]\s*", choice))]
        if "".join(label[1] for label in labels) == letters[: len(choices)]:
            choices = [choice[label.end() :] for choice, label in zip(choices, labels, strict=True)]
        return choices
    if not isinstance(value, str):
        raise ValueError(f"choices must be a list or a text, not {type(value).__name__}")
    text = value.strip()
    first = re.match(r"\(?A([).:])\s*", text)
    if not first:
        raise ValueError(f'choices do not start with "A)" or "A.": {text[:40]!r}')
    choices, text = [], text[first.end() :]
    for letter in "BCDEFGHIJKLMNOPQRSTUVWXYZ":
        label = re.search(_LABEL.format(letter=letter, mark=re.escape(first[1])), text)
        if not label:
            break
        choices.append(text[: label.start()].strip())
        text = text[label.end() :]
    return [*choices, text.strip()]


# ---------------------------------------------------------------- files


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a Parquet, JSON (a list of objects), JSON-lines or CSV file, told by content.

    Raises UserError naming the file, and the line or row that is malformed.
    """
    try:
        with Path(path).open("rb") as stream:
            start = stream.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}.") from None
    if not start:
        raise UserError(f"{path}: the file is empty.")
    if start.startswith(b"PAR1"):
        rows = _read_parquet(path)
    elif start.startswith(b"["):
        rows = io.read_json(path)
    elif start.startswith(b"{") or Path(path).suffix in (".jsonl", ".json"):
        rows = io.read_json_lines(path)
    else:
        rows = _read_csv(path)
    if not rows:
        raise UserError(f"{path}: the file holds no rows.")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UserError(f"{path}, row {number}: not an object with named columns.")
    return rows


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    with io.open_parquet(path, product=False) as file:
        rows: list[dict[str, Any]] = file.read().to_pylist()
    return rows


def _read_csv(path: Path) -> list[dict[str, Any]]:
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    columns = len(reader.fieldnames or ())
                    raise UserError(
                        f"{path}, line {reader.line_num}: not {columns} values, as the first line"
                        " says."
                    )
                rows.append(row)
            return rows
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not valid CSV ({error}).") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error}).") from None
