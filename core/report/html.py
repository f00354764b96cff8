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
    programs = printed((of.number, of.code) for of in document.findings if of.code)
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
        if of.code:
            parts.append(_program(programs[of.number]))
    return "".join(parts) + "</section>"


def _program(of: Printed) -> str:
    lines = escape("\n".join(of.lines))
    if of.like is None:
        return f"<pre>{lines}</pre>"
    if not of.lines:
        return f"<p>The program is that of finding {of.like}.</p>"
    return (
        f"<p>The program is that of finding {of.like}, but for these lines (- as there, + as"
        f" here):</p><pre>{lines}</pre>"
    )


def _data(name: str, content: str) -> str:
    kind = _KINDS[name.rpartition(".")[2]]
    encoded = base64.b64encode(content.encode("utf-8", "surrogatepass")).decode()
    return f"data:{kind};charset=utf-8;base64,{encoded}"
