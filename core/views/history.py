"""What was asked, as a list to go back to: of each question its page, a picture and when it was.

A list can be kept as a file, which may come back as anybody's: what is read from it is checked, and
no text of it is ever markup.
"""

import base64
import re
import struct
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np

from core.errors import UserError
from core.many.answer import Answer
from core.question.experiment import DIRECTIONS, Experiment
from core.question.metrics import METRICS
from core.question.sites import SITES
from core.result import Map, PathMap
from core.views.checked import Each, check
from core.views.colour_bar import paint
from core.views.words import fold, plain

MOST = 30
_HIGHEST, _WIDEST = 32, 48  # cells of a thumbnail
_LONGEST_ADDRESS, _LONGEST_PICTURE = 20_000, 20_000  # characters
_PICTURE = re.compile(r"(data:image/png;base64,[A-Za-z0-9+/]+=*)?")
_BEFORE = "data:image/png;base64,"


@dataclass(frozen=True)
class Asked:
    """A question that was answered: the address of its page, what to call it, what it is about,
    when it was (ISO 8601, in UTC), and a small picture as a "data:" address, or "" for none."""

    page: str
    query: dict[str, str]
    title: str
    about: str
    when: str
    picture: str = ""

    @property
    def is_small(self) -> bool:
        return sum(map(len, self.query.values())) <= _LONGEST_ADDRESS


def asked(page: str, query: dict[str, str], when: datetime, shown: Map | None = None) -> Asked:
    """What the page at an address has answered, with the map that it has shown."""
    experiment = Experiment.from_query({name: query[name] for name in _FIELDS if name in query})
    metric, site = METRICS[experiment.metric].title.lower(), SITES[experiment.site].title
    what = f"{site}, {DIRECTIONS[experiment.direction].title.lower()}, {metric}"
    about = f"{plain(experiment.clean)} / {plain(experiment.corrupted)}"
    if isinstance(shown, Answer):
        what, about = f"many pairs, {what}", shown.used
    else:
        if isinstance(shown, PathMap):
            what = f"paths into {shown.receiver}, {metric}"
        elif page:
            what = f"{page}, {metric}"
        what = f"{plain(experiment.target).strip()} or {plain(experiment.foil).strip()}: {what}"
    return Asked(
        page,
        query,
        what[:1].upper() + what[1:],
        fold(about, 120, 1)[0],
        when.isoformat("T", "seconds"),
        "" if shown is None else thumbnail(shown),
    )


_FIELDS = Experiment("", "", "", "").to_dict()


def remember(before: Iterable[Asked], new: Asked, at_a_look: Iterable[str]) -> tuple[Asked, ...]:
    """The list with a new question first, in place of the same one looked at in another way, which
    the names `at_a_look` of an address say. The oldest go, and an address too long to keep is left
    out."""
    if not new.is_small:
        return tuple(before)
    look = {*at_a_look}

    def question(of: Asked) -> tuple:
        return of.page, {name: value for name, value in of.query.items() if name not in look}

    others = (of for of in before if question(of) != question(new))
    return (new, *others)[:MOST]


def to_dict(entries: Iterable[Asked]) -> dict:
    return {"patchboard": "history", "asked": [asdict(of) for of in entries]}


def from_dict(data: dict) -> tuple[Asked, ...]:
    """The inverse of `to_dict`. Raises UserError for what is of another shape."""
    text = dict.fromkeys(("page", "title", "about", "when", "picture"), str)
    check(data, {"asked": [text | {"query": Each(str)}]})
    found = [Asked(**{name: of[name] for name in (*text, "query")}) for of in data["asked"][:MOST]]
    for of in found:
        try:
            datetime.fromisoformat(of.when)
        except ValueError as error:
            raise UserError("One of its questions has no valid time.") from error
        is_picture = len(of.picture) <= _LONGEST_PICTURE and _PICTURE.fullmatch(of.picture)
        if not (is_picture and of.is_small):
            raise UserError("It has a picture or an address that is not one of ours.")
    return tuple(found)


def thumbnail(shown: Map) -> str:
    """The colours of a map as a PNG with a pixel for each cell, as a "data:" address; of a large
    map only some of its cells."""
    if len(shown.axes) == 3:  # of heads by position, the map of the last one
        shown = shown.at(len(shown.columns) - 1 if isinstance(shown, Answer) else -1)
    painting = paint(shown)
    values = painting.drawn
    steps = (-(-size // most) for size, most in zip(values.shape, (_HIGHEST, _WIDEST), strict=True))
    values = values[tuple(slice(None, None, step) for step in steps)]
    low, high = painting.limits
    places = np.clip((values - low) / (high - low), 0, 1)
    at, colours, opacities = zip(*painting.scale, strict=True)
    channels = [*zip(*colours, strict=True), [255 * opacity for opacity in opacities]]
    pixels = np.stack([np.interp(places, at, channel) for channel in channels], axis=-1)
    pixels[~np.isfinite(values)] = 0
    return _BEFORE + base64.b64encode(_png(pixels.round().astype(np.uint8))).decode()


def _png(pixels: np.ndarray) -> bytes:
    """Pixels (rows, columns, RGBA) as a PNG file."""
    rows, columns, _ = pixels.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 6, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
