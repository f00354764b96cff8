"""The colours of every figure, picture and page, and what they mean on a map.

Readable on a light and on a dark page. On every map of a result, no colour is no effect. Where
another run was put in, blue is towards it and orange away from it; an ablation puts in none, and
there blue is above the unpatched run and orange below it.
"""

import numpy as np

from core.result import Result
from core.views.doubts import matters

Colour = tuple[int, int, int]
Scale = tuple[tuple[float, Colour, float], ...]  # places from 0 to 1, their colour and opacity

BLUE: Colour = (20, 90, 200)
ORANGE: Colour = (200, 90, 10)
PURPLE: Colour = (125, 85, 165)
GREY: Colour = (128, 128, 128)
RED: Colour = (220, 50, 47)
DARK: Colour = (17, 17, 17)
LIGHT: Colour = (255, 255, 255)
RUNS = {"clean": BLUE, "patched": PURPLE, "corrupted": ORANGE}

# All but transparent in the middle, so that it fits a light and a dark page alike.
BLUE_UP: Scale = ((0.0, ORANGE, 1.0), (0.5, GREY, 0.1), (1.0, BLUE, 1.0))
BLUE_DOWN: Scale = ((0.0, BLUE, 1.0), (0.5, GREY, 0.1), (1.0, ORANGE, 1.0))
STRENGTH: Scale = ((0.0, GREY, 0.06), (1.0, BLUE, 1.0))  # of what begins at 0 and has no sign


def scale(result: Result) -> Scale:
    """The scale of a map: blue at the end where the run lies that was put in."""
    metric = result.experiment.metric
    downwards = result.other and result.plain(metric, result.other) < result.plain(metric)
    return BLUE_DOWN if downwards else BLUE_UP


def reach(result: Result) -> float:
    """How far from a cell without effect the strongest cell is, or the run that was put in; at
    least as far as what matters, so that what does not is pale."""
    metric = result.experiment.metric
    values = result.values[np.isfinite(result.values)]
    if result.other:
        values = np.append(values, result.plain(metric, result.other))
    return max(float(np.abs(values - result.plain(metric)).max(initial=0)), matters(result))


def limits(result: Result, within: float | None = None) -> tuple[float, float]:
    """The ends of the scale, `within` from a cell without effect, which is in the middle."""
    centre, within = result.plain(result.experiment.metric), within or reach(result)
    return centre - within, centre + within


def rgba(colour: Colour, opacity: float = 1.0) -> str:
    """A colour as Plotly and CSS write it."""
    return f"rgba{(*colour, opacity)}"


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
