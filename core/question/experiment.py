"""Experiment: what a person asks, as one frozen value.

It is the cache key, the link in the address bar and the head of every exported file. It knows the
names of metrics, sites and directions, but neither whether its texts can be used
(`core.question.pair`) nor whether its model exists (`core.catalogue`).
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from reprlib import repr as brief  # a link may hold thousands of digits
from typing import Self

from core.errors import UserError
from core.question.metrics import METRICS
from core.question.sites import SITES


@dataclass(frozen=True)
class Direction:
    """Which run is patched, and with what."""

    title: str
    asks: str
    of_many: bool = False  # what is put in is taken from other pairs: of one alone there are none


DIRECTIONS = {
    "denoise": Direction(
        "Denoise", "Patch clean into corrupted: what is sufficient to restore the answer?"
    ),
    "noise": Direction("Noise", "Patch corrupted into clean: what is necessary for the answer?"),
    "zero": Direction(
        "Zero ablation", "Put zeros into the clean run: what does it rely on at all?"
    ),
    "position_mean": Direction(
        "Position mean ablation",
        "Put the mean over the text’s own positions into the clean run: what does it rely on?",
    ),
    "dataset_mean": Direction(
        "Dataset mean ablation",
        "Put the mean over all used pairs’ clean runs, at the same position or role, into the clean"
        " run: what of it that differs from pair to pair does the answer rely on?",
        of_many=True,
    ),
    "resample": Direction(
        "Resample ablation",
        "Put another pair’s activation, at the same position or role of its clean run, into the"
        " clean run: what of it that differs from pair to pair does the answer rely on?",
        of_many=True,
    ),
}
OF_ONE = tuple(name for name, direction in DIRECTIONS.items() if not direction.of_many)
RENAMED = {"mean": "position_mean"}  # as links, files and commands of before have it
SIDES = ("clean", "corrupted")  # the two texts, and the runs on them
CONTENDERS = ("target", "foil")  # the two tokens that compete to come next
TEXTS = (*SIDES, *CONTENDERS)
_FLAGS = {"0": False, "1": True}


@dataclass(frozen=True)
class Experiment:
    """One text pair, the two tokens that compete to come next, and how to patch and to measure.

    Raises UserError for a metric, direction or site that does not exist, and for an embedding
    row or a window where the site has none.
    """

    clean: str
    corrupted: str
    target: str
    foil: str
    model: str = "teaching"
    metric: str = "logit_diff"
    direction: str = "denoise"
    site: str = "resid_post"
    window: int = 0  # how many layers more on either side are patched with it (see Site.window)
    bos: bool = False  # begin both texts with <|endoftext|>
    embedding: bool = False  # also patch the input of block 0

    def __post_init__(self):
        object.__setattr__(self, "direction", RENAMED.get(self.direction, self.direction))
        for field, known in (("metric", METRICS), ("direction", DIRECTIONS), ("site", SITES)):
            value = getattr(self, field)
            if value not in known:
                raise UserError(
                    f"There is no {field} {brief(value)}: choose one of {', '.join(known)}.", field
                )

        if self.window < 0:
            raise UserError(f"A window is 0 or more layers, not {self.window}.", "window")
        if self.embedding and self.site != "resid_post":
            raise UserError(f"Only resid_post has an embedding row, not {self.site}.", "embedding")
        if self.window and not SITES[self.site].window:
            *some, last = (name for name, site in SITES.items() if site.window)
            raise UserError(
                f"Only {', '.join(some)} and {last} have a window, not {self.site}.", "window"
            )

    @property
    def sweep(self) -> Self:
        """The part of the experiment that decides what is computed, everything else blank: two
        experiments with equal `sweep` are two questions to the same stored states."""
        return replace(self, target="", foil="", metric="logit_diff")

    @property
    def texts(self) -> Self:
        """The part that decides both plain runs, everything else blank."""
        return type(self)(self.clean, self.corrupted, "", "", model=self.model, bos=self.bos)

    def to_dict(self) -> dict:
        return asdict(self)

    def without_texts(self) -> dict:
        """What is asked of many pairs, of which each has its own texts, target and foil."""
        return {name: value for name, value in asdict(self).items() if name not in TEXTS}

    @classmethod
    def from_dict(cls, values: Mapping) -> Self:
        """The inverse of `to_dict`; missing keys take their defaults, unknown ones are ignored."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    def to_query(self) -> dict[str, str]:
        """The experiment as the parameters of a link."""
        return {
            key: value if isinstance(value, str) else str(int(value))
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """The inverse of `to_query`. Raises UserError, naming the field, for a value that is not
        one, and TypeError if a text is missing."""
        values = dict(query)
        for name in ("bos", "embedding"):
            if name in values:
                if values[name] not in _FLAGS:
                    raise UserError(f"{name} is 0 or 1, not {brief(values[name])}.", name)
                values[name] = _FLAGS[values[name]]
        if "window" in values:
            if not re.fullmatch("[0-9]{1,9}", values["window"]):
                window = brief(values["window"])
                raise UserError(f"window is a number of layers, not {window}.", "window")
            values["window"] = int(values["window"])
        return cls.from_dict(values)
