"""Result -> a Plotly figure to hover and click, or a picture to print.

One colour scale for every metric and direction, readable on a light and on a dark page: no colour
where the patch changed nothing, blue where it moved the prediction towards the other run, orange
where it moved it away. Full blue is all the way.
"""

import io
from html import escape

import matplotlib
import numpy as np
import plotly.graph_objects as go
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from core.metrics import METRICS
from core.result import Ranked, Result
from core.tokens import visible

matplotlib.rcParams["svg.hashsalt"] = "patchboard"  # the same result gives the same file

AWAY = (200, 90, 10)
TOWARDS = (20, 90, 200)
PATCHED = (125, 85, 165)
_NOTHING = (128, 128, 128)
_NOTHING_ALPHA = 0.10

# An invisible marker over each cell makes it clickable; beyond this many the browser would lag.
_CLICKABLE_CELLS = 5000
_LONGEST_LABEL = 24
_MOST_TICKS = 64
_CELL_HEIGHT = 34  # pixels
_LEAST_CELL_HEIGHT = 14
_GRID_HEIGHT = 480
_ABOVE_GRID = 92  # position numbers, then the colour bar with its title and ticks
_BELOW_GRID = 90

_DPI = 300
_MOST_INCHES = 20.0


def wording(result: Result) -> str:
    """The experiment's metric as a formula with both tokens spelled out."""
    return _formula(result, result.experiment.metric)


def _formula(result: Result, metric: str) -> str:
    formula = METRICS[metric].formula
    return formula.format(target=result.target.label, foil=result.foil.label)


def summary(result: Result) -> str:
    """What was patched, with what and into what."""
    experiment = result.experiment
    window = f", {experiment.window} layers more on either side" if experiment.window else ""
    return (
        f"{experiment.site}{window}: {result.patched_with} into the {result.unpatched} run"
        f" ({experiment.direction})"
    )


