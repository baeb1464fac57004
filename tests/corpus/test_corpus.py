"""The corpus stage: reading documents, cutting passages, the pool and its counts."""

import gzip
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jz3 import io, records
from jz3.corpus import passages, sampling
from jz3.corpus.docstrings import docstrings, explanation
from jz3.corpus.documents import Document, normalise, read_documents
from jz3.corpus.formulas import contains_mathematics, formula_spans
from jz3.prompts import load_examples, load_prompts

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "resources" / "corpus"
REAL = ROOT / "tests" / "real" / "corpus"  # not part of the project: tests/real_input.yaml
SETTINGS = {"characters": 400, "minimum_characters": 120, "per_document": 3}


def extract(text, kind, **changes):
    counts = Counter()
    document = Document("d", normalise(text, kind))
    found = passages.extract([document], "s", kind, SETTINGS | changes, 17, counts)
    return [row["text"] for row in found], counts


def read(name, source, *files):
    return [document.text for document in read_documents(name, source, files, 17)]


# ---------------------------------------------------------------- cutting, by hand


def test_a_passage_ends_with_the_last_whole_sentence():
    text = "Ann has 3 cats. Ben has 14 dogs. Carla has none."
    assert passages.cut(text, 40) == ["Ann has 3 cats. Ben has 14 dogs.", "Carla has none."]
    assert passages.cut(text, len(text)) == [text]


def test_a_paragraph_end_comes_before_a_later_sentence_end():
    text = "One and two are three. Yes.\n\nFour. Five is odd, six is even, seven is odd."
    assert passages.cut(text, 40)[0] == "One and two are three. Yes."


@pytest.mark.parametrize(
    "sentence",
    ["See Fig. 3 now.", "So i.e. 4 more.", "It is 3.14 here.", "J. Smith ran.", "Mr. Lee has 5."],
)
def test_abbreviations_and_decimals_end_no_sentence(sentence):
    text = f"Go on. {sentence} {'X' * 30}."
    assert passages.cut(text, len("Go on. ") + len(sentence))[0] == f"Go on. {sentence}"
    assert passages.cut(text, len("Go on. ") + len(sentence) - 1)[0] == "Go on."


def test_a_long_sentence_is_cut_after_a_word_and_its_rest_left_out():
    text = "the sum of all these many numbers is a very large one. Two is next."
    assert passages.cut(text, 30) == ["the sum of all these many", "Two is next."]


def test_lines_of_a_list_are_entries():
    text = "- 3 red pens\n- 4 blue pens\n- 5 green pens"
    assert passages.cut(text, 30) == ["- 3 red pens\n- 4 blue pens", "- 5 green pens"]


def test_no_passage_ends_with_a_heading():
    text = "Some words are here. More.\n\n### Areas\n\nA square has four equal sides."
    for limit in range(26, 50):
        assert passages.cut(text, limit)[0] == "Some words are here. More."


@pytest.mark.parametrize(
    "formula",
    [
        "$a. B = c$",
        "$$a. B\n= c$$",
        "\\[ a. B. C \\]",
        "\\( a. B \\)",
        "\\begin{align*}\na &= b. \\\\\n\nC &= d\n\\end{align*}",
        "\\begin{tabular}{c} A. B \\\\[2pt] C \\end{tabular}",
    ],
)
def test_a_formula_is_never_cut(formula):
    text = f"Go on. {formula} goes on. Go off."
    for limit in range(6, len(text) + 1):
        for passage in passages.cut(text, limit):
            assert formula in passage or not set(passage) & set("aBCD=$\\")


def test_a_formula_longer_than_a_passage_is_left_out():
    text = f"It is known. $x = {'1 + ' * 30}1$ Then all is well."
    assert passages.cut(text, 40) == ["It is known.", "Then all is well."]


