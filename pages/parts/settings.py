"""What whoever serves Patchboard can set, by environment variables.

The app reads them here and nowhere else; where the models are, and how many threads compute, is
set alike (`core.models`, `core.engine.work`). Each is read when it is asked for. Those of this
table are what `docs/serving.md` documents.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from reprlib import repr as brief
from typing import Any

from core.engine import work
from core.errors import UserError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_NOTHING = 1 << 62  # where a system does not tell how much memory it has


def _count(text: str) -> int:
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
        raise ValueError("a whole number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        raise ValueError("a number of seconds, such as 15 or 0.5")
    return float(text)


def _bytes(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([kmgt]?)b?", text.lower())
    if not found or not (size := int(float(found[1]) * _UNITS[found[2]])):
        raise ValueError("a size, such as 500MB or 8GB")
    return size


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True)
class Setting:
    """An environment variable: how it is read, what holds where it is not set, and what it does."""

    reads: Callable[[str], Any]
    usual: Any  # or a function that finds it
    says: str


SETTINGS = {
    "PATCHBOARD_MEMORY": Setting(
        _bytes,
        lambda: (work.whole_memory() or _NOTHING) // 2,
        "bytes for models and all that is kept of all sessions; half of the machine's memory, or of"
        " its container's",
    ),
    "PATCHBOARD_SESSION_MEMORY": Setting(_bytes, 1 << 30, "of these, bytes for one session; 1 GiB"),
    "PATCHBOARD_FREE_SECONDS": Setting(
        _seconds, 15.0, "of work that a page begins without being asked for it; 15"
    ),
    "PATCHBOARD_LINK_SECONDS": Setting(
        _seconds, 5.0, "the same of a link that has just been opened; 5"
    ),
    "PATCHBOARD_SESSION_SECONDS": Setting(
        _seconds, None, "of work in an hour for one session, asked for or not; as many as there are"
    ),
    "PATCHBOARD_SESSIONS": Setting(_count, None, "how many sessions at once; any number"),
    "PATCHBOARD_LONGEST": Setting(_count, None, "tokens of the longest text; what the model takes"),
    "PATCHBOARD_ALLOWED": Setting(
        _names, (), "the models that are offered, with commas between them; all"
    ),
    "PATCHBOARD_STATUS": Setting(
        _seconds, None, "seconds between two status lines in the log; none are written"
    ),
}


def setting(variable: str) -> Any:
    """What a variable of SETTINGS says, or what holds where it is not set. Raises UserError for a
    value that means nothing."""
    of = SETTINGS[variable]
    text = os.environ.get(variable, "").strip()
    if not text:
        return of.usual() if callable(of.usual) else of.usual
    try:
        return of.reads(text)
    except ValueError as error:
        raise UserError(f"{variable} is {brief(text)}: it takes {error}.") from None


def check() -> None:
    """Raises UserError for the first that means nothing."""
    for variable in SETTINGS:
        setting(variable)
