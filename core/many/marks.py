"""Roles marked in a text: `[S1:John]` names what stands between the brackets.

The brackets are no part of the text. A bracket that is one is written `\\[` or `\\]`; backslashes
before a bracket count in twos, as one each. A text that begins as a spreadsheet's formula does,
with = + - or @, is written `\\=...`, so that none is run. Elsewhere backslashes are what they are.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import UserError

_BRACKET = re.compile(r"(?<!\\)(\\*)([\[\]])")
_FORMULA = re.compile(r"\\*[=+\-@\t\r]")
_NAME = re.compile(r"([^\[\]:\\\n]{1,40}):")


@dataclass(frozen=True)
class Span:
    """What a text calls `name`: its characters from `start` up to `end`, brackets taken out."""

    name: str
    start: int
    end: int


def parse(text: str) -> tuple[str, tuple[Span, ...]]:
    """The text without its marks, and what they name, in reading order.

    Raises UserError for a bracket without its other half, one within another, and for a role
    without a name, without a text or named twice.
    """
    pieces: list[str] = []
    spans: dict[str, Span] = {}
    size, at = 0, int(text[:1] == "\\" and bool(_FORMULA.match(text)))  # without marks; in `text`
    name, start = "", 0  # of the role that is open

    def add(piece: str) -> None:
        nonlocal size
        pieces.append(piece)
        size += len(piece)

    for bracket in _BRACKET.finditer(text, at):
        add(text[at : bracket.start()] + bracket[1][: len(bracket[1]) // 2])
        at = bracket.end()
        where = f"Character {at:,} is a {bracket[2]}"
        literal = f"A bracket that belongs to the text is written \\{bracket[2]}."
        if len(bracket[1]) % 2:
            add(bracket[2])
        elif bracket[2] == "]":
            if not name:
                raise UserError(f"{where} that closes no role. {literal}")
            if size == start:
                raise UserError(f"The role {name} marks no text: put a word after its colon.")
            spans[name] = Span(name, start, size)
            name = ""
        else:
            opened = _NAME.match(text, at)
            found = opened[1].strip() if opened else ""
            if name:
                raise UserError(f"{where} within the role {name}: roles stand side by side.")
            if not found:
                raise UserError(
                    f"{where} that names no role, as [S1:John] does, in at most 40 characters."
                    f" {literal}"
                )
            if found in spans:
                raise UserError(f"The role {found} is marked twice: number them.")
            name, start, at = found, size, opened.end()
    if name:
        raise UserError(f"The role {name} is opened with a [ that no ] closes.")
    add(text[at:])
    return "".join(pieces), tuple(spans.values())


def write(text: str, spans: Sequence[Span]) -> str:
    """The inverse of `parse`."""
    marked, at = "", 0
    for span in spans:
        marked += _before_bracket(text[at : span.start]) + f"[{span.name}:"
        marked += _before_bracket(text[span.start : span.end]) + "]"
        at = span.end
    marked += _escaped(text[at:])
    return f"\\{marked}" if _FORMULA.match(marked) else marked


def _escaped(text: str) -> str:
    return _BRACKET.sub(lambda bracket: f"{bracket[1] * 2}\\{bracket[2]}", text)


def _before_bracket(text: str) -> str:
    """`text`, escaped, for a bracket that is a mark to follow."""
    kept = text.rstrip("\\")
    return _escaped(kept) + text[len(kept) :] * 2
