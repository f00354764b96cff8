"""Reports on the disk of this machine, each under its key, so that they outlive the server.

They are there for whoever has the key, in PATCHBOARD_REPORTS or else in a folder of the cache; if
that is set to nothing, none are. What cannot be written there is kept by the server alone, as
before.
"""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from core.errors import UserError
from core.report.notebook import Report
from core.views.checked import parse
from mingpt import files, places
from mingpt.repository import HubError

_MOST, _BUDGET = 1000, 1 << 30  # reports, and bytes of all of them


def is_there() -> bool:
    """Whether reports are kept on a disk at all."""
    return _shelf() is not None


def save(key: str, report: Report) -> None:
    """Keep a report under a key of letters and digits; those that were not saved for longest go, if
    it is too much."""
    if (shelf := _shelf()) is None:
        return
    with suppress(OSError):
        shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files.beside(shelf / f"{key}.json") as made:
            made.write_text(report.to_json(), "utf-8", "backslashreplace")
        kept = sorted(shelf.glob("*.json"), key=lambda path: path.stat().st_mtime)
        while len(kept) > _MOST or sum(path.stat().st_size for path in kept) > _BUDGET:
            kept.pop(0).unlink()


def load(key: str) -> Report | None:
    """The report under a key, its findings called as they were, if it is there."""
    if (shelf := _shelf()) is None:
        return None
    with suppress(OSError, ValueError, UserError):
        data = parse(files.read(shelf / f"{key}.json"))
        report = Report.from_dict(data)
        named = zip(report.findings, data["findings"], strict=True)
        return replace(report, findings=tuple(replace(of, id=kept["id"]) for of, kept in named))
    return None


def _shelf() -> Path | None:
    own = os.environ.get("PATCHBOARD_REPORTS")
    if own is not None:
        return Path(own).expanduser() if own else None
    with suppress(HubError):
        return places.cache_folder() / "reports"
    return None
