"""The code behind a finding, where this version of Patchboard can write it."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from core.errors import UserError
from core.report.findings import Finding
from core.result import Result

if TYPE_CHECKING:  # which needs torch
    from core.models import LoadedModel

_WRITER = "core.views.code"


def program(of: Finding, model: "LoadedModel") -> str:
    """The program that computes the map of a finding on its model; "" if there is none."""
    shown = of.opened.found
    if not isinstance(shown, Result) or find_spec(_WRITER) is None:
        return ""
    code = import_module(_WRITER)
    try:
        return code.script(code.plain(shown.experiment, model, shown.at_position))
    except UserError:
        return ""
