"""Result -> a Plotly figure to hover and click; and the cells and axes that all such maps have."""

import numpy as np
import plotly.graph_objects as go

from core.result import Result
from core.views.colours import DARK, LIGHT, Scale, for_plotly, limits, rgba, scale
from core.views.words import (
    at_position,
    column_label,
    formula,
    marks,
    plotly_text,
    row_name,
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
_COLOUR_BAR = {  # above the grid
    **{"orientation": "h", "len": 0.85, "thickness": 10, "outlinewidth": 0},
    **{"x": 0, "xanchor": "left", "xpad": 0, "yanchor": "bottom", "ypad": 0},
    **{"tickangle": 0, "ticklabeloverflow": "allow"},
}


def heatmap(
    result: Result,
    selected: tuple[int, int] | None = None,
    reach: float | None = None,
    clickable: bool = True,
) -> go.Figure:
    """The grid of two axes, layers down, positions or heads across; `selected` is outlined.
    `reach` is how far the colours go on either side, so that maps can share a scale. A map that
    need not be `clickable` is drawn much sooner."""
    metric, logit_diff = result.experiment.metric, result.grids["logit_diff"]
    numbers = {
        "recovery" if metric == "recovery" else wording(result): result.values,
        formula(result, "logit_diff"): logit_diff,
        f"change against the {result.unpatched} run": logit_diff - result.plain("logit_diff"),
    }
    if "recovery" in result.grids:
        numbers["recovery"] = result.grids["recovery"]
    own, *others = (f"{plotly_text(n)}: %{{customdata[{i}]}}" for i, n in enumerate(numbers, 5))
    tokens = ["clean %{customdata[3]} · corrupted %{customdata[4]}"]
    ends = limits(result, reach)
    figure = _grid_of_layers(
        result,
        result.values,
        ends,
        wording(result),
        marks(result, *ends),
        _fields(result, *numbers.values()),
        [*(tokens if result.axes[1] == "position" else []), f"<b>{own}</b>", *others],
        clickable,
    )
    if selected is not None:
        _outline(figure, *selected)
    return figure


def difference(one: Result, other: Result, reach: float | None = None) -> go.Figure:
    """What `one` has more than `other`, two results of the same shape under the same metric; the
    colours are those of `one`, with no colour for no difference, and full at `reach` on either
    side, or at the largest difference."""
    values = one.values - other.values
    within = reach or max(float(np.nanmax(np.abs(values))), 1e-6)
    return _grid_of_layers(
        one,
        values,
        (-within, within),
        f"difference of {wording(one)}",
        {end: f"{end:z.4g}" for end in (-within, 0.0, within)},
        _fields(one, one.values, other.values, values),
        ["%{customdata[5]} - %{customdata[6]} = %{customdata[7]}"],
        clickable=False,
    )


def cells(values: np.ndarray, colours: Scale, ends: tuple[float, float], **options) -> go.Figure:
    """Values as coloured cells, the colours from one of `ends` to the other."""
    options |= {"colorscale": for_plotly(colours), "xgap": 1, "ygap": 1}
    return go.Figure(go.Heatmap(z=values, zmin=ends[0], zmax=ends[1], **options))


def axis(labels: list[str], **options) -> dict:
    """An axis of cells that cannot be dragged. They are counted, and the labels only written at
    them: of equal labels Plotly would make one cell."""
    options = {"tickvals": list(range(len(labels))), "ticktext": labels} | options
    return {"showgrid": False, "zeroline": False, "fixedrange": True} | options


def _grid_of_layers(
    result: Result,
    values: np.ndarray,
    ends: tuple[float, float],
    title: str,
    marked: dict[float, str],
    fields: np.ndarray,
    lines: list[str],
    clickable: bool,
) -> go.Figure:
    """Values on the axes of `result`, with `lines` in a hover, under the place of a cell."""
    rows, columns = values.shape
    clickable = clickable and rows * columns <= _CLICKABLE_CELLS
    cell = min(_CELL_HEIGHT, max(_LEAST_CELL_HEIGHT, _GRID_HEIGHT // rows))
    place = f"%{{customdata[2]}}, {result.axes[1]} %{{customdata[1]}}{at_position(result)}"
    template = "<br>".join([f"<b>{place}</b>", *lines]) + "<extra></extra>"
    colour_bar = {
        "title": {"text": plotly_text(title), "side": "top"},
        "tickvals": list(marked),
        "ticktext": [plotly_text(label) for label in marked.values()],
        "y": 1 + 22 / (cell * rows),  # above the numbers of positions
    }
    hover = {"customdata": fields, "hovertemplate": template}
    options = {"hoverinfo": "skip"} if clickable else hover
    figure = cells(values, scale(result), ends, colorbar=_COLOUR_BAR | colour_bar, **options)
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
        customdata=fields.reshape(rows * columns, -1) if clickable else None,
        hovertemplate=template,
    )
    ticks = list(range(0, columns, tick_step(columns)))
    labels = [plotly_text(column_label(result, column)) for column in ticks]
    digits = len(str(columns - 1))
    numbered = ticks[:: -(-len(ticks) * digits // _DIGITS_ACROSS)]
    across, above = {"range": [-0.5, columns - 0.5]}, {"overlaying": "x", "side": "top"}
    figure.update_layout(
        xaxis=axis(labels, tickvals=ticks, automargin=True, **across),
        xaxis2=axis(numbered, tickvals=numbered, tickangle=0, ticks="", **above, **across),
        yaxis=axis(list(result.rows), title="patched layer", range=[rows - 0.5, -0.5]),
        height=cell * rows + _ABOVE_GRID + _BELOW_GRID,
        margin={"t": _ABOVE_GRID, "l": 10, "r": 10, "b": 10},
        dragmode=False,
        clickmode="event+select",
        hoverlabel={"align": "left"},
    )
    return figure


def _fields(result: Result, *grids: np.ndarray) -> np.ndarray:
    """Per cell, all as text, what a click needs and a hover shows: row, column, the name of the
    row, the tokens of both texts at a position, and a number of each grid; (rows, columns, fields).
    """
    by_position = result.axes[1] == "position"
    rows, columns = result.values.shape
    names = [row_name(result, row) for row in range(rows)]
    tokens = [
        [plotly_text(side[column].label) if by_position else "" for column in range(columns)]
        for side in (result.clean, result.corrupted)
    ]
    fields = [
        [str(row), str(column), names[row], *(side[column] for side in tokens)]
        + [f"{grid[row, column]:z.4f}" for grid in grids]
        for row, column in np.ndindex(rows, columns)
    ]
    return np.array(fields, dtype=object).reshape(rows, columns, -1)


def _outline(figure: go.Figure, row: int, column: int) -> None:
    """A frame that shows on every colour: a light line with a dark one around it."""
    box = {"x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5}
    for colour, width in ((DARK, 5), (LIGHT, 2)):
        figure.add_shape(type="rect", line={"color": rgba(colour), "width": width}, **box)
