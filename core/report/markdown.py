"""A report -> Markdown with its pictures beside it; every character somebody typed stands there as
itself."""

import re

from core.report.captions import Words, runs
from core.report.document import Document, Shown
from core.report.findings import Table

# What may be markup in some flavour of it: wherever it stands, of an address or a picture by name,
# of a dash, and at the beginning of a line, where a list or a heading could begin.
_MEANS = re.compile(r"([\\`*_{}\[\]<>#|~&$^@]|:(?=[\w/])|(?<=[wW])\.|--|^[-+=])")
_NUMBERED = re.compile(r"^(\d+)([.)])")


def escaped(text: str) -> str:
    """A text that Markdown shows as it is, in a paragraph, a heading or a cell of a table."""
    one_line = " ".join(text.splitlines())
    written = _NUMBERED.sub(r"\1\\\2", _MEANS.sub(r"\\\1", one_line))
    return re.sub(r"(?<= ) | $|^ ", "&nbsp;", written)


def markdown(document: Document) -> str:
    """The text; its pictures are `finding-N/figure-1.png` and so on."""
    lines = [f"# {escaped(document.title)}"]
    lines += [escaped(line) for line in (document.authors, document.course) if line]
    for section in document.sections:
        findings = document.findings if section.name == "results" else []
        lines += [f"## {section.title}", *map(escaped, section.paragraphs)]
        for of in findings:
            lines += _finding(of)
    if document.findings:
        lines.append("## Appendix: next tokens, data and code")
        for of in document.findings:
            lines += _appendix(of)
    return "\n\n".join(lines) + "\n"


def _finding(of: Shown) -> list[str]:
    lines = [f"### {of.number}\\. {escaped(of.title)}"]
    for place, figure in enumerate(of.figures, start=1):
        if figure.name:
            lines.append(f"**{escaped(figure.name)}**")
        called = f"Figure {of.number} {figure.name}".strip()
        lines.append(f"![{escaped(called)}]({of.folder}/figure-{place}.png)")
    if of.is_table:
        lines += [part for table in of.tables for part in _table(table)]
    what = "Table" if of.is_table else "Figure"
    first, *others = map(_words, of.caption)
    return [
        *lines,
        "  \n".join([f"**{what} {of.number}\\.** {first}", *others]),
        *map(escaped, of.words),
    ]


def _words(line: Words) -> str:
    """With tags, since what begins or ends with a point cannot always be marked by asterisks."""
    pieces = ((escaped(text), marked and bool(text.strip())) for text, marked in runs(line))
    return " ".join(f"<b>{text}</b>" if marked else text for text, marked in pieces)


def _table(of: Table) -> list[str]:
    rows = [of.heads, ["---"] * len(of.heads), *of.rows]
    cells = ((cell if cell == "---" else escaped(cell) for cell in row) for row in rows)
    return [f"**{escaped(of.title)}**", "\n".join(f"| {' | '.join(row)} |" for row in cells)]


def _appendix(of: Shown) -> list[str]:
    lines = [f"### {of.number}\\. {escaped(of.title)}"]
    if not of.is_table:
        lines += [part for table in of.tables for part in _table(table)]
    if of.repeats:
        lines.append(of.repeats)
    lines.append("Files: " + ", ".join(f"[{escaped(n)}]({of.folder}/{n})" for n in of.files))
    return lines
