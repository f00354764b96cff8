"""Result -> a Plotly figure to hover and click."""

from html import escape

import numpy as np
import plotly.graph_objects as go

from core.result import Ranked, Result
from core.views.words import (
    AWAY,
    NOTHING,
    NOTHING_ALPHA,
    TOWARDS,
    column_label,
    formula,
    is_flipped,
    limits,
    short,
    tick_step,
    wording,
)

# An invisible marker over each cell makes it clickable; beyond this many the browser would lag.
_CLICKABLE_CELLS = 5000
_CELL_HEIGHT = 34  # pixels
_LEAST_CELL_HEIGHT = 14
_GRID_HEIGHT = 480
_ABOVE_GRID = 106  # position numbers, then the colour bar with its title and ticks
_BELOW_GRID = 90
_DIGITS_ACROSS = 36  # of the position numbers above, side by side on a phone


def heatmap(
    result: Result,
    selected: tuple[int, int] | None = None,
    reach: float | None = None,
    clickable: bool = True,
) -> go.Figure:
    """The grid of two axes, layers down, positions or heads across; `selected` is outlined.
    `reach` is how far the colours go on either side, so that maps can share a scale. A map that
    need not be `clickable` is drawn much sooner."""
    baseline = result.baselines[result.experiment.metric]
    figure = _map(
        result,
        result.values,
        limits(result, reach),
        _colour_bar(
            wording(result),
            {
                f"clean<br>{baseline.clean:z.2f}": baseline.clean,
                f"corrupted<br>{baseline.corrupted:z.2f}": baseline.corrupted,
            },
        ),
        _hover_fields(result),
        _hover_template(result),
        clickable,
    )
    if selected is not None:
        _outline(figure, *selected)
    return figure


def difference(one: Result, other: Result) -> go.Figure:
    """What `one` has more than `other`, two results of the same shape under the same metric; blue
    is the direction in which the other run lies."""
    values = one.values - other.values
    within = max(float(np.nanmax(np.abs(values))), 1e-6)
    fields = [
        [str(row), str(column), _row_name(one, row)]
        + [f"{grid[row, column]:z.4f}" for grid in (one.values, other.values, values)]
        for row, column in np.ndindex(values.shape)
    ]
    return _map(
        one,
        values,
        (-within, within),
        _colour_bar(
            f"difference of {wording(one)}",
            {f"{end:z.2f}": end for end in (-within, 0.0, within)},
        ),
        np.array(fields, dtype=object).reshape(*values.shape, -1),
        f"<b>%{{customdata[2]}}, {one.axes[1]} %{{customdata[1]}}</b><br>"
        "%{customdata[3]} - %{customdata[4]} = %{customdata[5]}<extra></extra>",
        clickable=False,
    )


def _map(
    result: Result,
    values: np.ndarray,
    ends: tuple[float, float],
    colour_bar: dict,
    hover_fields: np.ndarray,
    hover_template: str,
    clickable: bool,
) -> go.Figure:
    """Values on the axes of `result`, the colours from one of `ends` to the other."""
    rows, columns = values.shape
    clickable = clickable and rows * columns <= _CLICKABLE_CELLS
    cell = min(_CELL_HEIGHT, max(_LEAST_CELL_HEIGHT, _GRID_HEIGHT // rows))
    hover = {"customdata": hover_fields, "hovertemplate": hover_template}
    figure = go.Figure(
        go.Heatmap(
            z=values,
            zmin=ends[0],
            zmax=ends[1],
            colorscale=_plotly_scale(flipped=is_flipped(result)),
            xgap=1,
            ygap=1,
            colorbar=colour_bar | {"y": 1 + 22 / (cell * rows)},  # above the numbers of positions
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
        customdata=hover_fields.reshape(rows * columns, -1) if clickable else None,
        hovertemplate=hover_template,
    )
    ticks = list(range(0, columns, tick_step(columns)))
    digits = len(str(columns - 1))
    numbered = ticks[:: -(-len(ticks) * digits // _DIGITS_ACROSS)]
    across = {
        "range": [-0.5, columns - 0.5],
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }
    labels = [escape(column_label(result, column)).replace("\n", "<br>") for column in ticks]
    figure.update_layout(
        xaxis=across | {"tickvals": ticks, "ticktext": labels, "automargin": True},
        xaxis2=across
        | {"tickvals": numbered, "tickangle": 0, "overlaying": "x", "side": "top", "ticks": ""},
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
                [escape(row.token.label), row.token.id, f"{row.prob:.6f}", f"{row.logit:z.4f}"]
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
        ticktext=[escape(short(row.token.label)) for row in top],
        range=[len(top) + 0.5, 0.5],
        fixedrange=True,
    )
    figure.update_xaxes(title="probability", rangemode="tozero", fixedrange=True)
    figure.update_layout(
        height=20 * len(top) + 60, margin={"t": 8, "l": 10, "r": 10, "b": 10}, bargap=0.3
    )
    return figure


def _plotly_scale(flipped: bool) -> list[tuple[float, str]]:
    """Transparent in the middle, so that it fits a light and a dark page alike."""
    low, high = (TOWARDS, AWAY) if flipped else (AWAY, TOWARDS)
    stops = [(0.0, low, 1.0), (0.5, NOTHING, NOTHING_ALPHA), (1.0, high, 1.0)]
    return [(at, f"rgba{(*colour, alpha)}") for at, colour, alpha in stops]


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
            _row_name(result, row),
            *_column_tokens(result, column),
            *(f"{grid[row, column]:z.4f}" for grid in numbers),
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
        f"{escape(formula(result, 'logit_diff'))}: %{{customdata[6]}}",
        f"change against the {result.unpatched} run: %{{customdata[7]}}",
    ]
    if "recovery" in result.grids:
        lines.append("recovery: %{customdata[8]}")
    return "<br>".join(lines) + "<extra></extra>"


def _row_name(result: Result, row: int) -> str:
    name = result.rows[row]
    return f"layer {name}" if name.isdigit() else name


def _colour_bar(title: str, marks: dict[str, float]) -> dict:
    """A bar above the grid, with some values marked."""
    return {
        "orientation": "h",
        "title": {"text": escape(title), "side": "top"},
        "tickvals": list(marks.values()),
        "ticktext": list(marks),
        "tickangle": 0,
        "ticklabeloverflow": "allow",
        "thickness": 10,
        "len": 0.85,
        "x": 0,
        "xanchor": "left",
        "xpad": 0,
        "yanchor": "bottom",
        "ypad": 0,
        "outlinewidth": 0,
    }


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
