"""A report -> LaTeX that a plain TeX installation compiles, with its pictures beside it; every
character somebody typed stands there as itself, and where a font has it not, as its code point."""

from core.report.captions import Words, runs
from core.report.document import Document, Shown
from core.report.findings import Table

_PREAMBLE = r"""\documentclass[11pt,a4paper]{article}
\usepackage{iftex}
\ifpdftex
  \usepackage[utf8]{inputenc}
  \usepackage[T1]{fontenc}
  \IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
  \newcommand{\uni}[2]{\texttt{[U+#1]}} % this TeX has no glyph for it: compile with lualatex
\else
  \usepackage{fontspec}
  \newcommand{\uni}[2]{#2}
\fi
\usepackage{textcomp,graphicx,longtable}
\usepackage[margin=25mm]{geometry}
\setlength{\parindent}{0pt}
\setlength{\parskip}{0.6em}
\emergencystretch=3em
"""
# Of one, of two and of more pictures, which stand two in a line: how wide each is, and how high at
# the most.
_SIZES = {0: ("", ""), 1: ("0.95", "0.5"), 2: ("0.8", "0.3"), 3: ("0.49", "0.24")}
_SHORT, _NARROW = 30, 4  # rows that stay on one page, and columns that fit half of one
_WRITTEN = {
    **{char: f"\\{char}" for char in "{}$&#%_"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "{-}",  # two would make a dash
    ",": "{,}",  # two would make a quotation mark
    "!": "{!}",
    "?": "{?}",
    "[": "{[}",  # which after a line break would be an option
    "]": "{]}",
    "*": "{*}",
    "\u00a0": "~",
    "·": r"\textperiodcentered{}",
    "…": r"\ldots{}",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "‖": r"\textbardbl{}",
    "×": r"\texttimes{}",
}
_LETTERS = {
    *"ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿŒœŠšŽžŁłĄąĘęĆćŃńŚśŹźŻżČčĚěŘřŮů"
}


def escaped(text: str, spaces: bool = False) -> str:
    """A text that LaTeX shows as it is; with `spaces` each of them, also at the ends."""
    written = "".join(map(_written, text))
    return written.replace(" ", "~") if spaces else written


def _written(char: str) -> str:
    if char in _WRITTEN:
        return _WRITTEN[char]
    if char.isspace():
        return " "
    if (char.isascii() and char.isprintable()) or char in _LETTERS:
        return char
    point = f"{ord(char):04X}"
    shown = char if char.isprintable() else f"[U+{point}]"
    return f"\\uni{{{point}}}{{{shown}}}"


def latex(document: Document) -> str:
    """The text; its pictures are `finding-N/figure-1.pdf` and so on."""
    by = r" \\ ".join(escaped(name) for name in (document.authors, document.course) if name)
    by = f"\\parbox{{\\textwidth}}{{\\centering {by}}}"  # many authors take several lines
    head = [_PREAMBLE, f"\\title{{{escaped(document.title)}}}", f"\\author{{{by}}}"]
    lines = [*head, "\\date{}", "\\begin{document}", "\\maketitle"]
    for section in document.sections:
        findings = document.findings if section.name == "results" else []
        lines.append(f"\\section{{{escaped(section.title)}}}")
        lines += [f"{escaped(text)}\n" for text in section.paragraphs]
        for of in findings:
            lines += _finding(of)
    if document.findings:
        lines += ["\\clearpage\\appendix", "\\section{Next tokens{,} data and code}"]
        for of in document.findings:
            lines += _appendix(of)
    return "\n".join([*lines, "\\end{document}", ""])


def _finding(of: Shown) -> list[str]:
    lines = [f"\\subsection{{{escaped(of.title)}}}"]
    block = ["\\begin{minipage}{\\textwidth}\\centering"]
    width, high = _SIZES[min(len(of.figures), 3)]
    for place, figure in enumerate(of.figures, start=1):
        ends = "\\hfill" if len(of.figures) > 2 and place % 2 else "\\par"
        name = f"{{\\small\\bfseries {escaped(figure.name)}}}\\\\" if figure.name else ""
        block.append(
            f"\\begin{{minipage}}[t]{{{width}\\linewidth}}\\centering {name}"
            f"\\includegraphics[width=\\linewidth,height={high}\\textheight,keepaspectratio]"
            f"{{{of.folder}/figure-{place}.pdf}}\\end{{minipage}}{ends}"
        )
    if of.is_table:
        lines += _tables(of.tables)
    what = "Table" if of.is_table else "Figure"
    first, *others = map(_words, of.caption)
    said = " \\\\{} ".join([f"\\textbf{{{what} {of.number}.}} {first}", *others])
    block += ["", f"\\raggedright\\footnotesize {said}", "\\end{minipage}", ""]
    return [*lines, *block, *(f"{escaped(text)}\n" for text in of.words)]


def _words(line: Words) -> str:
    return " ".join(
        f"\\textbf{{{escaped(text)}}}" if marked else escaped(text) for text, marked in runs(line)
    )


def _tables(tables: list[Table]) -> list[str]:
    """Two beside each other, or a long one by itself, which may go on on the next page."""
    lines = []
    for of in tables:
        columns = "".join("l" if i in of.token_columns else "r" for i in range(len(of.heads)))
        rows = [" & ".join(map(_cell, row, _are_tokens(of))) for row in of.rows]
        heads = " & ".join(map(_head, of.heads, _are_tokens(of)))
        heads += r" \\ \hline\noalign{\smallskip}"
        title = f"\\textbf{{{escaped(of.title)}}}\\par\\nopagebreak"
        title = f"{{\\footnotesize\\tabcolsep=4pt\\raggedright{title}"
        body = [f"{row} \\\\" for row in rows]
        if len(rows) <= _SHORT:
            width = "0.49" if len(of.heads) <= _NARROW else ""
            lines += [f"\\begin{{minipage}}[t]{{{width}\\textwidth}}{title}\\smallskip"]
            lines += [f"\\begin{{tabular}}[t]{{@{{}}{columns}@{{}}}}", heads]
            lines += [*body, "\\end{tabular}\\par\\bigskip}\\end{minipage}\\hfill"]
        else:
            lines += [title, f"\\begin{{longtable}}[l]{{@{{}}{columns}@{{}}}}"]
            lines += [f"{heads} \\endhead", *body, "\\end{longtable}}"]
    return [*lines, ""]


def _are_tokens(of: Table) -> list[bool]:
    return [i in of.token_columns for i in range(len(of.heads))]


def _head(text: str, is_token: bool) -> str:
    """A head in bold, of several words in two lines, so that two tables fit beside each other."""
    lines = " \\\\ ".join(f"\\textbf{{{escaped(line)}}}" for line in text.split(" ", 1))
    return f"\\shortstack[{'l' if is_token else 'r'}]{{{lines}}}"


def _cell(text: str, is_token: bool) -> str:
    return f"\\texttt{{{escaped(text, spaces=True)}}}" if is_token else escaped(text)


def _appendix(of: Shown) -> list[str]:
    lines = [f"\\subsection{{{escaped(of.title)}}}"]
    if not of.is_table:
        lines += _tables(of.tables)
    if of.repeats:
        lines += [of.repeats, ""]
    files = ", ".join(f"\\texttt{{{escaped(f'{of.folder}/{name}')}}}" for name in of.files)
    return [*lines, f"{{\\raggedright Files: {files}.\\par}}", ""]
