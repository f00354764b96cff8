"""A report as a ZIP file: its text in Markdown or LaTeX, its pictures, its data and its code."""

from collections.abc import Iterator

from core import output
from core.report.document import Document
from core.report.latex import latex
from core.report.markdown import markdown

# What the text is called, what writes it, and the format of its pictures.
WRITERS = {"markdown": ("report.md", markdown, "png"), "latex": ("report.tex", latex, "pdf")}


def zipped(document: Document, kind: str, saved: str) -> bytes:
    """The report in one of WRITERS, with the file it is `saved` as, which Patchboard opens."""
    return output.zipped(_files(document, kind, saved))


def _files(document: Document, kind: str, saved: str) -> Iterator[tuple[str, str | bytes]]:
    name, write, format = WRITERS[kind]
    yield name, write(document)
    yield "report.json", saved
    for of in document.findings:
        for place, figure in enumerate(of.figures, start=1):
            yield f"{of.folder}/figure-{place}.{format}", figure.picture(format)
        for file, make in of.files.items():
            yield f"{of.folder}/{file}", make()
