"""How a map looks, whoever draws it: its colours, its words and its labels.

One colour scale for every metric and direction, readable on a light and on a dark page: no colour
where the patch changed nothing, blue where it moved the prediction towards the other run, orange
where it moved it away. Full blue is all the way.
"""

import numpy as np

from core.question.metrics import METRICS
from core.result import Result

AWAY = (200, 90, 10)
TOWARDS = (20, 90, 200)
PATCHED = (125, 85, 165)
NOTHING = (128, 128, 128)
NOTHING_ALPHA = 0.10

_LONGEST_LABEL = 24
_MOST_TICKS = 64


def wording(result: Result) -> str:
    """The experiment's metric as a formula with both tokens spelled out."""
    return formula(result, result.experiment.metric)


def formula(result: Result, metric: str) -> str:
    """A metric as a formula with both tokens spelled out."""
    tokens = {"target": result.target.label, "foil": result.foil.label}
    return METRICS[metric].formula.format(**tokens)


def summary(result: Result) -> str:
    """What was patched, with what and into what."""
    experiment = result.experiment
    window = f", {experiment.window} layers more on either side" if experiment.window else ""
    return (
        f"{experiment.site}{window}: {result.patched_with} into the {result.unpatched} run"
        f" ({experiment.direction})"
    )


def reach(result: Result) -> float:
    """How far from a cell without effect the other run, or the strongest cell, is."""
    baseline = result.baselines[result.experiment.metric]
    finite = result.values[np.isfinite(result.values)]
    values = np.append(finite, getattr(baseline, result.other))
    return max(float(np.abs(values - getattr(baseline, result.unpatched)).max()), 1e-6)


def limits(result: Result, within: float | None = None) -> tuple[float, float]:
    """The ends of the colour scale, with a cell without effect in the middle."""
    baseline = result.baselines[result.experiment.metric]
    centre, within = getattr(baseline, result.unpatched), within or reach(result)
    return centre - within, centre + within


def is_flipped(result: Result) -> bool:
    """Whether towards the other run means downwards."""
    baseline = result.baselines[result.experiment.metric]
    return getattr(baseline, result.other) < getattr(baseline, result.unpatched)


def column_label(result: Result, column: int) -> str:
    """A head, or the token at a position: both, one under the other, where the texts differ."""
    if result.axes[1] != "position":
        return f"head {column}"
    labels = (result.clean[column].label, result.corrupted[column].label)
    return "\n".join(short(label) for label in dict.fromkeys(labels))


def tick_step(positions: int) -> int:
    """Every how many positions there is room for a label."""
    return -(-positions // _MOST_TICKS)


def short(text: str, longest: int = _LONGEST_LABEL) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
