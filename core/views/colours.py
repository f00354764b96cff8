"""The colours of every figure, picture and page, and what they mean on a map.

Readable on a light and on a dark page. On every map of a result, no colour is no effect. Where
another run was put in, blue is towards it and orange away from it; an ablation puts in none, and
there blue is above the unpatched run and orange below it.

A scale goes from left to right and never flips: the clean run is always on the left of the
corrupted one, and where its value is the higher one the numbers descend. An ablation has one run
alone, which is in the middle, and its numbers always ascend.
"""

import numpy as np

from core.question.experiment import SIDES
from core.result import Map, PathMap
from core.views.doubts import matters

Colour = tuple[int, int, int]
Scale = tuple[tuple[float, Colour, float], ...]  # places from 0 to 1, their colour and opacity

BLUE: Colour = (20, 90, 200)
ORANGE: Colour = (200, 90, 10)
PURPLE: Colour = (125, 85, 165)
GREY: Colour = (128, 128, 128)
RED: Colour = (220, 50, 47)
DARK: Colour = (0, 0, 0)
LIGHT: Colour = (255, 255, 255)
# Of the texts in Plotly's figures. Streamlit puts the darkest grey of a light page, or the lightest
# of a dark one, in the place of this very colour; elsewhere it is all but black.
TEXT: Colour = (0, 0, 0x37)
RUNS = {"clean": BLUE, "patched": PURPLE, "corrupted": ORANGE}

# All but transparent in the middle, so that it fits a light and a dark page alike.
BLUE_UP: Scale = ((0.0, ORANGE, 1.0), (0.5, GREY, 0.1), (1.0, BLUE, 1.0))
BLUE_DOWN: Scale = ((0.0, BLUE, 1.0), (0.5, GREY, 0.1), (1.0, ORANGE, 1.0))
STRENGTH: Scale = ((0.0, GREY, 0.06), (1.0, BLUE, 1.0))  # of what begins at 0 and has no sign
# The same with nothing shining through, for cells with a text on them: see `readable_on`.
SOLID_STRENGTH: Scale = ((0.0, (216, 222, 232), 1.0), (1.0, BLUE, 1.0))
# Dark to light all the way, so that it says the same in grey.
SEQUENTIAL: Scale = (
    *((0.0, (68, 1, 84), 1.0), (0.25, (59, 82, 139), 1.0), (0.5, (33, 145, 140), 1.0)),
    *((0.75, (94, 201, 98), 1.0), (1.0, (253, 231, 37), 1.0)),
)


def scale(result: Map) -> Scale:
    """The scale of a map from left to right: blue on the side of the run that was put in."""
    return BLUE_DOWN if result.other == "clean" else BLUE_UP


def sign(result: Map) -> int:
    """-1 where the numbers descend from left to right, so that the clean run is on the left."""
    ends = (result.plain(result.experiment.metric, run) for run in SIDES)
    return -1 if result.other and next(ends) > next(ends) else 1


def reach(result: Map) -> float:
    """How far from a cell without effect the strongest cell is, or the run that was put in; at
    least as far as what matters, so that what does not is pale. Paths do a part of what the run
    that was put in does, which would leave all of them pale."""
    metric = result.experiment.metric
    values = result.values[np.isfinite(result.values)]
    if result.other and not isinstance(result, PathMap):
        values = np.append(values, result.plain(metric, result.other))
    return max(float(np.abs(values - result.plain(metric)).max(initial=0)), matters(result))


def limits(result: Map, within: float | None = None) -> tuple[float, float]:
    """The values at the left and the right end of the scale, `within` from a cell without effect,
    which is in the middle; the left one is the higher where the numbers descend."""
    centre, within = result.plain(result.experiment.metric), within or reach(result)
    return centre - sign(result) * within, centre + sign(result) * within


def part(scale: Scale, first: float, last: float) -> Scale:
    """What of a scale is between two of its places."""
    inner = [
        ((place - first) / (last - first), colour, opacity)
        for place, colour, opacity in scale
        if first < place < last
    ]
    return ((0.0, *at(scale, first)), *inner, (1.0, *at(scale, last)))


def at(scale: Scale, place: float) -> tuple[Colour, float]:
    """The colour and the opacity at a place from 0 to 1."""
    places, colours, opacities = zip(*scale, strict=True)
    colour = (np.interp(place, places, channel) for channel in zip(*colours, strict=True))
    return tuple(round(channel) for channel in colour), float(np.interp(place, places, opacities))


def luminance(colour: Colour) -> float:
    """The relative luminance that WCAG 2 defines, from 0 to 1."""
    shares = (channel / 255 for channel in colour)
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: Colour, other: Colour) -> float:
    """WCAG's ratio of two colours, from 1 to 21; a text needs 4.5 to its ground."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def readable_on(ground: Colour) -> Colour:
    """The colour of a text on `ground`: black or white, of which one always has 4.5."""
    return max(DARK, LIGHT, key=lambda colour: contrast(colour, ground))


def rgba(colour: Colour, opacity: float = 1.0) -> str:
    """A colour as Plotly and CSS write it."""
    return f"rgba{(*colour, opacity)}"


def hexadecimal(colour: Colour) -> str:
    return f"#{bytes(colour).hex()}"


def for_plotly(scale: Scale) -> list[tuple[float, str]]:
    return [(place, rgba(colour, opacity)) for place, colour, opacity in scale]


def on_paper(scale: Scale) -> list[tuple[float, tuple[float, ...]]]:
    """A scale as matplotlib writes it, on white and with no transparency."""
    return [
        (place, tuple(1 + (channel / 255 - 1) * opacity for channel in colour))
        for place, colour, opacity in scale
    ]


def css_properties() -> str:
    """Custom properties such as `--pb-clean: 20, 90, 200;`, for `rgba(var(--pb-clean), 0.3)`."""
    named = RUNS | {"grey": GREY, "problem": RED}
    return " ".join(f"--pb-{name}: {', '.join(map(str, rgb))};" for name, rgb in named.items())