def test_prices_are_no_formulas():
    assert formula_spans("He pays $5 and gets $3 back.") == []
    assert formula_spans("It costs $5-$7 a week, or $4/$5.") == []
    text = "a $10 bill, and $x+y$ more; \\$7 too"
    assert [text[a:b] for a, b in formula_spans(text)] == ["$x+y$"]
    text = "a $$20$ bill for a $$14.65$ book"
    assert [text[a:b] for a, b in formula_spans(text)] == ["$$20$", "$$14.65$"]
    assert len(formula_spans("Let $ x + 1 $ be $y$.")) == 2


def test_a_command_keeps_its_argument():
    text = "It holds\\footnote{By A. Then B. So C.} for all. And more is said here."
    assert passages.cut(text, 50)[0] == "It holds\\footnote{By A. Then B. So C.} for all."


# ---------------------------------------------------------------- sections, by hand


def test_textbook_keeps_what_stands_before_and_in_the_first_section():
    text = "Words first.\n# T\n## A\nText a.\n```\n## no heading\n```\n### Sub\nmore\n## B\nText b."
    assert passages.sections(text, "textbook") == [
        "Words first.",
        "# T\n## A\nText a.\n```\n## no heading\n```\n### Sub\nmore",
        "## B\nText b.",
    ]
    assert passages.sections("## A\na\n## B\nb", "textbook") == ["## A\na", "## B\nb"]


def test_paper_is_split_at_real_sections_only():
    text = normalise(
        r"""\documentclass{article}
\newcommand{\x}[1]{\section{#1}}
\begin{document}
\title{T}\author{A}
\begin{abstract}
In short.
\end{abstract}
\maketitle
Before all.
% \section{not me}
\section{One \emph{nested {braces}} here}\label{sec:one}
Text, 5\% of it. % a comment
\noindent
\section*{Two}
More. \sectionmark{x}
\section[Short]{Three}
End.
\section*{Acknowledgements}
Thanks.
\begin{thebibliography}{9} \bibitem{a} B. \end{thebibliography}
\end{document}
""",
        "paper",
    )
    assert passages.sections(text, "paper") == [
        "In short.",
        "Before all.",
        "\\section{One \\emph{nested {braces}} here}\nText, 5\\% of it.",
        "\\section*{Two}\nMore. \\sectionmark{x}",
        "\\section[Short]{Three}\nEnd.",
    ]


def test_a_preamble_without_a_document_is_no_passage():
    text = "\\usepackage{x}\n\\newcommand{\\a}{b}\n\\section{S}\nText."
    assert passages.sections(text, "paper") == ["\\section{S}\nText."]
    assert passages.sections("Plain words.\n\\section{S}\nText.", "paper")[0] == "Plain words."
    assert passages.sections("Plain words.", "paper") == ["Plain words."]


def test_a_question_keeps_its_answer_and_gives_one_passage():
    question = "How much are 2 and 3 apples, when nobody has eaten one of them yet?"
    answer = "They are 5 apples. " + "One may count them again and again. " * 20
    found, counts = extract(f"{question}\n\n{answer}", "qa", characters=200)
    assert len(found) == 1
    assert found[0].startswith(f"{question}\n\nThey are 5 apples.")
    assert found[0].endswith("again.")
    assert counts == {"documents": 1, "cut": 1, "kept": 1, "not_chosen": 0}


def test_first_passages_of_sections_come_first():
    sections = [[(0, "a1"), (1, "a2")], [(2, "b1")], [(3, "c1"), (4, "c2")]]
    draw = io.rng(1)
    assert passages.choose(sections, 0, draw) == [p for s in sections for p in s]
    assert passages.choose(sections, 3, draw) == [(0, "a1"), (2, "b1"), (3, "c1")]
    four = passages.choose(sections, 4, draw)
    assert four in (
        [(0, "a1"), (1, "a2"), (2, "b1"), (3, "c1")],
        [(0, "a1"), (2, "b1"), (3, "c1"), (4, "c2")],
    )
    drawn = {tuple(passages.choose(sections, 2, io.rng(seed))) for seed in range(30)}
    assert drawn == {
        ((0, "a1"), (2, "b1")),
        ((0, "a1"), (3, "c1")),
        ((2, "b1"), (3, "c1")),
    }


