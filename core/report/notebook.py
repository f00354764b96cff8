"""The report somebody writes: its texts and its findings, as one value that is replaced as it is
edited, and as one JSON file."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Self

from core.errors import UserError
from core.report import findings
from core.report.findings import Finding
from core.views.checked import MOST_BYTES, Maybe, check

MOST_FINDINGS = 40
_LONGEST = 200_000  # characters of one text
_ROOM = 0.95  # of MOST_BYTES: what is saved is to be opened again
_WORD = re.compile(r"\w(?:[\w'’\-]|(?<=\d)[.,](?=\d))*")  # 11.49 and 1,000 are one each
# The sections in their order; the results are the findings.
SECTIONS = {
    "introduction": "Introduction",
    "method": "Method",
    "results": "Results",
    "discussion": "Discussion",
    "conclusion": "Conclusion",
}
TEXTS = ("introduction", "method", "discussion", "conclusion")
_LINES = ("title", "authors", "course")


@dataclass(frozen=True)
class Report:
    """`method` is None while it is as it is generated (`core.report.method`). The author's words
    are to be from `least` to `most`."""

    title: str = ""
    authors: str = ""
    course: str = ""
    introduction: str = ""
    method: str | None = None
    discussion: str = ""
    conclusion: str = ""
    least: int = 1000
    most: int = 1500
    findings: tuple[Finding, ...] = ()

    @property
    def is_empty(self) -> bool:
        return self == type(self)(least=self.least, most=self.most)

    @property
    def words(self) -> dict[str, int]:
        """How many of them the author has written, by section; captions, tables and what was
        generated do not count."""
        written = {name: getattr(self, name) or "" for name in TEXTS}
        written["results"] = " ".join(of.words for of in self.findings)
        return {name: count(written[name]) for name in SECTIONS}

    @cached_property
    def size(self) -> int:
        """Bytes, at least as many as its file has of what is written in it."""
        texts = [getattr(self, name) or "" for name in (*_LINES, *TEXTS)]
        texts += [part for of in self.findings for part in (of.content, of.words, of.title)]
        return sum(len(text.encode("utf-8", "backslashreplace")) for text in texts)

    def get(self, id: str) -> Finding:
        return next(of for of in self.findings if of.id == id)

    def with_text(self, name: str, text: str | None) -> Self:
        """With another title, section or limit."""
        return replace(self, **{name: text}).checked()

    def with_finding(self, new: Finding) -> Self:
        """With one more, in the end. Raises UserError if that is too much."""
        return replace(self, findings=(*self.findings, new)).checked()

    def with_words(self, id: str, **changes: str) -> Self:
        """With another title of a finding, or other words about it."""
        new = (replace(of, **changes) if of.id == id else of for of in self.findings)
        return replace(self, findings=tuple(new)).checked()

    def moved(self, id: str, by: int) -> Self:
        """With a finding further down, or up."""
        at = [of.id for of in self.findings].index(id)
        others = [of for of in self.findings if of.id != id]
        others.insert(max(0, at + by), self.findings[at])
        return replace(self, findings=tuple(others))

    def without(self, id: str) -> Self:
        return replace(self, findings=tuple(of for of in self.findings if of.id != id))

    def checked(self) -> Self:
        """Itself. Raises UserError if it could not be saved and opened again."""
        if len(self.findings) > MOST_FINDINGS:
            raise UserError(f"A report has at most {MOST_FINDINGS} findings: remove one first.")
        if any(len(getattr(self, name) or "") > _LONGEST for name in (*_LINES, *TEXTS)):
            raise UserError(f"A section has at most {_LONGEST:,} characters.")
        if self.size > _ROOM * MOST_BYTES:
            most = MOST_BYTES // 10**6
            raise UserError(f"A report can hold at most {most} MB: remove a finding first.")
        return self

    def to_dict(self) -> dict:
        values = {of.name: getattr(self, of.name) for of in fields(self) if of.name != "findings"}
        made = [
            {"id": of.id, "title": of.title, "words": of.words, "view": of.view}
            | {"result": json.loads(of.content)}
            for of in self.findings
        ]
        return {"patchboard": "report"} | values | {"findings": made}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_dict(cls, data: Mapping) -> Self:
        """The inverse of `to_dict`. Raises UserError for what is of another shape."""
        texts = dict.fromkeys((*_LINES, *TEXTS), str) | {"method": Maybe(str)}
        finding = {"id": str, "title": str, "words": str, "view": str, "result": {}}
        check(data, texts | {"least": int, "most": int, "findings": [finding]})
        if not 0 <= data["least"] <= data["most"] < 10**6:
            raise UserError("Its word limits are not valid.")
        found = []
        for number, of in enumerate(data["findings"], start=1):
            try:
                made = findings.finding(json.dumps(of["result"], ensure_ascii=False), of["view"])
            except UserError as error:
                raise UserError(f"Its finding {number} is damaged. {error}") from error
            found.append(replace(made, title=of["title"], words=of["words"]))
        named = {name: data[name] for name in (*texts, "least", "most") if name in data}
        return cls(**named, findings=tuple(found)).checked()


def count(text: str) -> int:
    """The words of a text."""
    return len(_WORD.findall(text))
