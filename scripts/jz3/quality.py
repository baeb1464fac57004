r"""What makes a written problem unfit to be learnt from, each fault a check of its own.

A check takes the texts of a problem and returns the fault's name, or None. They look at form only:
whether a solution is right is for execution and agreement to say. Every pattern is for a kind of
fault, and was read against the authors' own samples (docs/performance.md: their false alarms).
"""

import re
import unicodedata
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

from . import boxes
from .prompts import answer_of


class Written(NamedTuple):
    """A problem as it was written; prompt: what the model was asked with ("" if not known)."""

    question: str
    solution: str
    prompt: str = ""


# ---------------------------------------------------------------- complete


_CONCLUDES = re.compile(
    r"\b(?:so|thus|therefore|hence|consequently|finally|answer|conclusion|conclude[sd]?|summary"
    r"|result|final|proven|proved|proof|shows?|shown|q\.?e\.?d|total|must|need(?:s|ed)?)\b"
    r"|\\(?:blacksquare|square|qed|therefore|implies)\b|[■□∎∴]",
    re.I,
)
_RESULT = re.compile(r"(?:=|\\approx|≈|\\leq?\b|\\geq?\b|≤|≥|\\in\b|\b(?:is|are|be)\b)\s*\S")
_TAIL = 1000  # characters of a solution in which it has to come to its end
_OPEN_ENDED = re.compile(
    r"(?:[:,;=+\-*/(\[{&]|\b(?:and|or|the|is|of|to|we|that|then|with|by|for|from))\s*$", re.I
)


def incomplete(problem: Written) -> str | None:
    """A part is missing, or the solution does not come to an end: no answer, and no conclusion.

    A box is no condition: the authors' problems mostly end in a sentence. An empty box is a
    missing answer, though.
    """
    question, solution = problem.question.strip(), problem.solution.strip()
    if not question or not solution:
        return "incomplete"
    if boxes.find(solution) and not answer_of(solution):
        return "incomplete"
    if answer_of(solution):
        return None
    plain = solution.rstrip("*_` \n")
    tail = plain[-_TAIL:]
    if _OPEN_ENDED.search(plain) or not (_CONCLUDES.search(tail) or _RESULT.search(tail)):
        return "incomplete"
    return None


# ---------------------------------------------------------------- self-contained