def test_counts_tell_what_became_of_every_passage():
    prose = "Nobody knows why the old harbour is so quiet in the morning. " * 3
    sums = "Ann has 3 apples and buys 4 more, then she eats 2 of the 7 apples. " * 3
    text = (
        f"# A\n\n{prose}\n\n# B\n\nShort: 1 + 1.\n\n# C\n\n{sums}\n\n# D\n\n{sums}\n\n# E\n\n{sums}"
    )
    found, counts = extract(text, "textbook", per_document=2)
    assert len(found) == 2
    assert counts == {
        "documents": 1, "cut": 5, "too_short": 1, "without_mathematics": 1,
        "not_chosen": 1, "kept": 2,
    }  # fmt: skip


def test_lengths_that_contradict_each_other():
    with pytest.raises(io.UserError, match="minimum_characters"):
        extract("x", "web", minimum_characters=500)


# ---------------------------------------------------------------- normalisation, mathematics


def test_normalise():
    text = "\ufeffCafe\u0301\r\nA\u00a0b \t\r\n\r\n\r\n\r\nc\u200bd\x00\n"
    assert normalise(text) == "Caf\u00e9\nA b\n\ncd"
    tex = "a \\% b % gone\n% all gone\nc\\\\% gone\n\\medskip\\noindent\nd \\label{x}e \\noindenty"
    assert normalise(tex, "paper") == "a \\% b\nc\\\\\nd e \\noindenty"
    assert "%" in normalise(tex, "web")


@pytest.mark.parametrize(
    "text",
    [
        "Let $x$ be given.",
        "The area is 3 x 4 = 12.",
        "She buys 3 rolls, 2 pies and 5 cakes.",
        "Every continuous bijection of a compact manifold.",
        "A fraction of the 24 pupils.",
        "two cats, three dogs and a dozen birds",
        "\\begin{align} a &= b \\end{align}",
        "x^2 is it",
        "∀ε ∃δ",
    ],
)
def test_mathematics_is_found(text):
    assert contains_mathematics(text)


@pytest.mark.parametrize(
    "text",
    [
        "The choir sings in the old chapel.",
        "In 1921 he left; in 1934 he came back, and in 1950 he died on 3 May.",
        "See https://x.org/a=1&b=2&c=3 and page 12, chapter 4, vol. 7.",
        "The 19th century and the 20th had two sides.",
        "It costs $5 only.",
        "\\begin{verbatim} hello \\end{verbatim}",
        "",
    ],
)
def test_prose_is_not_mathematics(text):
    assert not contains_mathematics(text)


# ---------------------------------------------------------------- properties

WORDS = st.sampled_from(["Apples", "add", "up.", "Then", "3.5", "e.g.", "(so", "on)", "costs", "$5",
                         "it?", "\n", "\n\n", "\n- ", "## Head\n", "why:", "A.", "\\item"])  # fmt: skip
FORMULA_SHAPES = ["${}. A = b$", "$${}\n= b.$$", "\\[ {}. B \\]", "\\begin{{equation}}\n{} = C. D\n\\end{{equation}}"]  # fmt: skip


@st.composite
def documents(draw):
    pieces, formulas = [], []
    for number in range(draw(st.integers(0, 40))):
        if draw(st.integers(0, 4)) == 0:
            shape = draw(st.sampled_from(FORMULA_SHAPES))
            formulas.append((f"x_{{{number}}}", shape.format(f"x_{{{number}}}")))
            pieces.append(formulas[-1][1])
        else:
            pieces.append(draw(WORDS))
    return normalise(" ".join(pieces)), [(mark, normalise(text)) for mark, text in formulas]


def clean_ends(text, passage):
    ends = "。！？"
    for start in range(len(text)):
        if text.startswith(passage, start):
            stop = start + len(passage)
            before = start == 0 or text[start - 1].isspace() or text[start - 1] in ends
            after = stop == len(text) or text[stop].isspace() or text[stop - 1] in ends
            if before and after:
                return True
    return False


