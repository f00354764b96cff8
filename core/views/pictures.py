"""Result -> a picture of the heatmap to print, complete with title, labels and colour bar.

Apart from `core.views.heatmaps`: importing matplotlib takes half a second, and few sessions print.
"""

import io
import textwrap

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from core.question.metrics import METRICS
from core.question.tokens import visible
from core.result import Result
from core.views.colours import limits, on_paper, scale
from core.views.words import colours_mean, column_label, marks, short, summary, tick_step, wording

matplotlib.rcParams["svg.hashsalt"] = "patchboard"  # the same result gives the same file
matplotlib.rcParams["svg.fonttype"] = "none"  # texts stay texts, to be searched and edited

_DPI = 300
_MOST_INCHES = 20.0
_CHARACTERS_AN_INCH = 14  # of a title


def picture(result: Result, format: str) -> bytes:
    """The heatmap as a complete "png" (300 dpi) or "svg": title, labels and colour bar."""
    rows, columns = result.values.shape
    width = min(_MOST_INCHES, max(6.0, 1.8 + 0.62 * columns))
    height = min(_MOST_INCHES, max(4.4, 3.0 + 0.32 * rows))
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    lowest, highest = limits(result)
    image = axes.imshow(
        result.values,
        cmap=LinearSegmentedColormap.from_list("patchboard", on_paper(scale(result))),
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
    title = _drawable(_title(result, int(width * _CHARACTERS_AN_INCH)))
    figure.suptitle(title, x=0.01, ha="left", fontsize=9, parse_math=False)
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
    marked = marks(result, lowest, highest)
    bar.set_ticks(list(marked), labels=list(marked.values()))
    bar.ax.tick_params(labelsize=8)
    bar.set_label(_drawable(wording(result)), fontsize=9, parse_math=False)
    file = io.BytesIO()
    undated = {"Date": None} if format == "svg" else {}  # the same result gives the same file
    figure.savefig(file, format=format, dpi=_DPI, metadata=undated)
    return file.getvalue()


def _title(result: Result, width: int) -> str:
    """Which experiment this is and how to read it, in lines of at most `width` characters."""
    experiment, metric = result.experiment, METRICS[result.experiment.metric]
    lines = (
        f"{metric.title} after patching {summary(result)} · {result.model.name}",
        f"clean: {visible(short(experiment.clean, 90))}",
        f"corrupted: {visible(short(experiment.corrupted, 90))}",
        metric.says,
        colours_mean(result),
    )
    return "\n".join(textwrap.fill(line, width) for line in lines)


def _drawable(text: str) -> str:
    """Characters that the picture's font lacks, as their code points instead of empty boxes."""
    glyphs = get_font(findfont(FontProperties()))
    return "".join(
        char if char == "\n" or glyphs.get_char_index(ord(char)) else f"\\u{ord(char):04x}"
        for char in text
    )
