"""The Markdown that our own data cards use, as HTML: headings, tables, lists, fences, paragraphs.

Everything is escaped; no HTML in the source is ever passed through.
"""

import re

from markupsafe import Markup, escape


def plain(text: str) -> str:
    """A line without the backslashes that `escape_markdown` put in."""
    return re.sub(r"\\([\\`*_\[\]<>|#~$])", r"\1", text)


def _inline(text: str) -> Markup:
    return escape(plain(text))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def _table(lines: list[str]) -> Markup:
    header, rule, *rows = map(_cells, lines)
    sides = ["number" if mark.endswith(":") else "text" for mark in rule]

    def line(cells: list[str], tag: str) -> Markup:
        made = [
            Markup('<{0} class="{1}">{2}</{0}>').format(tag, side, _inline(cell))
            for side, cell in zip(sides, cells, strict=False)
        ]
        return Markup("<tr>{}</tr>").format(Markup("").join(made))

    head, body = line(header, "th"), Markup("").join(line(row, "td") for row in rows)
    return Markup(
        '<div class="scroll" tabindex="0"><table><thead>{}</thead><tbody>{}</tbody></table></div>'
    ).format(head, body)


def convert(text: str, deeper: int = 0) -> Markup:
    """HTML of a card; headings go `deeper` levels down."""
    lines, made, place = text.split("\n"), [], 0

    def take(belongs) -> list[str]:
        nonlocal place
        start = place
        while place < len(lines) and belongs(lines[place]):
            place += 1
        return lines[start:place]

    while place < len(lines):
        line = lines[place]
        if fence := re.match(r"`{3,}", line):
            place += 1
            inside = take(lambda other, end=fence[0]: other != end)
            place += 1
            made.append(Markup("<pre>{}</pre>").format("\n".join(inside)))
        elif heading := re.match(r"(#+) (.*)", line):
            level = min(6, len(heading[1]) + deeper)
            made.append(Markup("<h{0}>{1}</h{0}>").format(level, _inline(heading[2])))
            place += 1
        elif line.startswith("|"):
            made.append(_table(take(lambda other: other.startswith("|"))))
        elif line.startswith("- "):
            items = re.split(r"\n- ", "\n" + "\n".join(take(str.strip)))[1:]
            points = [Markup("<li>{}</li>").format(_inline(" ".join(i.split()))) for i in items]
            made.append(Markup("<ul>{}</ul>").format(Markup("").join(points)))
        elif line.strip():
            block = take(lambda other: other.strip() and not re.match(r"#+ |\||- |`{3}", other))
            made.append(Markup("<p>{}</p>").format(_inline(" ".join(block or [line]))))
            place += not block  # a line that only looks like the start of another block
        else:
            place += 1
    return Markup("\n").join(made)
