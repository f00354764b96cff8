"""Result -> a picture of the heatmap to print, complete with title, labels and colour bar.

Apart from `core.views.heatmaps`: importing matplotlib takes half a second, and few sessions print.
"""

import io

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from core.question.metrics import METRICS
from core.question.tokens import visible
from core.result import Result
from core.views.words import (
    AWAY,
    NOTHING,
    NOTHING_ALPHA,
    TOWARDS,
    column_label,
    is_flipped,
    limits,
    short,
    summary,
    tick_step,
    wording,
)

matplotlib.rcParams["svg.hashsalt"] = "patchboard"  # the same result gives the same file

_DPI = 300
_MOST_INCHES = 20.0


def picture(result: Result, format: str) -> bytes:
    """The heatmap as a complete "png" (300 dpi) or "svg": title, labels and colour bar."""
    rows, columns = result.values.shape
    width = min(_MOST_INCHES, max(6.0, 1.8 + 0.62 * columns))
    height = min(_MOST_INCHES, max(4.0, 2.6 + 0.32 * rows))
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    lowest, highest = limits(result)
    image = axes.imshow(
        result.values,
        cmap=_printed_scale(flipped=is_flipped(result)),
        vmin=lowest,
        vmax=highest,
        aspect="auto",
        interpolation="nearest",
    )
    ticks = range(0, columns, tick_step(columns))
    labels = [_drawable(f"{column}\n{column_label(result, column)}") for column in ticks]
    turned = {"rotation": 90} if columns > 14 else {}
    axes.set_xticks(list(ticks), labels, fontsize=8, parse_math=False, **turned)
    axes.set_yticks(range(rows), result.rows, fontsize=8)
    axes.set_xlabel(f"{result.axes[1]}", fontsize=9)
    axes.set_ylabel("patched layer", fontsize=9)
    axes.set_title(_drawable(_title(result)), fontsize=9, loc="left", parse_math=False)
    baseline = result.baselines[result.experiment.metric]
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
    marks = {"clean": baseline.clean, "corrupted": baseline.corrupted}
    bar.set_ticks(list(marks.values()), labels=[f"{k} {v:.3f}" for k, v in marks.items()])
    bar.ax.tick_params(labelsize=8)
    bar.set_label(_drawable(wording(result)), fontsize=9, parse_math=False)
    file = io.BytesIO()
    figure.savefig(file, format=format, dpi=_DPI, metadata=_undated(format))
    return file.getvalue()


def _title(result: Result) -> str:
    experiment = result.experiment
    return (
        f"{METRICS[experiment.metric].title} after patching {summary(result)}"
        f" · {result.model.name}\n"
        f"clean: {visible(short(experiment.clean, 90))}\n"
        f"corrupted: {visible(short(experiment.corrupted, 90))}\n"
        f"{METRICS[experiment.metric].says}"
    )


def _undated(format: str) -> dict[str, None]:
    """The same result gives the same file: no date inside."""
    return {"Date": None} if format == "svg" else {}


def _printed_scale(flipped: bool) -> LinearSegmentedColormap:
    """The same scale on white paper."""
    low, high = (TOWARDS, AWAY) if flipped else (AWAY, TOWARDS)
    grey = [255 + (channel - 255) * NOTHING_ALPHA for channel in NOTHING]
    colours = [[channel / 255 for channel in colour] for colour in (low, grey, high)]
    return LinearSegmentedColormap.from_list("patchboard", colours)


def _drawable(text: str) -> str:
    """Characters that the picture's font lacks, as their code points instead of empty boxes."""
    glyphs = get_font(findfont(FontProperties()))
    return "".join(
        char if char == "\n" or glyphs.get_char_index(ord(char)) else f"\\u{ord(char):04x}"
        for char in text
    )
