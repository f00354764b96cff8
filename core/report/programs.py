"""The code behind a finding."""

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