@settings(max_examples=150, deadline=None)
@given(documents(), st.integers(10, 120))
def test_passages_are_short_whole_and_not_invented(document, limit):
    text, formulas = document
    found = passages.cut(text, limit)
    assert found == passages.cut(text, limit)
    place = 0
    for passage in found:
        assert 0 < len(passage) <= limit
        assert passage == passage.strip()
        assert clean_ends(text, passage)
        place = text.index(passage, place) + len(passage)  # in order, without overlap
        for mark, formula in formulas:
            assert (mark in passage) == (formula in passage)


@settings(max_examples=150, deadline=None)
@given(
    st.text(st.sampled_from("ab. $\\[]{}()%#`\n>-=1é。\u0301begin"), max_size=200),
    st.sampled_from(["web", "textbook", "paper", "qa"]),
    st.integers(1, 60),
)
def test_any_text_is_survived(raw, kind, limit):
    text = normalise(raw, kind)
    if kind != "paper":
        assert normalise(text, kind) == text
    for section in passages.sections(text, kind):
        assert section in text
        for passage in passages.cut(section, limit):
            assert 0 < len(passage) <= limit
            assert clean_ends(section, passage)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.text("ab 1", min_size=1, max_size=6), min_size=1, max_size=12), st.integers(0, 5)
)
def test_the_pool_does_not_depend_on_the_order_of_sources(texts, shift):
    def table(name, part):
        rows = [
            {"passage_id": records.passage_id(text), "source": name, "kind": "web",
             "document_id": f"{name}{k}", "position": k, "text": text}
            for k, text in enumerate(part)
        ]  # fmt: skip
        return pa.Table.from_pylist(rows, schema=records.PASSAGES)

    parts = {"a": texts[shift:], "b": texts[:shift], "c": texts}
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, part in parts.items():
            if part:
                paths.append(Path(folder) / f"{name}.parquet")
                pq.write_table(table(name, part), paths[-1])
        found, kept = Counter(), Counter()
        pooled = pa.concat_tables(passages.pool(paths, found, kept))
        again = pa.concat_tables(passages.pool(paths[::-1], Counter(), Counter()))
    report = passages.pool_report([None] * 3, found, kept)
    assert pooled.equals(again)
    keys = [" ".join(text.split()).casefold() for text in pooled["text"].to_pylist()]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {" ".join(text.split()).casefold() for text in texts}
    assert report["total"]["kept"] + report["total"]["duplicates"] == 2 * len(texts)


# ---------------------------------------------------------------- reading


def test_rows_by_columns_and_templates(tmp_path):
    rows = [
        {"t": "Title", "b": "body", "n": 3, "from": "a stackexchange site"},
        {"t": "Other", "b": None, "n": 4, "from": "elsewhere"},
    ]
    lines = "\n".join(json.dumps(row) for row in rows) + "\n\n"
    (tmp_path / "rows.jsonl").write_text(lines)
    with gzip.open(tmp_path / "zipped.jsonl.gz", "wt") as stream:
        stream.write(lines)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    for name in ("rows.jsonl", "zipped.jsonl.gz", "rows.parquet"):
        file = tmp_path / name
        assert read("s", {"kind": "web", "fields": {"text": "t"}}, file) == ["Title", "Other"]
        source = {"kind": "qa", "fields": {"question": "{t}: {n}", "answer": "b"}}
        assert read("s", source, file) == ["Title: 3\n\nbody", "Other: 4"]


def test_document_ids_depend_on_content_not_on_place(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "page.txt").write_text("Same text.")
    (tmp_path / "two" / "page.md").write_text("Other text.")
    files = [tmp_path / "one" / "page.txt", tmp_path / "two" / "page.txt", tmp_path / "two/page.md"]
    ids = [d.document_id for d in read_documents("s", {"kind": "web"}, files)]
    assert len(ids) == 3
    assert len(set(ids)) == 2
    again = read_documents("s", {"kind": "web"}, [*reversed(files), files[0]])
    assert [d.document_id for d in again] == ids


