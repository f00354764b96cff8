"""A file that was saved -> the page of the app it is of, and the numbers as they stand in it.

Read are all JSON files of ours, whichever function wrote them, and PNG and SVG pictures, which hold
the address of their page. A file may be anybody's: what is none of ours is refused in one sentence.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from html import unescape
from typing import Any, NamedTuple

from core.errors import UserError
from core.question.experiment import TEXTS, Experiment
from core.result import Map
from core.views import guesses, links, saved
from core.views.checked import check_size, parse
from core.weight import weigh

_PNG = b"\x89PNG\r\n\x1a\n"
_SVG_SOURCE = re.compile(rb"<dc:source>([^<]{1,200000})</dc:source>")
_PAGES = ("", "many", "components", "follow", "lens", "compare", "sets", "training")
_LONGEST_TEXT = 100_000
_KEPT = ("report", "history")  # by what a person does, not by a page


@dataclass(frozen=True)
class Opened:
    """What a file is of: the address of its page, and what it says. `kind` is "picture", "report",
    "history", or a name of what `data` holds."""

    name: str  # of the file
    kind: str
    page: str = ""
    query: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    found: Any = None  # what can be made of that without the model: see `core.views.saved`

    @cached_property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        return weigh(self.data, self.found)

    @property
    def maps(self) -> dict[str, Map]:
        """Those that can be drawn, each by what it is called beside the others."""
        if isinstance(self.found, Map):
            return {"": self.found}
        return self.found if isinstance(self.found, dict) else {}


class _Kind(NamedTuple):
    """A kind of our files: names that are in it, its page, and what makes something to look at of
    it, and of its page's address what an experiment does not say."""

    names: tuple[str, ...]
    page: str
    read: Callable[[dict], Any] = lambda data: None
    query: Callable[[dict], dict[str, Any]] = lambda data: {}


# The first whose names are all there is the kind of a file.
KINDS = {
    "maps": _Kind(("page", "maps"), "", saved.several),
    "paths": _Kind(
        ("experiment", "receiver", "frozen"),
        "follow",
        saved.paths,
        lambda data: {"trail": data["receiver"], "frozen": data["frozen"]},
    ),
    "lens": _Kind(("experiment", "lens"), "lens", saved.lenses),
    "many": _Kind(
        ("experiment", "n_given", "mean"),
        "many",
        saved.many,
        lambda data: {
            "keep": data["keep"],
            "of_ratios": str(int(data["recovery_is"] == "mean of ratios")),
            **(data.get("address") or {}),
        },
    ),
    "set": _Kind(
        ("experiment", "components", "joint"),
        "sets",
        saved.other,
        lambda data: {"set": " ".join(data["components"] or ())},
    ),
    "many sets": _Kind(
        ("experiment", "components", "n_given"),
        "sets",
        saved.other,
        lambda data: {"set": " ".join(data["components"] or ())},
    ),
    "continued": _Kind(
        ("experiment", "continued", "sampling"),
        "",
        saved.other,
        lambda data: {"write": str((data["sampling"] or {}).get("tokens", ""))},
    ),
    "map": _Kind(
        ("experiment", "axes", "metrics"),
        "",
        saved.result,
        lambda data: {"position": str(at)} if (at := data.get("at_position")) is not None else {},
    ),
    "other": _Kind(
        ("experiment", "model"), "", saved.other
    ),  # of a page that has no kind of its own
}
# What makes two files the answer to one question.
_ASKED = ("page", "experiment", "receiver", "frozen", "components", "keep", "axes", "at_position")
_ASKED += ("pairs", "address")
# What is a number and says nothing of what was measured.
_NOT_MEASURED = {"experiment", "model", "tokens", "target", "foil", "seconds", "bootstrap", "id"}
_NOT_MEASURED |= {"dropped", "line", "at_position", "at_column", "window", "patched_run", "texts"}
_NOT_MEASURED |= {"guess", "reach", "taken_from", "sampling", "intervals", "share_intervals"}


def read(content: bytes, name: str) -> Opened:
    """What a file is of. Raises UserError, in one sentence, for a file that is none of ours."""
    try:
        return _read(content, name)
    except UserError as error:
        raise UserError(f"“{name[:80]}” cannot be opened. {error}") from error