_PICTURE = (
    r"(?:figures?|diagrams?|pictures?|images?|illustrations?|drawings?|photo(?:graph)?s?"
    r"|sketch(?:es)?)"
)
_DISPLAY = r"(?:tables?|charts?|graphs?|plots?)"
_TEXT = (
    r"(?:texts?|passages?|excerpts?|paragraphs?|articles?|documents?|snippets?|textbook"
    r"|lecture notes?)"
)
_STATEMENT = (
    r"(?:theorem|lemma|equation|example|exercise|section|chapter|problem|question|corollary"
    r"|proposition|definition|figure|fig\.|table|formula)"
)
_WHERE = r"(?:above|below|provided|given|adjacent|accompanying|attached|following)"
_SHOWN = (
    r"(?:shown|illustrated|depicted|pictured|drawn|seen|displayed|given|indicated|provided"
    r"|presented)"
)
_SHOWN_IN = re.compile(
    rf"\b(?:{_SHOWN}|refer(?:ring)? to|see|consult|look at|in|from)\s+(?:in\s+)?"
    rf"(?:the|this)\s+(?:{_WHERE}\s+)?{_PICTURE}\b(?:\s+{_WHERE})?"
    rf"|\b(?:the|this)\s+{_PICTURE}\s+(?:shows?|(?:is\s+)?(?:shown|above|below|provided|given))\b"
    rf"|\b(?:the|this)\s+{_WHERE}\s+{_PICTURE}\b|\bas\s+(?:{_SHOWN})\s*(?:[.,;:]|below|above)"
    r"|!\[[^\]]*\]\(|\\includegraphics",
    re.I,
)
_DISPLAYED = re.compile(
    rf"\b(?:{_SHOWN}|refer(?:ring)? to|see|use|using)\s+(?:in\s+)?(?:the|this)\s+"
    rf"(?:{_WHERE}\s+)?{_DISPLAY}(?:\s+{_WHERE})?\b|\b(?:the|this)\s+{_DISPLAY}\s+(?:above|below)\b",
    re.I,
)
_ELSEWHERE = re.compile(
    rf"\b(?:see|refer(?:ring)? to|consult|according to|based on|using|use|from|by|as in|in)\s+"
    rf"(?:the\s+)?(?:result of\s+)?{_STATEMENT}\s+"
    rf"\(?(?:[A-Z0-9]{{1,3}}(?:[.\-]\d+)+|\d+[a-z]?)\)?(?![\w%])"
    rf"|\b(?:in|from|by|of|to|with)\s+the\s+"
    rf"(?:previous|preceding|earlier|aforementioned|foregoing)\s+(?:{_STATEMENT}|{_TEXT}|{_PICTURE})s?\b"
    rf"|\b(?:the|this)\s+(?:above|aforementioned|preceding|foregoing|given|provided|following)\s+{_TEXT}\b(?!:)"
    rf"|\b(?:the|this)\s+{_TEXT}\s+"
    rf"(?:above|provided|describes?|mentions?|states?|says|discusses|explains|given)\b"
    rf"|\b(?:according to|based on|inspired by|mentioned in|described in|discussed in|stated in"
    rf"|given in|provided in|presented in|explained in|introduced in|as in|from|in)\s+"
    rf"(?:the|this)\s+{_TEXT}\b"
    rf"|\b(?:mentioned|described|discussed|defined|introduced|solved)\s+(?:earlier|previously)\b"
    rf"|\bprevious(?:ly)?\s+(?:problem|question|exercise|solved|defined|mentioned|discussed)\b"
    r"|\\(?:eq)?ref\{|\\cite[tp]?\{",
    re.I,
)
# A figure or table that is there, as code or as cells.
_PICTURE_CODE = re.compile(
    r"```|\[asy\]|\\begin\{(?:tikz|array|tabular|CD|matrix|pmatrix|picture|pspic)|\\xymatrix", re.I
)
_CELLS = re.compile(
    r"\|.*\||\\begin\{(?:array|tabular|matrix|pmatrix)|\t.*\t|[\[(][^\])]*(?:,[^\])]*){3,}[\])]|:\s*\n\s*[-*\d]|(?:\d[^\n]*,\s*){3,}|\\\[|\$\$"
)


def not_self_contained(problem: Written) -> str | None:
    """The question needs a figure, a table or a text that is not there."""
    question = problem.question
    missing = (
        _ELSEWHERE.search(question)
        or (_SHOWN_IN.search(question) and not _PICTURE_CODE.search(question))
        or (_DISPLAYED.search(question) and not _CELLS.search(question))
    )
    return "not_self_contained" if missing else None


_ASKS = re.compile(
    r"[?？]|=\s*(?:[.．。_]|\\_|$)|_{2,}|\bis\s+[.．]|\bwill be\s*$"
    r"|\b(?:find|comput|calculat|determin|evaluat|solv|prov|show|simplif|express|factor|expand"
    r"|deriv|estimat|writ|giv|list|verif|explain|describ|construct|draw|sketch|identif|count"
    r"|convert|round|deduc|analy[sz]|discuss|design|formulat|implement|plot|minimi[sz]|maximi[sz]"
    r"|differentiat|integrat|approximat|conclud|choos|select|check|test|decid|assess|compar"
    r"|classif|illustrat|investigat|explor|obtain|predict|rewrit|represent|justif|demonstrat"
    r"|examin|establish|resolv|decompos|creat|develop|measur|subtract|multipl|divid|arrang"
    r"|complet|fill|match|perform|generat|reduc|defin|model)(?:e|s|es|ed|y|ies|ing|ying)?\b"
    r"|\b(?:what|how|which|who|whose|when|where|why|whether|task(?:ed)?|interested in|wants? to"
    r"|need(?:s|ed)? to|program|probability of|number of (?:different )?ways|state|name|use|add"
    r"|apply)\b",
    re.I,
)


def asks_nothing(problem: Written) -> str | None:
    """A statement is no problem."""
    return None if _ASKS.search(problem.question) else "asks_nothing"


# ---------------------------------------------------------------- single


