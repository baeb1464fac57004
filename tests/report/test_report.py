"""The data card and the page: complete, escaped, and silent towards the outside."""

import json
import re
import subprocess
import sys
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import yaml
from jz3.io import UserError, provenance, rng, write_json, write_table
from jz3.records import ANSWERS, GRADES, PASSAGES, PROBLEMS, SCORES
from jz3.report import cards, corpus_card, facts, figures, funnel_figure, influence_card
from jz3.report.page import LARGEST, PAGE_COLOURS, funnel, inline_svg, render
from jz3.tables import costs, influence_table, score_table, sidecar, text_table
from jz3.tables.layout import layout

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = 'What is <script>alert("1")</script> & $\\frac{a_1}{b}$ | ``` if x < 3?'
STATUSES = ("truncated", "unparsed", "duplicate", "contaminated")


def problem(number: int, status: str = "kept", mode: str = "cot") -> dict:
    """One made-up problem."""
    parsed = status != "unparsed"
    question = (
        HOSTILE if number % 3 == 0 else f"A box holds {number} rows of 4 eggs. How many eggs?"
    )
    return {
        "problem_id": f"{status}{number:03d}", "passage_id": f"passage{number // 2}",
        "source": ("web", "textbook", "qa")[number % 3], "level": ("grade", "middle")[number % 2],
        "mode": mode, "question": question if parsed else "",
        "solution": f"There are {number} rows, so {number} x 4 eggs. The answer is"
        f" \\boxed{{{4 * number}}}." if parsed else "",
        "answer": str(4 * number) if parsed else "", "completion": "words " * 40, "prompt": "p",
        "finish_reason": "stop", "completion_tokens": 60 + number, "parsed": parsed,
        "executed": None, "answer_agrees": None,
        "duplicate_of": "kept001" if status == "duplicate" else None,
        "contaminated_by": "asdiv" if status == "contaminated" else None, "status": status,
    }  # fmt: skip


