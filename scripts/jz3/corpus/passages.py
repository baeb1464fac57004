r"""Passages of raw text, cut from documents without tearing a formula or word (paper section 3.1).

A document is first split into sections by its kind: textbooks at headings, papers at \section and
\section*; any other document is one section. A section is then cut into passages, one after the
other from its start. Every passage is a substring of the document's normalised text.
"""

import bisect
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TypedDict

import pyarrow as pa

from .. import records
from ..io import Row, UserError, digest, rng, scan_table
from .documents import Document
from .formulas import brace_pairs, contains_mathematics, formula_spans, grouped_spans

# Places where a passage may end, the stronger the better.
WORD, LINE, SENTENCE, PARAGRAPH = range(4)

# A paragraph's end is taken before a later sentence's end if the passage is then this full.
FULL_ENOUGH = 0.5

COUNTS = (
    "documents", "cut", "too_short", "without_mathematics", "not_chosen", "kept",
)  # fmt: skip

_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]}$*_]*(?=\s)|[。！？]")
_LIST_NUMBER = re.compile(r"(?:^|\n)[ \t]*[(\[]?(?:\d{1,3}|[A-Za-z]|[ivx]+)[.)]$")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[{~])(?:[A-Z]|e\.g|i\.e|cf|vs|resp|approx|ca|Fig|Figs|Eq|Eqs|Sec|Ch|Thm|Prop|Lem|Def"
    r"|Cor|Ex|No|Nos|Vol|pp?|al|Dr|Mr|Mrs|Ms|Prof|St|Jr|Sr|w\.r\.t|a\.k\.a|in|ft|oz|lb|yd)\.$"
)
_HEADING = re.compile(r"#{1,6}\s|\\(?:sub)*(?:section|paragraph)\b|\\chapter\b")
_STARTS_BLOCK = re.compile(
    r"[ \t]*(?:[-*+•]\s|#{1,6}\s|>>> |\|\s|(?:\d{1,3}|[a-z])[.)]\s|[ⓐ-ⓩ]"
    r"|\\item\b|\\begin\{|\\(?:sub)*(?:section|paragraph)\b)"
)
_VISIBLE = re.compile(r"\S")
_UNDERLINE = re.compile(r"[=\-~^]{3,}$", re.MULTILINE)


# ---------------------------------------------------------------- from documents to passages


class Settings(TypedDict):
    """How long passages are, in characters, and how many one document may give (0: all)."""

    characters: int
    minimum_characters: int
    per_document: int


def extract(
    documents: Iterable[Document],
    name: str,
    kind: str,
    settings: Settings,
    seed: int,
    counts: Counter[str],
) -> Iterator[records.Passage]:
    """The passages of the documents of one source; `counts` is added to.

    The first passage of every section comes before the second of any; where a document has more
    than it may give, those taken are drawn at random. A question-and-answer pair gives one
    passage: what follows it would be an answer to nothing.
    Raises UserError where the two lengths contradict each other.
    """
    longest, shortest = settings["characters"], settings["minimum_characters"]
    if not 0 < shortest <= longest:
        raise UserError(
            f"corpus.passage: minimum_characters ({shortest}) must lie between 1 and characters"
            f" ({longest})."
        )
    for document in documents:
        counts["documents"] += 1
        sound: list[list[tuple[int, str]]] = []
        position = 0
        for section in sections(document.text, kind):
            pieces = cut(section, longest)[: 1 if kind == "qa" else None]
            sound.append([])
            for text in pieces:
                counts["cut"] += 1
                if len(text) < shortest:
                    counts["too_short"] += 1
                elif not contains_mathematics(text):
                    counts["without_mathematics"] += 1
                else:
                    sound[-1].append((position, text))
                position += 1
        draw = rng(seed, name, document.document_id)
        chosen = choose(sound, settings["per_document"], draw)
        counts["not_chosen"] += sum(map(len, sound)) - len(chosen)
        counts["kept"] += len(chosen)
        for place, text in chosen:
            yield {
                "passage_id": records.passage_id(text),
                "source": name,
                "kind": kind,
                "document_id": document.document_id,
                "position": place,
                "text": text,
            }


def choose(
    passages: list[list[tuple[int, str]]], limit: int, draw: random.Random
) -> list[tuple[int, str]]:
    """At most `limit` (0: all) of the sections' passages, first ones first, back in text order."""
    chosen: list[tuple[int, str]] = []
    for depth in range(max(map(len, passages), default=0)):
        layer = [section[depth] for section in passages if len(section) > depth]
        room = limit - len(chosen) if limit else len(layer)
        chosen += layer if len(layer) <= room else draw.sample(layer, room)
    return sorted(chosen)