_HEADING = re.compile(
    r"^[ \t>]*(?:#{1,6}[ \t]*)?(?:\*\*|__)?[ \t]*(?:new |math(?:ematics)? |sample |practice )?"
    r"(?:problem|question|exercise|task|challenge)[ \t]*(?:#|no\.?|number)?[ \t]*"
    r"(?P<number>\d{1,2}|[A-H](?![a-z])|[IVX]{1,4}(?![a-z]))?[ \t]*(?:\*\*|__)?[ \t]*"
    r"(?P<end>[:.)]|(?:\*\*|__)|$)",
    re.I | re.M,
)


def several(problem: Written) -> str | None:
    """More than one problem in one: numbered headings of problems, or one after the solution.

    Parts (a), (b) of one problem are one problem.
    """
    numbered = {m["number"] for m in _HEADING.finditer(problem.question) if m["number"]}
    in_solution = [
        m
        for m in _HEADING.finditer(problem.solution)
        if not re.match(r"[ \t>]*(?:question|task)", m[0], re.I)
    ]
    later = any(m.start() > len(problem.solution) // 4 for m in in_solution if not m["number"])
    two = len({m["number"] for m in in_solution if m["number"]}) > 1
    return "several" if len(numbered) > 1 or two or (later and _two_answers(problem)) else None


def _two_answers(problem: Written) -> bool:
    return len(re.findall(r"^[ \t#*\[]*solution\b", problem.solution, re.I | re.M)) > 0


# ---------------------------------------------------------------- language, length, repetition


def other_language(problem: Written) -> str | None:
    """A twentieth of the question's letters or more are not Latin or Greek."""
    letters = [c for c in problem.question if c.isalpha() and not c.isascii()]
    if not letters:
        return None
    foreign = sum(not unicodedata.name(c, "").startswith(_SCRIPTS) for c in letters)
    total = sum(c.isalpha() for c in problem.question)
    return "other_language" if foreign * 20 >= total else None


# First words of the names of letters that belong to Latin, Greek or mathematics.
_SCRIPTS = (
    "LATIN", "GREEK", "MATHEMATICAL", "DOUBLE-STRUCK", "SCRIPT", "BLACK-LETTER", "MICRO", "KELVIN",
    "ANGSTROM", "OHM", "ALEF", "MODIFIER", "SUPERSCRIPT", "SUBSCRIPT", "FULLWIDTH", "PLANCK",
    "INFORMATION", "FEMININE", "MASCULINE", "TURNED",
)  # fmt: skip
_FEWEST = 4  # words of a question


def wrong_length(problem: Written, most: float) -> str | None:
    """The question has fewer than four words or more than `most`, the solution six times that."""
    words = len(problem.question.split())
    if words < _FEWEST and len(problem.question) < 20:
        return "too_short"
    if words > most or len(problem.solution.split()) > 6 * most:
        return "too_long"
    return None


_RUN = 12  # words


def repetitive(problem: Written, share: float) -> str | None:
    """More than `share` of the runs of twelve words in question or solution were there before.

    Or a line, or a group of characters, comes again and again.
    """
    for text in (problem.question, problem.solution):
        words = text.split()
        runs = [" ".join(words[i : i + _RUN]) for i in range(len(words) - _RUN + 1)]
        if runs and 1 - len(set(runs)) / len(runs) > share:
            return "repetitive"
        lines = Counter(line.strip() for line in text.split("\n") if len(line.split()) >= 5)
        if lines and max(lines.values()) >= 5:
            return "repetitive"
        sentences = [s.strip() for s in re.split(r"(?<=[.!?])\s+", text) if len(s.split()) >= 4]
        again = sum(one == other for one, other in pairwise(sentences))
        if again >= 2 or re.search(r"([^\s\-=_.*~#&|0]{1,12}\s?)\1{15,}", text):
            return "repetitive"
    return None


# ---------------------------------------------------------------- markers, encoding, refusals


_MARKERS = re.compile(
    r"<\|[^|>\n]{1,40}\|>|</?s>|\[/?INST\]|<</?SYS>>|</?think(?:ing)?>|<(?:start|end)_of_turn>"
    r"|<(?:EXTRACT|PASSAGE|TEXT|PROBLEM|SOLUTION)>|\{\{?(?:passage|text|problem|question)\}?\}"
    r"|\[(?:insert|your|placeholder|TODO|answer here|fill in)[^\]\n]*\]"
    r"|\[/?(?:problem|solution|problem description)\]"
    r"|^[ \t]*#{1,4}[ \t]*(?:new problem|instructions?|response|human|assistant|user|input|output"
    r"|system|text|given text|passage)[ \t]*:?[ \t]*$"
    r"|^[ \t]*(?:human|assistant|user|system|AI)[ \t]*:[ \t]"
    r"|\bas an? (?:AI|language) (?:language )?model\b",
    re.I | re.M,
)
_HEAD_IN_QUESTION = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]*)?(?:\*\*|__)?(?:solution|answer|final answer)(?:\*\*|__)?[ \t]*:"
    r"|^[ \t]*#{1,6}[ \t]*(?:solution|answer)\b|\\boxed\b",
    re.I | re.M,
)
_TALK = re.compile(
    r"^\W*(?:sure|certainly|of course|absolutely|here(?:'s| is| are))[^\n]{0,60}"
    r"\b(?:problem|question|exercise)|\blet me know if\b|\b(?:i )?hope this helps\b"
    r"|\bwould you like (?:me|another)\b|\bfeel free to ask\b|\bthis problem (?:is |was )?inspired"
    r"|\bcreate(?:d)? an? (?:new |original )?(?:math|problem)",
    re.I,
)


