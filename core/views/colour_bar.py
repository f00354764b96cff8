"""What is painted on a map, and what stands along its colour bar, whoever draws it.

There are two views of a result. "effect" shows what each patch did: blue and orange, no colour
for no effect. "assignment" shows what assignments on activation patching ask for: the layers
alone, the logit difference of foil and target, one sequential scale from the lowest to the
highest number.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Self

import numpy as np

from core.question.experiment import SIDES
from core.question.metrics import METRICS
from core.result import EMBEDDING, Map, Result
from core.views import colours
from core.views.colours import Scale

VIEWS = {"effect": "Effect", "assignment": "As in the assignment"}
TIERS = 3  # lines of labels along a colour bar
_GAP = 1.0  # characters between two labels


@dataclass(frozen=True)
class Mark:
    """A label of a colour bar: at a place from 0 to 1, in a line below it that counts from 0; the
    label begins, is centred or ends there, as `anchor` says: "left", "center" or "right"."""

    at: float
    text: str
    tier: int
    anchor: str

    def span(self, room: float) -> tuple[float, float]:
        """Where the label begins and ends along a bar of `room` characters."""
        before = {"left": 0.0, "center": 0.5, "right": 1.0}[self.anchor] * len(self.text)
        return self.at * room - before, self.at * room - before + len(self.text)

    def meets(self, other: Self, room: float) -> bool:
        (left, right), (other_left, other_right) = self.span(room), other.span(room)
        close = right + _GAP > other_left and other_right + _GAP > left
        return self.tier == other.tier and close


@dataclass(frozen=True, eq=False)
class Painting:
    """A map ready to be drawn: `result` is what is on it, all of it or its layers alone; `values`
    times `sign` rise from left to right on its `scale`."""

    result: Map
    scale: Scale
    ends: tuple[float, float]  # the values at the left and the right end of the colour bar

    @property
    def sign(self) -> int:
        return 1 if self.ends[0] < self.ends[1] else -1

    @property
    def limits(self) -> tuple[float, float]:
        """The ends as what is drawn has them: the left one is the lower."""
        return self.ends[0] * self.sign, self.ends[1] * self.sign

    @property
    def drawn(self) -> np.ndarray:
        return self.result.values * self.sign

    def marks(self, room: float) -> tuple[Mark, ...]:
        return marks(self.ends, runs_of(self.result), room)


def paint(
    result: Map, view: str = "effect", reach: float | None = None, beside: Sequence[Map] = ()
) -> Painting:
    """`result`, of two axes, in one of `VIEWS`; of the effect on one scale with the maps `beside`
    it, or as far on either side as `reach` says."""
    if view == "effect":
        return _effect(result, reach, (result, *beside))
    result = layers_alone(result)
    known = result.values[np.isfinite(result.values)]
    lowest, highest = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    return Painting(result, colours.SEQUENTIAL, (lowest, max(highest, lowest + 1e-6)))


def _effect(result: Map, reach: float | None, maps: Sequence[Map]) -> Painting:
    """The colours go as far on either side of no effect; of them stands on the bar what one of the
    maps or of their runs has or, up to a given reach, what the metric can be."""
    left, right = colours.limits(result, reach or max(map(colours.reach, maps)))
    low, high = METRICS[result.experiment.metric].within
    if reach is None:
        known = [of.values[np.isfinite(of.values)].ravel() for of in maps]
        shown = np.concatenate([*known, *([*runs_of(of).values()] for of in maps)])
        low, high = float(shown.min()), float(shown.max())
    ends = [min(max(end, low), high) for end in (left, right)]
    if abs(ends[1] - ends[0]) < abs(right - left) / 20:  # so little that its numbers would be noise
        ends = [left, right]
    places = [(end - left) / (right - left) for end in ends]
    return Painting(result, colours.part(colours.scale(result), *places), tuple(ends))


def on_one_scale(result: Map, maps: Iterable[Map]) -> list[Map]:
    """Of maps that stand side by side those that share the scale of one of them: their numbers are
    of the same metric, and their cells of the same kind."""
    asked = result.axes, result.experiment.metric
    return [of for of in maps if (of.axes, of.experiment.metric) == asked]


def layers_alone(result: Result) -> Result:
    """The logit difference of the layers, without the embedding."""
    first = int(result.rows[0] == EMBEDDING)
    return replace(
        result,
        experiment=replace(result.experiment, metric="logit_diff", embedding=False),
        rows=result.rows[first:],
        grids={"logit_diff": result.grids["logit_diff"][first:]},
    )


def runs_of(result: Map) -> dict[str, float]:
    """The plain runs that a map has to do with, and their values: an ablation with one alone."""
    runs = SIDES if result.other else (result.unpatched,)
    return {run: result.plain(result.experiment.metric, run) for run in runs}


def marks(ends: tuple[float, float], runs: dict[str, float], room: float) -> tuple[Mark, ...]:
    """The labels of a colour bar between `ends` that has room for so many characters (28 at the
    least): numbers at both ends and at 0, and below them the `runs` at their values. No label
    meets another or stands out over an end, and on a longer bar they only move apart."""
    left, right = ends
    said = [0.0 if abs(end) < 1e-6 * abs(right - left) else end for end in ends]
    fixed = (Mark(0.0, f"{said[0]:z.4g}", 0, "left"), Mark(1.0, f"{said[1]:z.4g}", 0, "right"))
    valued = {run: f"{run} {value:z.4g}" for run, value in runs.items()}
    for names in (valued, {run: run for run in runs}):  # names alone where many digits are in need
        texts = [("0", 0.0, 0), *((name, runs[run], 1) for run, name in names.items())]
        placed = [(text, round((at - left) / (right - left), 6), tier) for text, at, tier in texts]
        ways = [
            list(_ways(text, at, tier, room))
            for text, at, tier in placed
            if (0 <= at <= 1 if tier else 0 < at < 1)  # the ends have their numbers
        ]
        for loose in product(*ways):
            found = (*fixed, *loose)
            if not any(a.meets(b, room) for i, a in enumerate(found) for b in found[:i]):
                return found
    return fixed


def _ways(text: str, at: float, first: int, room: float) -> Iterator[Mark]:
    """How a label can stand, the best way first: high up and centred."""
    for tier, anchor in product(range(first, TIERS), ("center", "left", "right")):
        mark = Mark(at, text, tier, anchor)
        begins, ends = mark.span(room)
        if begins >= 0 and ends <= room:
            yield mark
