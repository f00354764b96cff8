"""The code behind a finding, and what of it is another than that of the findings before it."""

from collections.abc import Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from core.errors import UserError
from core.report.figures import of_which
from core.report.findings import Finding
from core.result import Result
from core.views import code

if TYPE_CHECKING:  # which needs torch
    from core.models import LoadedModel


def programs(of: Finding, model: "LoadedModel") -> dict[str, str]:
    """The programs that compute the maps of a finding on its model, by the names of their files,
    which are like those of the maps' data; none where there are no maps, or no program of them."""
    made = {}
    for name, shown in of.opened.maps.items():
        if isinstance(shown, Result):
            with suppress(UserError):
                source = code.script(code.plain(shown.experiment, model, shown.at_position))
                made[f"program{of_which(name)}.py"] = source
    return made


@dataclass(frozen=True)
class Printed:
    """A program as it is printed after others: whole or, where it is much like that of `like`, as
    the `lines` that are others, each with - before it (as there) or + (as here)."""

    lines: list[str]
    like: Hashable | None = None


def printed(programs: Iterable[tuple[Hashable, str]]) -> dict[Hashable, Printed]:
    """Programs, each with what tells it from the others, none of them written twice."""
    whole: dict[Hashable, str] = {}
    made, before = {}, {}
    for which, source in programs:
        if source in before:
            made[which] = Printed([], before[source])
            continue
        before[source] = which
        changes = {like: _changes(other, source) for like, other in whole.items()}
        like = min(changes, key=lambda of: len(changes[of]), default=None)
        if like is not None and len(changes[like]) < len(source.splitlines()) / 2:
            made[which] = Printed(changes[like], like)
        else:
            whole[which] = source
            made[which] = Printed(source.splitlines())
    return made


def _changes(one: str, other: str) -> list[str]:
    """The lines in which two programs differ, in their order."""
    before, after, found = one.splitlines(), other.splitlines(), []
    for kind, i, i_end, j, j_end in SequenceMatcher(None, before, after, False).get_opcodes():
        if kind != "equal":
            found += [f"- {line}" for line in before[i:i_end]]
            found += [f"+ {line}" for line in after[j:j_end]]
    return found