def leftover_markers(problem: Written) -> str | None:
    """Words of a chat, of a prompt or of a template instead of a problem."""
    both = f"{problem.question}\n{problem.solution}"
    if _MARKERS.search(both) or _HEAD_IN_QUESTION.search(problem.question):
        return "markers"
    ends = f"{problem.question[:200]}\n{problem.solution[:200]}\n{problem.solution[-200:]}"
    if _TALK.search(problem.question) or _TALK.search(ends):
        return "markers"
    return "markers" if "```" in problem.question and problem.question.count("```") % 2 else None


_INSTRUCTION = 8  # words on end


def echoes_prompt(problem: Written) -> str | None:
    """Most of the question is the prompt's own text, word for word."""
    words, prompt = problem.question.split(), " ".join(problem.prompt.split())
    if not prompt or len(words) < _INSTRUCTION:
        return None
    runs = [" ".join(words[i : i + _INSTRUCTION]) for i in range(len(words) - _INSTRUCTION + 1)]
    copied = sum(run in prompt for run in runs)
    return "echo" if copied * 2 > len(runs) else None


_MOJIBAKE = re.compile(
    "\ufffd|[ÃÂ][\u0080-\u00bf]|â€|Ã[A-Za-z©¨ª«¢¤§¯±³´¶¹º¼½¾]|ï»¿|ðŸ|[\ue000-\uf8ff]"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff\ud800-\udfff]")


def wrong_encoding(problem: Written) -> str | None:
    """Characters that are traces of a wrong encoding, or control something."""
    both = f"{problem.question}\n{problem.solution}"
    return "encoding" if _MOJIBAKE.search(both) or _CONTROL.search(both) else None


_REFUSAL = re.compile(
    r"\bI(?:'m| am) (?:sorry|unable|not able)\b|\bI (?:apologi[sz]e|cannot|can't|can not|won't)\b"
    r"[^.\n]{0,60}\b(?:create|generate|provide|assist|help|fulfil+|answer|write|solve|comply|complete)"
    r"|\bas an AI\b"
    r"|\b(?:the|this|given|provided) (?:text|passage|excerpt|content|snippet)[^.\n]{0,40}"
    r"\b(?:does not|doesn't|do not|lacks?|contains? no|has no|is not (?:related|mathematical))\b"
    r"|\b(?:not|isn't|insufficient|without)[^.\n]{0,20}\benough (?:information|context|content)"
    r" to (?:create|generate|formulate|make)\b|\bunable to (?:create|generate|formulate)\b",
    re.I,
)


def refuses(problem: Written) -> str | None:
    """A refusal or an excuse instead of a problem."""
    texts = (problem.question, problem.solution[:300], problem.solution[-300:])
    return "refusal" if any(_REFUSAL.search(text) for text in texts) else None