# ---------------------------------------------------------------- sections


def sections(text: str, kind: str) -> list[str]:
    """The parts of a document, by its kind, that are cut each from its own start."""
    split = {"textbook": _markdown, "paper": _latex}.get(kind)
    found = split(text) if split else [text]
    return [part for part in (part.strip() for part in found) if part]


def _markdown(text: str) -> list[str]:
    """Split before headings of levels 1 and 2; a heading with no text of its own joins the next."""
    starts, fenced, bare, place = [0], False, True, 0
    for line in text.splitlines(keepends=True):
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        heading = not fenced and re.match(r"#{1,2}\s", line)
        if heading and not bare:
            starts.append(place)
            bare = True
        bare = bare and (bool(heading) or not line.strip())
        place += len(line)
    return [text[a:b] for a, b in pairwise([*starts, len(text)])]


_SECTION = re.compile(r"\\(?:section|chapter)\*?\s*(?:\[[^\]]*\]\s*)?(?=\{)")
_BACK_MATTER = re.compile(
    r"\\(?:end\{document\}|bibliography\{|begin\{thebibliography\}|printbibliography)"
)
_FRONT_MATTER = re.compile(r"\\(?:maketitle|end\{abstract\}|tableofcontents|end\{frontmatter\})")
_ABSTRACT = re.compile(r"\\begin\{abstract\}(.*?)\\end\{abstract\}", re.DOTALL)
_PREAMBLE = re.compile(r"\\(?:documentclass|usepackage|newcommand|def\\|title\{|author\{)")
_NO_TEXT = re.compile(r"\s*(?:references|bibliography|acknowledge?ments?|funding)\W*$", re.I)


def _latex(text: str) -> list[str]:
    r"""Split at \section{...} (nested braces, starred or not); drop preamble and bibliography."""
    _, begun, body = text.rpartition("\\begin{document}")
    end = _BACK_MATTER.search(body)
    body = body[: end.start()] if end else body
    starts = []  # (start of the command, title)
    closing = brace_pairs(body)
    for found in _SECTION.finditer(body):
        if found.end() in closing:
            title = body[found.end() + 1 : closing[found.end()] - 1]
            starts.append((found.start(), title))
    front = body[: starts[0][0]] if starts else body
    parts = _ABSTRACT.findall(front)
    marks = list(_FRONT_MATTER.finditer(front))
    if marks:
        parts.append(front[marks[-1].end() :])
    elif begun or not _PREAMBLE.search(front):
        parts.append(front)
    stop = len(body)
    named = []
    for start, title in reversed(starts):
        if not _NO_TEXT.match(title):
            named.append(body[start:stop])
        stop = start
    return parts + named[::-1]


# ---------------------------------------------------------------- cutting


def cut(text: str, limit: int) -> list[str]:
    """Cut `text` into passages of at most `limit` characters, in order.

    A passage ends where a paragraph, list entry or sentence does; in a sentence longer than
    `limit`, at a line's end, else after a word, and the rest of that sentence is left out. So is
    what can not be cut: a formula or a run of letters longer than `limit`.
    """
    places, strengths = _places(text, limit)
    passages, start = [], 0
    while start < len(text):
        start = _next_character(text, start)
        if len(text) - start <= limit:
            passages.append(text[start:])
            break
        low = bisect.bisect_right(places, start)
        high = bisect.bisect_right(places, start + limit)
        chosen = _best(places, strengths, low, high, start + FULL_ENOUGH * limit)
        if chosen is None:
            start = places[high] if high < len(places) else len(text)
            continue
        end = places[chosen]
        passages.append(text[start:end])
        start = end
        following = _next_character(text, start)
        if strengths[chosen] < SENTENCE and text[following : following + 1].islower():
            stop = bisect.bisect_right(places, start + limit)
            whole = [k for k in range(chosen, stop) if strengths[k] >= SENTENCE]
            start = places[whole[0]] if whole else start
    return [passage.strip() for passage in passages if passage.strip()]


def _next_character(text: str, place: int) -> int:
    """The first place from `place` on that holds no white space (the text's end if none does)."""
    found = _VISIBLE.search(text, place)
    return found.start() if found else len(text)


def _best(
    places: list[int], strengths: list[int], low: int, high: int, full_enough: float
) -> int | None:
    """The last paragraph's end if that fills the passage, else the last of the strongest kind.

    An index into `places`, within [low, high); None where that is empty.
    """
    for least, wanted in ((full_enough, PARAGRAPH), (0, SENTENCE), (0, LINE), (0, WORD)):
        for k in range(high - 1, low - 1, -1):
            if places[k] >= least and strengths[k] >= wanted:
                return k
    return None


