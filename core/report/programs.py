"""The code behind a finding, and what of it is another than that of the findings before it."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from core.errors import UserError
from core.report.findings import Finding
from core.result import Result
from core.views import code

if TYPE_CHECKING:  # which needs torch
    from core.models import LoadedModel


def program(of: Finding, model: "LoadedModel") -> str:
    """The program that computes the map of a finding on its model, of several maps the first; ""
    if there is none."""
    shown = next(iter(of.opened.maps.values()), None)
    if not isinstance(shown, Result):
        return ""
    try:
        return code.script(code.plain(shown.experiment, model, shown.at_position))
    except UserError:
        return ""


@dataclass(frozen=True)
class Printed:
    """A program as it is printed after others: whole or, where it is much like that of finding
    `like`, as the `lines` that are others, each with - before it (as there) or + (as here)."""

    lines: list[str]
    like: int | None = None


def printed(programs: Iterable[tuple[int, str]]) -> dict[int, Printed]:
    """Programs, each with the number of its finding, none of them written twice."""
    whole: dict[int, str] = {}
    made, before = {}, {}
    for number, source in programs:
        if source in before:
            made[number] = Printed([], before[source])
            continue
        before[source] = number
        changes = {like: _changes(other, source) for like, other in whole.items()}
        like = min(changes, key=lambda of: len(changes[of]), default=None)
        if like is not None and len(changes[like]) < len(source.splitlines()) / 2:
            made[number] = Printed(changes[like], like)
        else:
            whole[number] = source
            made[number] = Printed(source.splitlines())
    return made


def _changes(one: str, other: str) -> list[str]:
    """The lines in which two programs differ, in their order."""
    before, after, found = one.splitlines(), other.splitlines(), []
    for kind, i, i_end, j, j_end in SequenceMatcher(None, before, after, False).get_opcodes():
        if kind != "equal":
            found += [f"- {line}" for line in before[i:i_end]]
            found += [f"+ {line}" for line in after[j:j_end]]
    return found