PACKAGE = '''"""{long} >>> 1 + 1"""
raise RuntimeError("imported")


def area(side):
    """The area of a square, $s^2$. {long}

    Parameters
    ----------
    side : a number that nobody wants to read about

    Notes
    -----
    Areas add up.
    """

    def inner():
        """Inner {long} >>> 1"""


def short():
    """Too short, $x$."""


def plain():
    """{long} no formula"""


def _hidden():
    """{long} >>> 1"""
'''


def test_docstrings_are_read_and_never_imported(tmp_path, monkeypatch):
    root = tmp_path / "corpus_test_package"
    (root / "tests").mkdir(parents=True)
    code = PACKAGE.format(long="A square has four equal sides and angles. " * 12)
    (root / "__init__.py").write_text(code)
    (root / "tests" / "test_it.py").write_text('"""Of no interest."""\n')
    (root / "broken.py").write_text("def (:\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert [place for place, _ in docstrings("corpus_test_package")] == [
        "corpus_test_package",
        "corpus_test_package.area",
        "corpus_test_package.area.inner",
        "corpus_test_package.short",
        "corpus_test_package.plain",
    ]
    source = {"kind": "reference", "packages": ["corpus_test_package"], "documents": 0}
    found = list(read_documents("s", source))
    assert [d.document_id.rsplit("-", 1)[0] for d in found] == [
        "corpus_test_package",
        "corpus_test_package.area",
        "corpus_test_package.area.inner",
    ]
    assert "nobody wants" not in found[1].text
    assert found[1].text.endswith("Areas add up.")
    assert "corpus_test_package" not in sys.modules
    for documents_ in (1, 2):
        some = list(read_documents("s", source | {"documents": documents_}, seed=3))
        assert len(some) == documents_
        assert some == list(read_documents("s", source | {"documents": documents_}, seed=3))
    drawn = {next(read_documents("s", source | {"documents": 1}, seed=k)) for k in range(20)}
    assert len(drawn) == 3


def test_explanation_drops_programs_and_lists_of_parameters():
    text = "Sum of all.\n\nExamples\n========\n\n>>> f(1)\n2\n\nNotes\n=====\n\nSlow.\n\n>>> f(2)\n3\n\nEnd."
    assert explanation(text).split() == ["Sum", "of", "all.", "Notes", "=====", "Slow.", "End."]


# ---------------------------------------------------------------- faults

ROWS = {"kind": "web", "fields": {"text": "body"}}


@pytest.mark.parametrize(
    ("name", "content", "source", "message"),
    [
        ("gone.txt", None, {"kind": "web"}, "gone.txt: no such file"),
        ("gone.jsonl", None, ROWS, "gone.jsonl: no such file"),
        ("gone.parquet", None, ROWS, "gone.parquet: no such file"),
        ("latin.txt", b"caf\xe9", {"kind": "web"}, "not UTF-8"),
        ("latin.jsonl", b'{"body": "caf\xe9"}', ROWS, "not UTF-8"),
        ("torn.jsonl", b'{"body": "a"}\n{"bod', ROWS, "line 2: not valid JSON"),
        ("list.jsonl", b"[1, 2]", ROWS, "record 1: not a JSON object"),
        ("col.jsonl", b'{"bodi": "a"}', ROWS, 'no column "body".*mean "bodi"'),
        ("torn.parquet", b"PAR1 and no more", ROWS, "not a readable Parquet"),
        ("torn.jsonl.gz", b"\x1f\x8b and no more", ROWS, "gzip"),
        ("page.pdf", b"%PDF", {"kind": "web"}, "ends in one of"),
        ("page.txt", b"x", {"kind": "wikki"}, 'unknown kind "wikki".*mean "wiki"'),
        ("a.jsonl", b"{}", {"kind": "web"}, 'column of "text"'),
        ("a.jsonl", b"{}", {"kind": "qa", "fields": {"questoin": "q"}}, 'mean "question"'),
    ],
)
def test_bad_input_is_told_in_one_line(tmp_path, name, content, source, message):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(io.UserError, match=message) as caught:
        read("s", source, file)
    assert "\n" not in str(caught.value)


