"""A report -> one HTML file: its figures can be hovered, and any browser prints it to PDF.

The file asks nothing of any host: what draws the figures is in it, once, and its policy forbids all
requests. What somebody typed, and every token, is escaped.
"""

import base64
from html import escape
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from core.report.captions import Words, runs
from core.report.document import Document, Shown
from core.report.findings import Table
from core.report.programs import Printed, printed

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
    " img-src data: blob:; font-src data:; form-action 'none'; base-uri 'none'"
)
_KINDS = {"json": "application/json", "csv": "text/csv", "py": "text/x-python"}
_WIDE = 640  # pixels, which fit a printed page
# Whatever the app that drew a figure has made the usual one.
_ON_PAPER = {"template": "plotly", "paper_bgcolor": "white", "plot_bgcolor": "white"}
_STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")


def html(document: Document) -> str:
    """The whole file."""
    by = "".join(
        f'<p class="by">{escape(line)}</p>' for line in (document.authors, document.course) if line
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(document.title)}</title><style>{_STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body>"
        f"<header><h1>{escape(document.title)}</h1>{by}</header>"
        f"<main>{''.join(_sections(document))}</main>{_appendix(document)}</body></html>\n"
    )


def _sections(document: Document):
    for section in document.sections:
        findings = document.findings if section.name == "results" else []
        yield f"<section><h2>{escape(section.title)}</h2>{_paragraphs(section.paragraphs)}"
        yield from map(_finding, findings)
        yield "</section>"


def _paragraphs(texts: list[str]) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in texts)


def _finding(of: Shown) -> str:
    drawn = ""
    for place, figure in enumerate(of.figures):
        wide = _WIDE if len(of.figures) == 1 else _WIDE // 2
        made = go.Figure(figure.plotly).update_layout(_ON_PAPER, width=wide)
        name = f"<h4>{escape(figure.name)}</h4>" if figure.name else ""
        plot = made.to_html(
            full_html=False,
            include_plotlyjs=False,
            div_id=f"figure-{of.number}-{place}",
            config={"displaylogo": False, "responsive": False},
        )
        drawn += f'<div>{name}<div class="plot">{plot}</div></div>'
    several = " several" if len(of.figures) > 2 else ""
    drawn = f'<div class="plots{several}">{drawn}</div>'
    if of.is_table:
        drawn = "".join(map(_table, of.tables))
    what = "Table" if of.is_table else "Figure"
    return (
        f'<section class="finding"><h3>{of.number}. {escape(of.title)}</h3><figure>{drawn}'
        f"<figcaption><b>{what} {of.number}.</b> {_caption(of.caption)}"
        f"</figcaption></figure>{_paragraphs(of.words)}</section>"
    )


def _caption(said: list[Words]) -> str:
    lines = (
        " ".join(
            f"<b>{escape(text)}</b>" if marked else escape(text) for text, marked in runs(line)
        )
        for line in said
    )
    return "<br>".join(lines)


def _table(of: Table) -> str:
    kind = [' class="token"' if i in of.token_columns else "" for i in range(len(of.heads))]

    def row(cells: tuple[str, ...], tag: str) -> str:
        made = (f"<{tag}{k}>{escape(c)}</{tag}>" for c, k in zip(cells, kind, strict=True))
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(row(cells, "td") for cells in of.rows)
    return (
        f"<table><caption>{escape(of.title)}</caption><thead>{row(of.heads, 'th')}</thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _appendix(document: Document) -> str:
    if not document.findings:
        return ""
    parts = ['<section class="appendix"><h2>Appendix: next tokens, data and code</h2>']
    programs = printed(
        ((of.number, name), source) for of in document.findings for name, source in of.code.items()
    )
    for of in document.findings:
        shows = of.code or of.repeats or (of.tables and not of.is_table)
        hidden = "" if shows else ' class="screen"'
        parts.append(f"<h3{hidden}>{of.number}. {escape(of.title)}</h3>")
        if not of.is_table and of.tables:
            parts.append(f'<div class="tables">{"".join(map(_table, of.tables))}</div>')
        if of.repeats:
            parts.append(f"<p>{of.repeats}</p>")
        links = ", ".join(
            f'<a download="{of.folder}-{escape(name)}" href="{_data(name, make())}">'
            f"{escape(name)}</a>"
            for name, make in of.files.items()
        )
        parts.append(f'<p class="screen">In this file: {links}.</p>')
        parts += [_program(name, of, programs[of.number, name]) for name in of.code]
    return "".join(parts) + "</section>"


def _program(name: str, of: Shown, program: Printed) -> str:
    """`name` says which of several programs of a finding it is."""
    which = f"The program {name}" if len(of.code) > 1 else "The program"
    which, lines = escape(which), escape("\n".join(program.lines))
    if program.like is None:
        return f"<p>{which}:</p><pre>{lines}</pre>" if len(of.code) > 1 else f"<pre>{lines}</pre>"
    number, other = program.like
    like = other if number == of.number else f"that of finding {number}"
    if number != of.number and other != "program.py":
        like += f", {other}"
    if not program.lines:
        return f"<p>{which} is {escape(like)}.</p>"
    return (
        f"<p>{which} is {escape(like)}, but for these lines (- as there, + as here):</p>"
        f"<pre>{lines}</pre>"
    )


def _data(name: str, content: str) -> str:
    kind = _KINDS[name.rpartition(".")[2]]
    encoded = base64.b64encode(content.encode("utf-8", "surrogatepass")).decode()
    return f"data:{kind};charset=utf-8;base64,{encoded}"