def _read(content: bytes, name: str) -> Opened:
    check_size(content)
    if content.startswith(_PNG):
        return _of_link(_png_source(content), name)
    if content.lstrip()[:1] == b"<":
        found = _SVG_SOURCE.search(content)
        return _of_link(found and unescape(found[1].decode("utf-8", "replace")), name)
    data = parse(content)
    if not isinstance(data, dict):
        raise UserError("It is not a file that Patchboard wrote.")
    if any(str(of).startswith("patchboard ") for of in data.values()):
        raise UserError("It is a worksheet, or answers to one: the page Worksheet opens it.")
    for kind in _KEPT:
        if data.get("patchboard") == kind:
            return Opened(name, kind, data=data)
    for kind, of in KINDS.items():
        if all(key in data for key in of.names):
            return _of_data(data, name, kind)
    raise UserError("It is not a file that Patchboard wrote, or not one that can be opened.")


def _of_data(data: dict, name: str, kind: str) -> Opened:
    of = KINDS[kind]
    found = of.read(data)
    first = next(iter(data["maps"].values())) if kind == "maps" else data
    asked = saved.experiment(first)
    _check_texts(asked)
    page = data["page"] if kind == "maps" else of.page
    if page not in _PAGES:
        raise UserError("It belongs to a page that does not exist.")
    query = asked.to_query() | of.query(data) | _guessed(data, found)
    for text in TEXTS:  # of many pairs there are none: those in the inputs stay
        if text not in first["experiment"]:
            del query[text]
    return Opened(name, kind, page, query, data, found)


def _guessed(data: dict, found: Any) -> dict[str, str]:
    """What was expected of a map before it was seen, as the address of its page says it."""
    if not (said := data.get("guess")) or not isinstance(found, Map) or len(found.axes) != 2:
        return {}
    guess, why = guesses.told(said, found)
    written = {} if guess.is_blank else {"guess": guess.written()}
    return {"predict": "1", "why": why, "seen": "1"} | written


def _of_link(link: str | None, name: str) -> Opened:
    if not link:
        raise UserError("It is a picture that does not say which experiment it shows.")
    page, query = links.parsed(link)
    if page not in _PAGES or not {*TEXTS, "site"} <= {*query}:
        raise UserError("It is a picture of something else.")
    _check_texts(Experiment.from_query(query))
    return Opened(name, "picture", page, query)


def _check_texts(asked: Experiment) -> None:
    if max(len(asked.clean), len(asked.corrupted)) > _LONGEST_TEXT:
        raise UserError("Its texts are longer than any model reads.")


def _png_source(content: bytes) -> str | None:
    """The text "Source" of a PNG, which is as matplotlib writes it: not compressed."""
    at = len(_PNG)
    while at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        text = content[at + 8 : at + 8 + size]
        if kind == b"tEXt" and text.startswith(b"Source\0"):
            return text.partition(b"\0")[2].decode("latin-1")
        at += 12 + size
    return None


# --- the numbers of two files ---------------------------------------------------------------------


class Apart(NamedTuple):
    """Where two files are furthest apart, and by how much."""

    at: str
    stored: float
    now: float
    compared: int  # numbers

    @property
    def difference(self) -> float:
        return abs(self.now - self.stored)


def same_question(one: dict, other: dict) -> bool:
    """Whether two of our JSON files are the answer to one question; several maps by theirs."""
    if ("maps" in one) != ("maps" in other):
        return False
    if "maps" in one:
        if one["page"] != other["page"] or {*one["maps"]} != {*other["maps"]}:
            return False
        return all(same_question(of, other["maps"][name]) for name, of in one["maps"].items())
    return all(one.get(name) == other.get(name) for name in _ASKED)


def apart(stored: dict, now: dict) -> Apart | None:
    """The largest difference between the numbers that two files have both measured; None if they
    have none in common."""
    again = dict(_numbers(now))
    both = [(at, value, again[at]) for at, value in _numbers(stored) if at in again]
    if not both:
        return None
    furthest = max(both, key=lambda of: abs(of[1] - of[2]))
    return Apart(*furthest, compared=len(both))


def measured(of: dict) -> list[tuple[str, float]]:
    """All numbers that a file has measured, each with where it stands in it."""
    return list(_numbers(of))


def _numbers(value: Any, at: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for name, of in value.items():
            if name not in _NOT_MEASURED:
                yield from _numbers(of, f"{at}, {name}" if at else name)
    elif isinstance(value, list):
        for i, of in enumerate(value):
            yield from _numbers(of, f"{at}[{i}]")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield at, value