_TOLD = re.compile(
    r"\b(?:the )?(?:correct |final )?answer (?:is|:|=)"
    r"(?!\s*(?:to|in|the form|a |an |not|correct|expressed|given|as|yes or|of))\s*\S",
    re.I,
)


def tells_answer(problem: Written) -> str | None:
    """The question says its own answer."""
    if match := _TOLD.search(problem.question):
        after = problem.question[match.start() : match.start() + 80]
        if re.search(r"\d|\\", after) and "?" not in after:
            return "answer_in_question"
    return None


# ---------------------------------------------------------------- LaTeX


_ENVIRONMENT = re.compile(r"\\(begin|end)\{(\w+\*?)\}")


def broken_latex(problem: Written) -> str | None:
    """Brackets, dollar signs or environments of LaTeX that do not close, outside of programs."""
    for text in (problem.question, problem.solution):
        text = re.sub(r"```.*?(?:```|\Z)|`[^`\n]*`", " ", text, flags=re.S)
        if "\\" not in text and "$" not in text:
            continue
        if not _balanced(text) or not _environments(text):
            return "latex"
        if len(re.findall(r"\\left\b", text)) != len(re.findall(r"\\right\b", text)):
            return "latex"
        if re.search(r"\\u[0-9A-Fa-f]{4}|\\(?:frac|sqrt)\s*(?:$|[.,;)\]}])", text):
            return "latex"
        for opening, shutting in ((r"\(", r"\)"), (r"\[", r"\]")):
            if _commands(text, opening) != _commands(text, shutting):
                return "latex"
        if re.sub(r"\\\\|\\\$", "", text).count("$$") % 2:
            return "latex"
    return None


def _commands(text: str, command: str) -> int:
    return re.sub(r"\\\\", "  ", text).count(command)


def _balanced(text: str) -> bool:
    depth = 0
    for mark in re.findall(r"\\\\|\\[{}]|[{}]", text):
        depth += {"{": 1, "}": -1}.get(mark, 0)
        if depth < 0:
            return False
    return depth == 0


def _environments(text: str) -> bool:
    opened: list[str] = []
    for what, name in _ENVIRONMENT.findall(text):
        if what == "begin":
            opened.append(name)
        elif not opened or opened.pop() != name:
            return False
    return not opened


# ---------------------------------------------------------------- personal data


_MAIL = re.compile(
    r"[\w.+-]+@(?!example\b)[\w-]+\.[a-z]{2,}\b(?<!\.com\b)|[\w.+-]+@(?!example\b)[\w-]+\.com\b",
    re.I,
)
_PHONE = re.compile(
    r"(?<![\d$.,(=+*/^{-])(?:\+\d{1,3}[ .-]\(?\d{1,4}\)?(?:[ .-]\d{2,4}){2,3}"
    r"|\(\d{3}\) ?\d{3}-\d{4}|\d{3}-\d{3}-\d{4})(?![\d.,-]\d)"
)
_SOCIAL_SECURITY = re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")
_ADDRESS = re.compile(
    r"\b(?:ip|host|server|address|machine|router|network)\b\D{0,30}"
    r"(?<![\d.])((?:\d{1,3}\.){3}\d{1,3})(?![\d.]\d)",
    re.I,
)
_CARD = re.compile(r"(?<!\d)(?:\d{4}[ -]){3}\d{4}(?!\d)")


def personal_data(problem: Written) -> str | None:
    """An address of e-mail or of a machine, a number of telephone, social security or a card."""
    both = f"{problem.question}\n{problem.solution}"
    found = (
        ("@" in both and _MAIL.search(both)) or _PHONE.search(both) or _SOCIAL_SECURITY.search(both)
    )
    if found or any(_luhn(card) for card in _CARD.findall(both)):
        return "personal_data"
    for address in _ADDRESS.findall(both):
        parts = [int(part) for part in address.split(".")]
        if max(parts) < 256 and not address.startswith(("10.", "127.", "192.168.", "0.", "255.")):
            return "personal_data"
    return None


def _luhn(card: str) -> bool:
    digits = [int(c) for c in card if c.isdigit()][::-1]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