def test_a_column_that_parquet_lacks(tmp_path):
    pq.write_table(pa.table({"bodi": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(io.UserError, match=r'no column "body".*mean "bodi"'):
        read("s", ROWS, tmp_path / "a.parquet")


@pytest.mark.parametrize("package", ["no_such_package_here", "os.path", ""])
def test_a_package_that_is_not_there(package):
    with pytest.raises(io.UserError, match="not installed"):
        read("s", {"kind": "reference", "packages": [package], "documents": 1})


def test_no_files_at_all():
    with pytest.raises(io.UserError, match=r"corpus\.sources\.s\.files"):
        read("s", {"kind": "web"})


# ---------------------------------------------------------------- the programs


def run(program, *options):
    command = [sys.executable, ROOT / "scripts" / f"{program}.py", *options]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def extract_program(output, name, kind, *files, **source):
    given = source or {"files": [str(file) for file in files]}
    recipe = {"source": {"kind": kind} | given, "passage": SETTINGS}
    return run(
        "extract_passages", "--name", name, "--files", *files, "--output", output,
        "--recipe", json.dumps(recipe), "--seed", 17, "--code", "c0de",
    )  # fmt: skip


def test_programs_end_to_end(tmp_path):
    for turn in ("one", "two"):
        web, book = tmp_path / turn / "web.parquet", tmp_path / turn / "textbook.parquet"
        files = sorted((CORPUS / "web").glob("*.txt"))
        done = extract_program(web, "web", "web", *files)
        assert done.returncode == 0, done.stderr
        done = extract_program(book, "textbook", "textbook", CORPUS / "textbook/derivatives.md")
        assert done.returncode == 0, done.stderr
        done = run(
            "pool_passages", "--passages", web, book, "--output", tmp_path / turn / "all.parquet",
            "--report", tmp_path / turn / "funnel.json",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    for name in ("web.parquet", "textbook.parquet", "all.parquet", "funnel.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    origin = io.table_origin(web)
    assert origin["code"] == "c0de"
    assert origin["counts"]["documents"] == len(files)
    assert "farm_stand.txt" in origin["inputs"]
    rows = io.read_rows(tmp_path / "one" / "all.parquet", records.PASSAGES)
    assert all(row["passage_id"] == records.passage_id(row["text"]) for row in rows)
    report = io.read_json(tmp_path / "one" / "funnel.json")
    assert report["total"]["kept"] == len(rows)
    one = report["sources"]["web"]
    assert one["duplicates"] == 1
    assert one["cut"] == (
        one["too_short"] + one["without_mathematics"] + one["not_chosen"] + one["duplicates"]
        + one["kept"]
    )  # fmt: skip


def test_a_source_without_a_passage_stops_the_program(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    files = [tmp_path / "empty.txt", CORPUS / "web/choir_news.txt"]
    done = extract_program(tmp_path / "out.parquet", "web", "web", *files)
    assert done.returncode == 1
    assert "corpus source web: no passage from 2 documents" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.parquet").exists()


def test_pool_of_a_table_that_was_not_made_here(tmp_path):
    row = {"passage_id": "p", "source": "own", "kind": "web", "document_id": "d", "position": 0,
           "text": "1 + 1"}  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row], schema=records.PASSAGES), tmp_path / "own.parquet")
    done = run(
        "pool_passages", "--passages", tmp_path / "own.parquet", "--output", tmp_path / "all.parquet",
        "--report", tmp_path / "funnel.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    own = io.read_json(tmp_path / "funnel.json")["sources"]["own"]
    assert (own["documents"], own["kept"], own["duplicates"]) == (None, 1, 0)


# ---------------------------------------------------------------- the tracked texts and prompts

KINDS = {"web": "txt", "textbook": "md", "wiki": "md", "paper": "tex", "qa": "jsonl"}


def tracked(kind):
    source = {"kind": kind}
    if kind == "qa":
        source["fields"] = {"question": "question", "answer": "answer"}
    return list(read_documents(kind, source, (CORPUS / kind).glob(f"*.{KINDS[kind]}"), 17))


def test_the_tracked_corpus_is_what_its_readme_says():
    documents_ = {kind: tracked(kind) for kind in KINDS}
    assert sum(map(len, documents_.values())) >= 44
    kept = set()
    for kind, found in documents_.items():
        rows = list(passages.extract(found, kind, kind, SETTINGS, 17, Counter()))
        assert len(rows) >= len(found) - 2
        kept |= {row["document_id"] for row in rows}
    every = {d.document_id for found in documents_.values() for d in found}
    dropped = sorted(document_id.rsplit("-", 1)[0] for document_id in every - kept)
    assert dropped == ["choir_news", "harbour_walk", "homework", "patchwork"]


def test_the_planted_problem_is_a_test_problem():
    from jz3.benchmarks.word_problems import generate

    held_out = {problem["question"] for problem in generate("test", 100, 17)}
    rows = io.read_json_lines(CORPUS / "qa" / "held_out.jsonl")
    assert [row["question"] in held_out for row in rows] == [True]
    for document in (d for kind in KINDS for d in tracked(kind)):
        if not document.document_id.startswith("held_out-"):
            assert not any(question in document.text for question in held_out)


@pytest.mark.parametrize("folder", ["miniature/cot", "miniature/tool", "paper/cot", "paper/tool"])
def test_prompts_and_examples_are_sound(folder):
    prompts = load_prompts(ROOT / "resources/prompts" / folder)
    for template in prompts.values():
        assert template.endswith("\n## New Problem\n")
        assert folder.startswith("paper") or len(template.split()) < 55
    for path in (ROOT / "resources/prompts" / folder).glob("*.jsonl"):
        load_examples(path, folder.split("/")[1], structured=True)
        for row in io.read_json_lines(path):
            if "program" in row and "sympy" not in row["program"]:
                done = subprocess.run(
                    [sys.executable, "-c", row["program"]], capture_output=True, text=True
                )
                assert done.stdout.strip() == row["answer"]
            assert row["answer"] in row.get("solution", row["answer"])


@pytest.mark.skipif(not REAL.exists(), reason="no real texts at tests/real (tests/real_input.yaml)")
@pytest.mark.parametrize(
    ("kind", "pattern"), [("textbook", "textbook/a*.md"), ("paper", "papers/*.tex")]
)
def test_real_texts(kind, pattern):
    for document in read_documents("s", {"kind": kind}, REAL.glob(pattern)):
        for section in passages.sections(document.text, kind):
            for passage in passages.cut(section, 400):
                assert passage in document.text
                assert len(passage) <= 400
                if kind == "paper":
                    assert len(re.findall(r"(?<!\\)\$", passage)) % 2 == 0


@pytest.mark.parametrize("what", ["random_picks", "draw_candidates"])
def test_a_level_more_or_less_moves_only_its_own_passages(what):
    ids = [f"p{number}" for number in range(1000)]
    levels = ["aime", "college", "grade", "middle"]

    def drawn(names):
        if what == "random_picks":
            return {
                p["passage_id"]: p["level"] for p in sampling.random_picks(ids, names, 1000, 17)
            }
        return dict(sampling.draw_candidates(ids, [], names, 1000, 17))

    before, after = drawn(levels), drawn([*levels, "amc"][::-1])
    moved = [passage for passage in ids if before[passage] != after[passage]]
    assert {after[passage] for passage in moved} == {"amc"}
    assert 150 < len(moved) < 250  # a fifth
    assert all(200 < list(before.values()).count(level) < 300 for level in levels)