def make_run(results: Path, problems: int = 60) -> dict:
    """Invented products of a whole run, for tests only; returns the arguments of the report."""
    random = rng(1, "run")
    models = ["base", "finetuned", "jiuzhang"]
    chances = {"base": 0.05, "finetuned": 0.16, "jiuzhang": 0.24}
    origin = provenance("a_program", "code0123", [], 17, "float32")
    paths, table_files, figure_files, disagreements, sidecars = [], [], [], [], []
    for mode in ("cot", "tool"):
        for model in models:
            for benchmark, n in (("asdiv", 200), ("word_problems", 100)):
                rows = []
                for k in range(n):
                    right = random.random() < chances[model]
                    rows.append({
                        "problem_id": f"{benchmark}{k:03d}", "benchmark": benchmark, "sample": 0,
                        "gold": "12", "predicted": "12" if right else "1<2", "strict": right,
                        "released": right or k == 7,
                    })  # fmt: skip
                path = results / "evaluation" / model / mode / benchmark / "grades.parquet"
                write_table(path, rows, GRADES, origin)
                answers = origin | {"code": "answering", "inputs": {"model": f"of {model}"}}
                answer = dict.fromkeys(ANSWERS.names) | {"completion_tokens": 9}
                write_table(path.with_name("answers.parquet"), [answer], ANSWERS, answers)
                paths.append(path)
                path = path.with_name("disagreements.csv")
                path.write_text(
                    "problem_id,gold,predicted,strict,released\n"
                    f'{benchmark}007,12,"1<2, or <b>12</b>\n\u2028so",False,True\n'
                )
                disagreements.append(path)
        beside = {"jiuzhang": {"paper_row": "JiuZhang3.0-7B"}} if mode == "cot" else {}
        recipe = {
            "mode": mode, "models": models, "benchmarks": ["asdiv", "word_problems"],
            "verdict": "strict", "confidence": 0.95, "subsets": ["asdiv"], "rows": beside,
        }  # fmt: skip
        paper = ROOT / "resources" / "paper" / "main.csv" if mode == "cot" else None
        name = "main" if mode == "cot" else "tool"
        rows = score_table.build(name, paths, paper, recipe, 17)
        table_files.append(results / "tables" / f"{name}.csv")
        table_files[-1].parent.mkdir(parents=True, exist_ok=True)
        table_files[-1].write_text(score_table.to_csv(rows))
        sidecars.append(table_files[-1].with_suffix(".json"))
        write_json(sidecars[-1], sidecar.of_table(rows, "", paths, paper, "building"))
        figure_files.append(results / "figures" / f"scores.{name}.svg")
        figures.scores(figure_files[-1], rows)
    histories = []
    for kind, name, steps in (
        ("synthesizers", "initial", 20), ("synthesizers", "boosted", 44),
        ("models", "finetuned", 60), ("models", "jiuzhang", 150),
    ):  # fmt: skip
        path = results / kind / name / "history.jsonl"
        path.parent.mkdir(parents=True)
        lines = []
        for k in range(steps):
            loss = 0.6 + 1.2 / (1 + k / 15) + random.uniform(-0.12, 0.12)
            stage = "pretrain" if k < 90 and name == "jiuzhang" else "finetune"
            lines.append({"step": k, "tokens": 900 * (k + 1), "loss": loss, "stage": stage})
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        histories.append(path)
    figure_files.append(results / "figures" / "losses.svg")
    figures.losses(figure_files[-1], histories)

    candidates = results / "influence" / "main" / "candidates.parquet"
    kept = [problem(k) for k in range(problems)]
    write_table(candidates, kept, PROBLEMS, origin)
    schema = SCORES.append(pa.field("score_word_problems", pa.float64()))
    scores = candidates.with_name("scores.parquet")
    rows = [
        {key: row[key] for key in ("problem_id", "passage_id", "source", "level", "mode")}
        | {"tokens": 90, "total": (value := random.gauss(0.01, 0.02)), "score_word_problems": value}
        for row in kept
    ]
    write_table(scores, rows, schema, origin)
    passages = results / "corpus" / "passages.parquet"
    write_table(
        passages,
        [
            {"passage_id": f"passage{k}", "source": "web", "kind": "web", "document_id": "d",
             "position": k, "text": f"Text {k} <b>says</b> $x_{k}$ | more"}
            for k in range(problems)
        ],
        PASSAGES,
        origin,
    )  # fmt: skip
    said = scores.with_name("summary.json")
    texts = partial(influence_card.texts_of, candidates, passages)
    write_json(said, influence_card.summary("main", rows, 6, 17, texts))
    figure_files.append(results / "figures" / "influence.main.svg")
    figures.influence(figure_files[-1], rows)

    summary = influence_table.summarise("main", pd.DataFrame(rows), 0.95, 1)
    run_tables = [results / "tables" / "cost.csv", results / "tables" / "influence.csv"]
    run_tables[1].write_text(influence_table.to_csv(summary))
    for rule in ("train_model.jiuzhang", "train_model.finetuned"):
        path = results / "timings" / "training" / f"{rule}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("s\tcpu_time\n7200\t50\n")
    counted = [path.with_name("answers.parquet") for path in paths] + histories[2:]
    gpus = {"train_model": {"finetuned": 8, "jiuzhang": 8}}
    found, _ = costs.collect(counted, results / "timings", gpus)
    run_tables[0].write_text(costs.to_csv(costs.with_total(found, 2.0)))
    funnels = [results / "corpus" / "funnel.json", results / "synthesis" / "cot" / "funnel.json"]
    one = {"documents": 12, "cut": 30, "too_short": None, "duplicates": 2, "kept": 28}
    write_json(funnels[0], {"sources": {"web": one, "qa": one}, "total": one})
    left, filters = problems + 8, {}
    for number, status in enumerate(STATUSES[1:], 1):
        filters[f"{number} {status}"] = {"in": left, "rejected": 2, "out": left - 2}
        left -= 2
    counts = {"written": problems + 8, "kept": problems, "filters": filters}
    counts |= {"rejected": dict.fromkeys(STATUSES, 2), "contamination": {"asdiv": 2}}
    write_json(funnels[1], counts)
    figure_files.append(results / "figures" / "funnels.svg")
    funnel_figure.funnels(figure_files[-1], funnels)
    rejected = [problem(k, STATUSES[k % 4]) for k in range(8)]
    settings = {"corpus": "cot", "mode": "cot", "prompts": 68, "filters": ["parsed", "contaminated"],
                "sampling": {"temperature": 0.7, "top_p": 0.95}}  # fmt: skip
    card = results / "synthesis" / "cot" / "card.json"
    write_json(card, corpus_card.summary(settings, kept, rejected, counts["rejected"]))
    return {
        "name": "made up", "table_files": table_files, "run_table_files": run_tables,
        "sidecar_files": sidecars, "figure_files": figure_files,
        "funnel_files": funnels, "influence_files": [said], "score_files": [scores],
        "candidate_files": [candidates],
        "card_files": [card], "disagreement_files": disagreements,
        "configuration": {**yaml.safe_load((ROOT / "config.yaml").read_text()), "name": "made up"},
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> dict:
    return make_run(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def page(run) -> str:
    return render(**run)


class Reader(HTMLParser):
    """Collects what a browser would fetch or run, and checks that elements nest."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.links, self.kinds, self.ids, self.open, self.events = [], [], [], [], []
        self.text = []

    def handle_starttag(self, tag, attrs):
        self.kinds.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self._look(attrs)

    def handle_startendtag(self, tag, attrs):
        self.kinds.append(tag)
        self._look(attrs)

    def _look(self, attrs):
        for key, value in attrs:
            if key in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.links.append(value)
            if key == "id":
                self.ids.append(value)
            if key.startswith("on"):
                self.events.append(key)

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def test_what_came_from_the_hub_is_shown_with_its_commit(run, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    texts = {"repository": "me/<i>texts", "revision": "main", "commit": commit, "files": {"a": "1"}}
    for place, record in (("datasets/texts", texts), ("models/local", {})):
        write_json(tmp_path / f"{place}.json", record)
    paths = [tmp_path / "datasets/texts.json", tmp_path / "models/local.json"]
    page = render(**run, fetched_files=paths)
    for text in ("From the hub", "datasets.texts", "me/&lt;i&gt;texts", commit, ">main<"):
        assert text in page
    assert "models.local" not in page
    assert "From the hub" not in render(**run)


def test_page_asks_nobody_and_runs_nothing(page):
    reader = read(page)
    assert reader.links
    assert all(link.startswith("#") for link in reader.links)
    assert not set(reader.kinds) & {"script", "link", "iframe", "img", "object", "embed", "base"}
    assert reader.events == []
    assert not re.search(r"url\((?!#)|@import", page)
    assert len(reader.ids) == len(set(reader.ids))
    assert {link[1:] for link in reader.links} <= set(reader.ids)
    assert len(page.encode()) < LARGEST


def test_page_shows_what_it_was_given(run, page):
    text = "".join(read(page).text)
    for path in run["table_files"]:
        for line in layout(score_table.read_csv(path)).lines:
            assert line.label in text
            for cell in line.cells:
                assert cell.score in text
                assert cell.interval in text
    for shown in (
        "made up", "smollm2_135m (0.135 billion", "qwen2.5-coder-1.5b-instruct", "DeepSeekMath-7B-RL",
        "below", "evaluation/base/cot/asdiv/grades.parquet", "pyarrow", "a_program",
        "Highest scores", "Lowest scores", "$x_7$ | more", "Rank correlation", "1<2, or <b>12</b>", "pick: influence",
        "\u2028so", "documents", "near-copy of another problem", "12 in all",
        "GPU-hours", "in the best tenth, %", "answering", "of jiuzhang", "building", "Python",
        "60", "synthetic problems kept, of 68 written", "right by the released rules only",
    ):  # fmt: skip
        assert shown in text, shown
    assert page.count("<svg") == len(run["figure_files"])
    assert page == render(**run)


def test_glance_counts_what_the_tables_say():
    def row(**values):
        return (
            dict.fromkeys(score_table.COLUMNS, "")
            | {"kind": score_table.OURS, "table": "main"}
            | values
        )

    rows = [
        row(row="a", benchmark="x", score="60.0", low="50", high="70", paper="61.0",
            verdict="within noise"),
        row(row="b", benchmark="x", score="80.0", low="75", high="85", paper="70.0",
            verdict="above"),
        row(row="b", benchmark="y", kind=score_table.NOT_RUN, paper="9.0", verdict="not run"),
        row(row="c", benchmark="x", score="10.0", low="5", high="15", verdict="unknown"),
    ]  # fmt: skip
    funnels = [{"sources": {}}, {"written": 10, "kept": 7}, {"written": 5, "kept": 5}]
    cost = dict.fromkeys(costs.FORMATS, 0) | {
        "tokens_trained": 1500, "gpu_seconds": 7200.0, "dollars": 3.5,
    }  # fmt: skip
    assert facts.glance([rows], funnels, pd.DataFrame([cost])) == [
        ("80.0 %", "b on x, best of table main [75.0, 85.0]"),
        ("1 of 2", "published scores within noise; 1 above, 1 not run"),
        ("12", "synthetic problems kept, of 15 written"),
        ("1.5k", "tokens trained on, all models together"),
        ("2.0", "GPU-hours"),
        ("$3.50", "paid to the teacher"),
    ]
    assert facts.glance([rows[3:]], [], None) == [
        ("10.0 %", "c on x, best of table main [5.0, 15.0]")
    ]


def test_scores_link_to_the_files_behind_them(run, page):
    """Each score of ours is a link to the line with the digests of its grades."""
    for path in run["sidecar_files"]:
        for name, file in sidecar.read(path)["files"].items():
            line = re.search(rf'<tr id="([^"]+)"><td>{name}</td>(.*?)</tr>', page)
            assert file["sha256"][:16] in line[2]
            score = next(
                row["score"]
                for table in run["table_files"]
                for row in score_table.read_csv(table)
                if row["source"] == name
            )
            assert f'<a href="#{line[1]}">{text_table.number(score)}</a>' in page


def test_everything_is_escaped(page):
    assert "<script" not in page
    assert "<b>12" not in page
    assert HOSTILE in "".join(read(page).text)  # LaTeX and all, as it is


def test_page_without_optional_parts(run, tmp_path):
    page = render(name="n", table_files=run["table_files"][1:], configuration=run["configuration"])
    text = "".join(read(page).text)
    assert "Kept and left out" not in text
    assert "Influence" not in text
    assert "disagree" not in text.replace("disagreement: replace", "")
    assert "JiuZhang3.0-7B" not in text


@pytest.mark.parametrize(
    "bad",
    [
        '<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>',
        '<svg xmlns="http://www.w3.org/2000/svg" onload="x()"/>',
        '<svg xmlns="http://www.w3.org/2000/svg"><image href="https://example.org/a.png"/></svg>',
        '<svg xmlns="http://www.w3.org/2000/svg"><a href="https://example.org"/></svg>',
        '<svg xmlns="http://www.w3.org/2000/svg"><g style="fill: url(https://example.org)"/></svg>',
        '<svg xmlns="http://www.w3.org/2000/svg"><use href="#a"/>',
    ],
)
def test_a_figure_that_could_run_or_fetch_is_refused(tmp_path, bad):
    path = tmp_path / "bad.svg"
    path.write_text(bad)
    with pytest.raises(UserError) as caught:
        inline_svg(path, "f1-", "bad")
    assert "bad.svg" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_inlined_figure_takes_the_pages_colours(run):
    svg = str(inline_svg(run["figure_files"][0], "f9-", "scores"))
    assert "var(--ink)" in svg
    assert not any(ink in svg for ink in PAGE_COLOURS)
    assert 'aria-label="scores"' in svg
    assert all(value.startswith("f9-") for value in re.findall(r'\bid="([^"]+)"', svg))
    assert set(re.findall(r"#(f9-[\w-]+)", svg)) <= set(re.findall(r'\bid="([^"]+)"', svg))


def test_funnels_of_any_shape():
    parts = funnel({"n": 3, "by": {"a": {"in": 5, "out": 4}, "b": {"in": 1}}, "list": [{}] * 9})
    assert parts[0]["rows"] == [["n", "3"], ["list", "9 listed"]]
    assert parts[1]["header"] == ["", "in", "out"]
    assert parts[1]["rows"] == [["a", "5", "4"], ["b", "1", "-"]]
    assert parts[1]["title"] == "by"
    assert funnel({}) == []


# ---------------------------------------------------------------- data card


def card_of(*arguments) -> str:
    return cards.markdown("corpus_card", corpus_card.summary(*arguments))


def test_card_counts_add_up_and_examples_differ():
    kept = [problem(k) for k in range(20)]
    rejected = [problem(k, STATUSES[k % 2]) for k in range(10)]
    settings = {"corpus": "cot", "mode": "cot", "filters": ["contaminated"]}
    text = card_of(settings, kept, rejected, {"kept": 20})
    assert "20 of 30 written problems (66.7 %) were kept" in text
    assert "| kept | 20 | 66.7 % |" in text
    assert "| truncated: cut off at the token limit | 5 | 16.7 % |" in text
    assert text == card_of(settings, kept[::-1], rejected[::-1], {"kept": 20})
    shown = re.findall(r"^### (\w+) \(", text.replace("\\", ""), flags=re.M)
    assert len(shown) == 6
    assert sum(name.startswith("kept") for name in shown) == 3
    reasons = [re.sub(r"\d", "", name) for name in shown[3:]]
    assert sorted(reasons[:2]) == ["truncated", "unparsed"]
    assert "test question of this run's" in text
    unchecked = card_of({"corpus": "c", "mode": "cot"}, kept, [], {})
    assert "Nothing was compared with the benchmarks" in unchecked
    assert "Problems left out" not in unchecked


def test_card_shows_texts_in_full_and_as_they_are():
    rows = [problem(0) | {"solution": "```python\nprint(1)\n```\n\n````\nx | y"}]
    text = card_of({"corpus": "c", "mode": "tool"}, rows, [], {})
    assert HOSTILE in text
    assert "`````text\n```python\nprint(1)\n```\n\n````\nx | y\n`````" in text
    facts = corpus_card.summary({"corpus": "c", "mode": "tool"}, rows, [], {})
    html = cards.html("corpus_card", facts)
    assert "<pre>```python\nprint(1)\n```\n\n````\nx | y</pre>" in html
    assert "<script" not in html
    assert HOSTILE in "".join(read(html).text)


def test_parts_of_a_card_in_both_forms():
    """What Markdown needs a backslash for, the page shows as it is; a blank corpus has no tables."""
    facts = corpus_card.summary({"corpus": "a_b", "mode": "cot", "x|y": "<i>"}, [], [], {})
    text, html = cards.markdown("corpus_card", facts), cards.html("corpus_card", facts)
    assert text.startswith("# Data card: corpus a\\_b\n\n0 of 0 written problems were kept")
    assert "| x\\|y | \\<i\\> |" in text
    assert '<td>x|y</td><td class="number">&lt;i&gt;</td>' in html
    assert "## What became of the problems\n\n(none)\n" in text
    assert "<h3>What became of the problems</h3>" in html
    assert "Data card" not in html  # the page names it where it folds it up
    assert text.count("\n- ") == html.count("<li>") == 4


# ---------------------------------------------------------------- programs


def run_program(name: str, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / name, *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_report_program(run, page, tmp_path):
    output = tmp_path / "report.html"
    arguments = [
        "--tables", *run["table_files"], "--run-tables", *run["run_table_files"],
        "--sidecars", *run["sidecar_files"], "--figures", *run["figure_files"],
        "--funnels", *run["funnel_files"], "--influences", *run["influence_files"],
        "--scores", *run["score_files"],
        "--candidates", *run["candidate_files"], "--cards", *run["card_files"],
        "--disagreements", *run["disagreement_files"],
        "--recipe", json.dumps(run["configuration"]),
    ]  # fmt: skip
    done = run_program("report.py", *arguments, "--output", output)
    assert done.returncode == 0, done.stderr
    assert output.read_text() == page
    arguments[1] = tmp_path / "absent.csv"
    failed = run_program("report.py", *arguments, "--output", tmp_path / "second.html")
    assert failed.returncode == 1
    assert failed.stderr.strip().splitlines() == [
        f"report: {tmp_path / 'absent.csv'}: no such file. Run the workflow again to make it."
    ]
    assert not (tmp_path / "second.html").exists()


def test_card_and_plot_programs(run, tmp_path):
    scores, candidates = run["score_files"][0], run["candidate_files"][0]
    done = run_program("plot_influence.py", "--scores", scores, "--output", tmp_path / "i.svg")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "i.svg").read_bytes() == run["figure_files"][3].read_bytes()
    done = run_program(
        "plot_scores.py", "--table", run["table_files"][0], "--output", tmp_path / "s.svg",
        "--recipe", '{"name": "main"}',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "s.svg").read_bytes() == run["figure_files"][0].read_bytes()
    results = scores.parents[2]
    done = run_program(
        "plot_losses.py",
        "--histories",
        *results.rglob("history.jsonl"),
        "--output",
        tmp_path / "l.svg",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "l.svg").read_bytes() == run["figure_files"][2].read_bytes()
    rejected = tmp_path / "rejected.parquet"
    write_table(rejected, [], PROBLEMS, {})
    done = run_program(
        "influence_card.py", "--scores", scores, "--candidates", candidates, "--passages",
        results / "corpus" / "passages.parquet", "--seed", 17, "--recipe",
        '{"influence": "main", "picked": 6}', "--summary", tmp_path / "summary.json", "--output",
        tmp_path / "influence.md",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "summary.json").read_bytes() == run["influence_files"][0].read_bytes()
    assert (tmp_path / "influence.md").read_text().startswith("# Influence main")
    done = run_program(
        "data_card.py", "--problems", candidates, "--rejected", rejected,
        "--report", run["funnel_files"][1], "--output", tmp_path / "card.md",
        "--facts", tmp_path / "card.json",
        "--recipe", json.dumps({
                "corpus": "cot", "mode": "cot", "synthesizer": "boosted", "prompts": 4, "shards": 1,
                "sampling": {"temperature": 0.7, "top_p": 1.0, "max_new_tokens": 9}, "filters": [],
                "unlike": [],
            }),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = corpus_card.read(tmp_path / "card.json")
    text = (tmp_path / "card.md").read_text()
    assert text == cards.markdown("corpus_card", facts)
    assert text.startswith("# Data card: corpus cot")
    with pytest.raises(UserError, match="not the facts of a data card"):
        corpus_card.read(tmp_path / "summary.json")