def heatmap(
    result: Result, selected: tuple[int, int] | None = None, reach: float | None = None
) -> go.Figure:
    """The grid of two axes, layers down, positions or heads across; `selected` is outlined.
    `reach` is how far the colours go on either side, so that maps can share a scale."""
    rows, columns = result.values.shape
    clickable = rows * columns <= _CLICKABLE_CELLS
    hover = {"customdata": _hover_fields(result), "hovertemplate": _hover_template(result)}
    cell = min(_CELL_HEIGHT, max(_LEAST_CELL_HEIGHT, _GRID_HEIGHT // rows))
    figure = go.Figure(
        go.Heatmap(
            z=result.values,
            **dict(zip(("zmin", "zmax"), _limits(result, reach), strict=True)),
            colorscale=_plotly_scale(flipped=_is_flipped(result)),
            xgap=1,
            ygap=1,
            colorbar=_colour_bar(result, above=1 + 22 / (cell * rows)),
            **({"hoverinfo": "skip"} if clickable else hover),
        )
    )
    y, x = np.mgrid[:rows, :columns] if clickable else ([], [])
    figure.add_scatter(  # invisible: heatmaps cannot be clicked, and the second axis needs a trace
        x=np.ravel(x),
        y=np.ravel(y),
        xaxis="x2",
        mode="markers",
        marker={"symbol": "square", "size": cell - 8, "opacity": 0},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        showlegend=False,
        customdata=hover["customdata"].reshape(rows * columns, -1) if clickable else None,
        hovertemplate=hover["hovertemplate"],
    )
    ticks = list(range(0, columns, _tick_step(columns)))
    across = {
        "tickvals": ticks,
        "range": [-0.5, columns - 0.5],
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }
    labels = [escape(_column_label(result, column)).replace("\n", "<br>") for column in ticks]
    figure.update_layout(
        xaxis=across | {"ticktext": labels, "automargin": True},
        xaxis2=across | {"ticktext": ticks, "overlaying": "x", "side": "top", "ticks": ""},
        yaxis={
            "title": "patched layer",
            "tickvals": list(range(rows)),
            "ticktext": list(result.rows),
            "range": [rows - 0.5, -0.5],
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
        height=cell * rows + _ABOVE_GRID + _BELOW_GRID,
        margin={"t": _ABOVE_GRID, "l": 10, "r": 10, "b": 10},
        dragmode=False,
        clickmode="event+select",
        hoverlabel={"align": "left"},
    )
    if selected is not None:
        _outline(figure, *selected)
    return figure


def bars(top: tuple[Ranked, ...], colour: tuple[int, int, int]) -> go.Figure:
    """The likeliest next tokens as bars of probability, the likeliest on top."""
    figure = go.Figure(
        go.Bar(
            x=[row.prob for row in top],
            y=[row.rank for row in top],
            orientation="h",
            marker={"color": f"rgb{colour}"},
            customdata=[
                [escape(row.token.label), row.token.id, f"{row.prob:.6f}", f"{row.logit:.4f}"]
                for row in top
            ],
            hovertemplate=(
                "<b>%{customdata[0]}</b> (id %{customdata[1]})<br>probability %{customdata[2]}"
                "<br>logit %{customdata[3]}<extra></extra>"
            ),
        )
    )
    figure.update_yaxes(
        tickvals=[row.rank for row in top],
        ticktext=[escape(_short(row.token.label)) for row in top],
        range=[len(top) + 0.5, 0.5],
        fixedrange=True,
    )
    figure.update_xaxes(title="probability", rangemode="tozero", fixedrange=True)
    figure.update_layout(
        height=20 * len(top) + 60, margin={"t": 8, "l": 10, "r": 10, "b": 10}, bargap=0.3
    )
    return figure


def picture(result: Result, format: str) -> bytes:
    """The heatmap as a complete "png" (300 dpi) or "svg": title, labels and colour bar."""
    rows, columns = result.values.shape
    width = min(_MOST_INCHES, max(6.0, 1.8 + 0.62 * columns))
    height = min(_MOST_INCHES, max(4.0, 2.6 + 0.32 * rows))
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    lowest, highest = _limits(result)
    image = axes.imshow(
        result.values,
        cmap=_printed_scale(flipped=_is_flipped(result)),
        vmin=lowest,
        vmax=highest,
        aspect="auto",
        interpolation="nearest",
    )
    ticks = range(0, columns, _tick_step(columns))
    labels = [_drawable(f"{column}\n{_column_label(result, column)}") for column in ticks]
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
        f"clean: {visible(_short(experiment.clean, 90))}\n"
        f"corrupted: {visible(_short(experiment.corrupted, 90))}"
    )


def _undated(format: str) -> dict[str, None]:
    """The same result gives the same file: no date inside."""
    return {"Date": None} if format == "svg" else {}


def reach(result: Result) -> float:
    """How far from a cell without effect the other run, or the strongest cell, is."""
    baseline = result.baselines[result.experiment.metric]
    finite = result.values[np.isfinite(result.values)]
    values = np.append(finite, getattr(baseline, result.other))
    return max(float(np.abs(values - getattr(baseline, result.unpatched)).max()), 1e-6)


def _limits(result: Result, within: float | None = None) -> tuple[float, float]:
    """The ends of the colour scale, with a cell without effect in the middle."""
    baseline = result.baselines[result.experiment.metric]
    centre, within = getattr(baseline, result.unpatched), within or reach(result)
    return centre - within, centre + within


def _is_flipped(result: Result) -> bool:
    """Whether towards the other run means downwards."""
    baseline = result.baselines[result.experiment.metric]
    return getattr(baseline, result.other) < getattr(baseline, result.unpatched)


def _plotly_scale(flipped: bool) -> list[tuple[float, str]]:
    """Transparent in the middle, so that it fits a light and a dark page alike."""
    low, high = (TOWARDS, AWAY) if flipped else (AWAY, TOWARDS)
    stops = [(0.0, low, 1.0), (0.5, _NOTHING, _NOTHING_ALPHA), (1.0, high, 1.0)]
    return [(at, f"rgba{(*colour, alpha)}") for at, colour, alpha in stops]


def _printed_scale(flipped: bool) -> LinearSegmentedColormap:
    """The same scale on white paper."""
    low, high = (TOWARDS, AWAY) if flipped else (AWAY, TOWARDS)
    grey = [255 + (channel - 255) * _NOTHING_ALPHA for channel in _NOTHING]
    colours = [[channel / 255 for channel in colour] for colour in (low, grey, high)]
    return LinearSegmentedColormap.from_list("patchboard", colours)


def _hover_fields(result: Result) -> np.ndarray:
    """Per cell, what the hover shows and a click needs: (rows, columns, fields), all text."""
    ld = result.grids["logit_diff"]
    change = ld - getattr(result.baselines["logit_diff"], result.unpatched)
    numbers = [result.values, ld, change]
    if "recovery" in result.grids:
        numbers.append(result.grids["recovery"])
    fields = [
        [
            str(row),
            str(column),
            f"layer {result.rows[row]}" if result.rows[row].isdigit() else result.rows[row],
            *_column_tokens(result, column),
            *(f"{grid[row, column]:.4f}" for grid in numbers),
        ]
        for row, column in np.ndindex(result.values.shape)
    ]
    return np.array(fields, dtype=object).reshape(*result.values.shape, -1)


def _column_tokens(result: Result, column: int) -> list[str]:
    """Both tokens of a position, to be shown in a hover; of a head, nothing."""
    if result.axes[1] != "position":
        return ["", ""]
    return [escape(side[column].label) for side in (result.clean, result.corrupted)]


def _hover_template(result: Result) -> str:
    lines = [f"<b>%{{customdata[2]}}, {result.axes[1]} %{{customdata[1]}}</b>"]
    if result.axes[1] == "position":
        lines.append("clean %{customdata[3]} · corrupted %{customdata[4]}")
    if result.experiment.metric not in ("logit_diff", "recovery"):
        lines.append(f"{escape(wording(result))}: <b>%{{customdata[5]}}</b>")
    lines += [
        f"{escape(_formula(result, 'logit_diff'))}: %{{customdata[6]}}",
        f"change against the {result.unpatched} run: %{{customdata[7]}}",
    ]
    if "recovery" in result.grids:
        lines.append("recovery: %{customdata[8]}")
    return "<br>".join(lines) + "<extra></extra>"


def _colour_bar(result: Result, above: float) -> dict:
    """A bar above the grid, marked where the two plain runs are; `above` in heights of the grid."""
    baseline = result.baselines[result.experiment.metric]
    return {
        "orientation": "h",
        "title": {"text": escape(wording(result)), "side": "top"},
        "tickvals": [baseline.clean, baseline.corrupted],
        "ticktext": [f"clean {baseline.clean:.2f}", f"corrupted {baseline.corrupted:.2f}"],
        "thickness": 10,
        "len": 0.7,
        "x": 0,
        "xanchor": "left",
        "xpad": 0,
        "y": above,
        "yanchor": "bottom",
        "ypad": 0,
        "outlinewidth": 0,
    }


def _column_label(result: Result, column: int) -> str:
    """A head, or the token at a position: both, one under the other, where the texts differ."""
    if result.axes[1] != "position":
        return f"head {column}"
    labels = (result.clean[column].label, result.corrupted[column].label)
    return "\n".join(_short(label) for label in dict.fromkeys(labels))


def _tick_step(positions: int) -> int:
    return -(-positions // _MOST_TICKS)


def _short(text: str, longest: int = _LONGEST_LABEL) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _drawable(text: str) -> str:
    """Characters that the picture's font lacks, as their code points instead of empty boxes."""
    glyphs = get_font(findfont(FontProperties()))
    return "".join(
        char if char == "\n" or glyphs.get_char_index(ord(char)) else f"\\u{ord(char):04x}"
        for char in text
    )


def _outline(figure: go.Figure, row: int, position: int) -> None:
    """A frame that shows on every colour: a light line with a dark one around it."""
    for colour, width in (("#111111", 5), ("#ffffff", 2)):
        figure.add_shape(
            type="rect",
            x0=position - 0.5,
            x1=position + 0.5,
            y0=row - 0.5,
            y1=row + 0.5,
            line={"color": colour, "width": width},
        )
