"""A report as the parts that it is written of, whatever it is written in: see `html`, `markdown`
and `latex`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.report.captions import Words, caption
from core.report.figures import Figure, data_files, figures
from core.report.findings import Finding, Table, tables
from core.report.method import method
from core.report.notebook import SECTIONS, Report

NAMED = "Untitled report"
UNWRITTEN = "[to be written]"  # in a section that is empty, which then cannot go unnoticed


@dataclass(frozen=True)
class Shown:
    """A finding as it stands in the results, numbered from 1; of what has no figure, its tables
    stand there, else in the appendix. `data` and `code` are its files: name -> content."""

    number: int
    title: str
    figures: list[Figure]
    caption: list[Words]
    words: list[str]  # paragraphs
    tables: list[Table]
    data: dict[str, Callable[[], str]]
    code: str

    @property
    def is_table(self) -> bool:
        return not self.figures

    @property
    def files(self) -> dict[str, Callable[[], str]]:
        """All that is kept of it: its data and its program."""
        return self.data | ({"program.py": lambda: self.code} if self.code else {})

    @property
    def folder(self) -> str:
        return f"finding-{self.number}"


@dataclass(frozen=True)
class Section:
    name: str  # a key of SECTIONS
    title: str
    paragraphs: list[str]


@dataclass(frozen=True)
class Document:
    title: str
    authors: str
    course: str
    sections: list[Section]  # of which "results" has the findings
    findings: list[Shown]


def document(report: Report, code: Mapping[str, str] | None = None) -> Document:
    """The parts of a report. `code` are the programs behind its findings, by their ids."""
    texts = {name: getattr(report, name, "") or "" for name in SECTIONS}
    if report.method is None:
        texts["method"] = method(report)
    told = {"results"} if report.findings else set()
    return Document(
        title=report.title.strip() or NAMED,
        authors=report.authors.strip(),
        course=report.course.strip(),
        sections=[
            Section(name, title, paragraphs(texts[name]) or ([] if name in told else [UNWRITTEN]))
            for name, title in SECTIONS.items()
        ],
        findings=[
            _shown(number, of, (code or {}).get(of.id, ""))
            for number, of in enumerate(report.findings, start=1)
        ],
    )


def _shown(number: int, of: Finding, code: str) -> Shown:
    return Shown(
        number,
        of.title.strip() or f"Finding {number}",
        figures(of),
        caption(of),
        paragraphs(of.words),
        tables(of),
        data_files(of),
        code,
    )


def paragraphs(text: str) -> list[str]:
    """Paragraphs are apart by an empty line; a line break within one is a space."""
    pieces = text.replace("\r\n", "\n").split("\n\n")
    return [" ".join(piece.split()) for piece in pieces if piece.strip()]