def _places(text: str, limit: int) -> tuple[list[int], list[int]]:
    """Where `text` may be cut, ascending, and how strong each place is."""
    formulas = formula_spans(text)
    # A brace group, a code fence and the like stay whole unless they alone exceed a passage.
    groups = [(a, b) for a, b in grouped_spans(text) if b - a <= limit]
    guarded = bytearray(len(text) + 1)
    for begin, end in [*formulas, *groups]:
        guarded[begin + 1 : end] = b"\1" * (end - begin - 1)
    strength: dict[int, int] = {}
    for found in re.finditer(r"\s+", text):
        if not guarded[found.start()] and not guarded[found.end()]:
            strength[found.start()] = _blank(text, found.start(), found.end(), found[0])
    for found in _SENTENCE_END.finditer(text):
        place = found.end()
        if not guarded[place] and _ends_sentence(text, found):
            strength[place] = max(strength.get(place, 0), SENTENCE)
    places = sorted(strength)
    return places, [strength[place] for place in places]


def _blank(text: str, start: int, end: int, blank: str) -> int:
    """The strength of a cut at white space: between paragraphs, list entries, lines or words."""
    if "\n" not in blank:
        return WORD
    line = text[text.rfind("\n", 0, start) + 1 : start].strip()
    if (
        _HEADING.match(line)
        or _UNDERLINE.match(line)
        or _UNDERLINE.match(text, end)
        or text.startswith("\\end{", end)
        or line.startswith("\\begin{")
    ):
        return WORD  # what a heading announces, or an environment holds, goes with it
    if line.endswith((":", ",")):
        return LINE
    if blank.count("\n") > 1:
        return PARAGRAPH
    if line.startswith("\\end{") or _STARTS_BLOCK.match(text, text.rfind("\n", start, end) + 1):
        return SENTENCE
    return LINE


def _ends_sentence(text: str, found: re.Match[str]) -> bool:
    place = _next_character(text, found.end())
    following = text[place : place + 1]
    if following.islower() or text.startswith("\\end{", place):
        return False
    if not found[0].startswith("."):
        return True
    before = text[max(0, found.start() - 12) : found.start() + 1]
    return not (_ABBREVIATION.search(before) or _LIST_NUMBER.search(before))


def check_found(name: str, counts: Counter[str]) -> None:
    """Raise UserError where a source gave no passage, with what became of its text."""
    if counts["kept"]:
        return
    raise UserError(
        f"corpus source {name}: no passage from {counts['documents']} documents ("
        f"{counts['cut']} cut, {counts['too_short']} too short,"
        f" {counts['without_mathematics']} without mathematics)."
        " Check its files, its kind, and corpus.passage.minimum_characters."
    )


# ---------------------------------------------------------------- the pool of all sources


def duplicate_key(text: str) -> bytes:
    """Equal for texts that differ in white space and letter case only."""
    return bytes.fromhex(digest(" ".join(text.split()).casefold(), 32))


def pool(paths: Iterable[Path], found: Counter[str], kept: Counter[str]) -> Iterator[pa.Table]:
    """The passages of all tables without exact duplicates, piece by piece, in the tables' order.

    Of duplicates the first is kept; the tables are read by name, in whatever order they are given.
    `found` and `kept` count passages by source. Memory: some 100 bytes per passage. Raises
    UserError where a table is empty.
    """
    seen: set[bytes] = set()
    for path in sorted(paths):
        for piece in scan_table(path, records.PASSAGES):
            fresh = []
            for text in piece["text"].to_pylist():
                key = duplicate_key(text)
                fresh.append(key not in seen)
                seen.add(key)
            left = piece.filter(pa.array(fresh, pa.bool_()))
            found.update(piece["source"].to_pylist())
            kept.update(left["source"].to_pylist())
            yield left


def pool_report(
    counts: Iterable[Row | None], found: Counter[str], kept: Counter[str]
) -> dict[str, Row]:
    """What became of documents and passages: {"sources": {name: counts}, "total": counts}.

    `counts`: per table, what `extract` counted, with "source" and "kind" (None: not known; then
    only what `pool` counted is reported). `duplicates` and `kept` are those of the pool.
    """
    known = {entry["source"]: entry for entry in counts if entry}
    report: dict[str, Row] = {}
    for name in sorted(found):
        entry: Row = dict.fromkeys(COUNTS)
        entry |= {k: v for k, v in known.get(name, {}).items() if k != "source"}
        report[name] = entry | {"duplicates": found[name] - kept[name], "kept": kept[name]}
    total = {
        key: sum(entry[key] or 0 for entry in report.values()) for key in (*COUNTS, "duplicates")
    }
    return {"sources": report, "total": total}
