"""A report as the parts that it is written of, whatever it is written in: see `html`, `markdown`
and `latex`."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from core.report.captions import Words, caption
from core.report.figures import Figure, data_files, figures
from core.report.findings import Finding, Table, tables
from core.report.method import method
from core.report.notebook import SECTIONS, Report

NAMED = "Untitled report"
UNWRITTEN = "[to be written]"  # in a section that is empty, which then cannot go unnoticed

_APART = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*•]|\d+[.)])\s)")


@dataclass(frozen=True)
class Shown:
    """A finding as it stands in the results, numbered from 1; of what has no figure, its tables
    stand there, else in the appendix. `data` and `code` are its files: name -> content."""

    number: int
    title: str
    figures: list[Figure]
    caption: list[Words]
    words: list[str]  # paragraphs
    tables: list[Table]  # but for those that a finding before it has, which `repeats` says
    repeats: str
    data: dict[str, Callable[[], str]]
    code: dict[str, str]

    @property
    def is_table(self) -> bool:
        return not self.figures

    @property
    def files(self) -> dict[str, Callable[[], str]]:
        """All that is kept of it: its data and its programs."""
        return self.data | {name: partial(str, source) for name, source in self.code.items()}

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


def document(report: Report, code: Mapping[str, dict[str, str]] | None = None) -> Document:
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
        findings=list(_all_shown(report, code or {})),
    )


def _all_shown(report: Report, code: Mapping[str, dict[str, str]]) -> Iterator[Shown]:
    """The findings, none of whose tables stands in the appendix twice: maps of one pair have the
    same plain runs."""
    first: dict[str, int] = {}  # a table -> the finding that shows it
    for number, of in enumerate(report.findings, start=1):
        shown = _shown(number, of, code.get(of.id, {}))
        if not shown.is_table:
            there = {repr(table): table for table in shown.tables}
            before = sorted({first[said] for said in there if said in first})
            own = [table for said, table in there.items() if said not in first]
            first |= {said: number for said in there if said not in first}
            if before:
                which = " and ".join(map(str, before))
                says = f"{'Its other' if own else 'Its'} tables are those of finding {which}."
                shown = replace(shown, tables=own, repeats=says)
        yield shown


def _shown(number: int, of: Finding, code: dict[str, str]) -> Shown:
    return Shown(
        number,
        of.title.strip() or f"Finding {number}",
        figures(of),
        caption(of),
        paragraphs(of.words),
        tables(of),
        "",
        data_files(of),
        code,
    )


def paragraphs(text: str) -> list[str]:
    """Paragraphs are apart by an empty line, and what is listed, each line beginning with "- " or a
    number, is one each; another line break is a space."""
    pieces = _APART.split(text.replace("\r\n", "\n"))
    return [" ".join(piece.split()) for piece in pieces if piece.strip()]
