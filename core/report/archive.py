"""A report as a ZIP file: its text in Markdown or LaTeX, its pictures, its data and its code."""

import io
import zipfile
from collections.abc import Iterator

from core.report.document import Document
from core.report.latex import latex
from core.report.markdown import markdown

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a ZIP file can tell
# What the text is called, what writes it, and the format of its pictures.
WRITERS = {"markdown": ("report.md", markdown, "png"), "latex": ("report.tex", latex, "pdf")}


def zipped(document: Document, kind: str, saved: str) -> bytes:
    """The report in one of WRITERS, with the file it is `saved` as, which Patchboard opens."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _files(document, kind, saved):
            about = zipfile.ZipInfo(name, _EARLIEST)
            about.compress_type, about.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(about, content)
    return file.getvalue()


def _files(document: Document, kind: str, saved: str) -> Iterator[tuple[str, bytes]]:
    name, write, format = WRITERS[kind]
    yield name, write(document).encode("utf-8", "backslashreplace")
    yield "report.json", saved.encode("utf-8")
    for of in document.findings:
        for place, figure in enumerate(of.figures, start=1):
            yield f"{of.folder}/figure-{place}.{format}", figure.picture(format)
        for file, make in of.files.items():
            yield f"{of.folder}/{file}", make().encode("utf-8", "backslashreplace")
