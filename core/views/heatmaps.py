"""Result -> a Plotly figure to hover and click; and the cells and axes that all such maps have."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from math import ceil

import numpy as np
import plotly.graph_objects as go

from core.result import Map, Result
from core.views import colours
from core.views.colour_bar import TIERS, Mark, Painting, marks, paint
from core.views.colours import DARK, LIGHT, TEXT, Scale, for_plotly, hexadecimal, rgba
from core.views.doubts import matters
from core.views.words import (
    at_position,
    fold,
    formula,
    number,
    plotly_text,
    row_name,
    rows_are,
    tick_labels,
    width_of,
    wording,
)

# An invisible marker over each cell makes it clickable; beyond this many the browser would lag.
_CLICKABLE_CELLS = 5000
_CELL_HEIGHT = 32  # pixels, as all lengths here
_LEAST_CELL_HEIGHT = 14
_GRID_HEIGHT = 224  # but for more rows than fit: the whole map is to be on the first screen
NARROWEST = 225  # what a map has for its cells on a phone; side by side it may be less
SIDE_BY_SIDE = 200
LINE = 14  # of a label
CHARACTER = 6  # of a label: what is measured of Streamlit's font is less
_SMALL = {"size": 11}
_FRAME = 3  # of a frame is outside its cell, also at the edge of a map
_NUMBERS = 22  # the numbers of the positions, right above the cells
_BAR = 8
_TITLE = 15.6  # a line of the colour bar's title
_TITLE_CHARACTERS = 34  # in a line of the colour bar's title


def heatmap(
    result: Result,
    selected: tuple[int, int] | None = None,
    beside: Sequence[Map] = (),
    clickable: bool = True,
    view: str = "effect",
    narrowest: int | None = None,
    surprises: Iterable[tuple[int, int]] = (),
) -> go.Figure:
    """The grid of two axes, layers down, positions or heads across; `selected` is outlined, and
    `surprises` with a broken line.

    It shares its scale with the maps that stand `beside` it. A map that need not be `clickable` is
    drawn much sooner. `view` is one of `colour_bar.VIEWS`; rows count as in `result` in all of
    them. `narrowest` is how many pixels wide the cells together are at the least, which decides how
    many labels there are: as on a phone, if it is not given, or less for maps side by side.
    """
    narrowest = narrowest or (SIDE_BY_SIDE if beside else NARROWEST)
    painting = paint(result, view, beside=beside)
    skipped = len(result.rows) - len(painting.result.rows)  # the embedding, in some views
    metric, logit_diff = painting.result.experiment.metric, result.grids["logit_diff"]
    change = logit_diff - result.plain("logit_diff")
    own = "recovery" if metric == "recovery" else wording(painting.result)
    numbers = {
        own: (metric, result.grids[metric]),
        formula(result, "logit_diff"): ("logit_diff", logit_diff),
        f"change against the {result.unpatched} run": ("logit_diff", change),
    }
    if "recovery" in result.grids:
        numbers["recovery"] = ("recovery", result.grids["recovery"])
    own, *others = (f"{plotly_text(n)}: %{{customdata[{i}]}}" for i, n in enumerate(numbers, 5))
    tokens = ["clean %{customdata[3]} · corrupted %{customdata[4]}"]
    figure = grid_of_layers(
        painting,
        wording(painting.result),
        painting.marks(narrowest / CHARACTER),
        _fields(result, *numbers.values())[skipped:],
        [_place(result), *(tokens if by_position(result) else []), f"<b>{own}</b>", *others],
        clickable,
        narrowest,
    )
    for row, column in surprises:
        if row >= skipped:
            outline(figure, row - skipped, column, dash="dot")
    if selected is not None and selected[0] >= skipped:
        outline(figure, selected[0] - skipped, selected[1])
    return figure


def difference(one: Result, other: Result, reach: float | None = None) -> go.Figure:
    """What `one` has more than `other`, two results of the same shape under the same metric; the
    colours are those of `one`, with no colour for no difference, and full at `reach` on either
    side, or at the largest difference."""
    painting = apart(one, one.values - other.values, reach)
    metric = one.experiment.metric
    grids = (one.values, other.values, painting.result.values)
    return grid_of_layers(
        painting,
        f"difference of {wording(one)}",
        marks(painting.ends, {}, NARROWEST / CHARACTER),
        _fields(one, *((metric, grid) for grid in grids)),
        [_place(one), "%{customdata[5]} - %{customdata[6]} = %{customdata[7]}"],
        clickable=False,
        narrowest=NARROWEST,
    )


def apart(one: Map, values: np.ndarray, reach: float | None = None) -> Painting:
    """What a map has more than another, (rows, columns), in its colours, no difference having
    none."""
    within = (reach or max(float(np.nanmax(np.abs(values))), matters(one))) * colours.sign(one)
    between = replace(one, grids=one.grids | {one.experiment.metric: values})
    return Painting(between, colours.scale(one), (-within, within))


def cells(values: np.ndarray, scale: Scale, ends: tuple[float, float], **options) -> go.Figure:
    """Values as coloured cells, the colours from one of `ends` to the other."""
    options |= {"colorscale": for_plotly(scale), "xgap": 1, "ygap": 1}
    return go.Figure(go.Heatmap(z=values, zmin=ends[0], zmax=ends[1], **options))


def axis(labels: list[str], **options) -> dict:
    """An axis of cells that cannot be dragged. They are counted, and the labels only written at
    them: of equal labels Plotly would make one cell."""
    options = {"tickvals": list(range(len(labels))), "ticktext": labels} | options
    return {"showgrid": False, "zeroline": False, "fixedrange": True, "tickfont": _SMALL} | options


def dressed(figure: go.Figure) -> go.Figure:
    """A figure as all of ours are: texts that can be read on a light and on a dark page, and no
    camera, whose picture would not say what it is of (there are downloads)."""
    font = {"color": hexadecimal(TEXT)}
    axes = {"tickfont": font, "title": {"font": font}}
    figure.update_xaxes(axes).update_yaxes(axes)
    figure.update_traces(selector={"type": "heatmap"}, colorbar={"title": {"font": font}})
    return figure.update_layout(
        font=font, legend={"font": font}, modebar={"remove": ["toimage", "select2d", "lasso2d"]}
    )


def by_position(of: Map) -> bool:
    return of.axes[1] == "position"


def _place(result: Result) -> str:
    """Of a hover, which cell it is, from its fields."""
    return f"<b>%{{customdata[2]}}, {result.axes[1]} %{{customdata[1]}}{at_position(result)}</b>"


def grid_of_layers(
    painting: Painting,
    title: str,
    marked: tuple[Mark, ...],
    fields: np.ndarray,
    lines: list[str],
    clickable: bool,
    narrowest: int,
    over: Callable[[float], list[go.Scatter]] = lambda cell: [],
) -> go.Figure:
    """A map with its colour bar above, and `lines` in a hover. `fields` (rows, columns, fields) are
    what a hover shows and a click needs, row and column first; `over` gives what is drawn over
    cells of a height."""
    result, (rows, columns) = painting.result, painting.result.values.shape
    clickable = clickable and rows * columns <= _CLICKABLE_CELLS
    cell = min(_CELL_HEIGHT, max(_LEAST_CELL_HEIGHT, _GRID_HEIGHT // rows))
    template = "<br>".join(lines) + "<extra></extra>"
    numbers_on_top = by_position(result)
    labels = tick_labels(result, narrowest / columns, LINE)
    titled = fold(title, _TITLE_CHARACTERS)
    bar_at = _NUMBERS * numbers_on_top + (TIERS * LINE) + 6  # above the cells
    top_of_bar = bar_at + _BAR + _TITLE * (len(titled) - 0.1)  # as Plotly stacks them
    above = ceil(top_of_bar) + 8
    below = _below(labels, narrowest / columns) + _NUMBERS * (not numbers_on_top)  # with a title
    height = above + cell * rows + below
    colour_bar = {
        **{
            "title": {
                "text": "<br>".join(map(plotly_text, titled)),
                "side": "top",
                "font": {"size": 12},
            }
        },
        **{"orientation": "h", "len": 1, "thickness": _BAR, "outlinewidth": 0},
        **{"x": 0, "xanchor": "left", "xpad": 0, "yanchor": "top", "ypad": 0},
        **{"y": 1 + top_of_bar / (cell * rows), "showticklabels": False},
    }
    hover = {"customdata": fields, "hovertemplate": template}
    options = {"hoverinfo": "skip"} if clickable else hover
    options["meta"] = painting.sign  # times which z is the values
    figure = cells(painting.drawn, painting.scale, painting.limits, colorbar=colour_bar, **options)
    figure.add_traces(over(cell))
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
    digits = CHARACTER * len(str(columns - 1)) + 4
    numbered = list(range(0, columns, ceil(columns * digits / narrowest))) if numbers_on_top else []
    aside, beyond = _FRAME * columns / narrowest, _FRAME / cell
    across = {"range": [-0.5 - aside, columns - 0.5 + aside]}
    on_top = {"overlaying": "x", "side": "top", "tickangle": 0, "ticks": ""}
    figure.update_layout(
        xaxis=axis(
            [plotly_text(label) for label in labels.values()],
            tickvals=list(labels),
            autotickangles=[0, 90],
            automargin=False,  # the height of the cells is what the colour bar's place is told by
            ticks="",
            title=None if numbers_on_top else result.axes[1],
            **across,
        ),
        xaxis2=axis(numbered, tickvals=numbered, **on_top, **across),
        yaxis=axis(
            list(result.rows),
            title=rows_are(result),
            range=[rows - 0.5 + beyond, -0.5 - beyond],
        ),
        height=height,
        margin={"t": above, "l": 10, "r": 10, "b": below},
        dragmode=False,
        clickmode="event+select",
        hoverlabel={"align": "left"},
    )
    for mark in marked:
        figure.add_annotation(
            text=plotly_text(mark.text),
            **{"x": mark.at, "xref": "paper", "xanchor": mark.anchor},
            **{"y": 1, "yref": "paper", "yanchor": "top", "yshift": bar_at - LINE * mark.tier},
            **{"showarrow": False, "font": _SMALL | {"color": hexadecimal(TEXT)}, "borderpad": 0},
        )
    return dressed(figure)


def _below(labels: dict[float, str], room: float) -> int:
    """The height that labels need below the cells: upright ones unless all fit lying down."""
    lines = [line for label in labels.values() for line in label.split("\n")]
    longest = max(map(width_of, lines)) * CHARACTER
    most = 1 + max(label.count("\n") for label in labels.values())
    return 16 + (most * LINE if longest < room else longest)


def _fields(result: Result, *grids: tuple[str, np.ndarray]) -> np.ndarray:
    """Per cell, all as text, what a click needs and a hover shows: row, column, the name of the
    row, the tokens of both texts at a position, and a number of each grid, given with its metric;
    (rows, columns, fields)."""
    rows, columns = result.values.shape
    names = [row_name(result, row) for row in range(rows)]
    tokens = [
        [plotly_text(side[c].label) if by_position(result) else "" for c in range(columns)]
        for side in (result.clean, result.corrupted)
    ]
    fields = [
        [str(row), str(column), names[row], *(side[column] for side in tokens)]
        + [number(metric, grid[row, column]) for metric, grid in grids]
        for row, column in np.ndindex(rows, columns)
    ]
    return np.array(fields, dtype=object).reshape(rows, columns, -1)


def outline(figure: go.Figure, row: int, column: int, dash: str = "solid") -> None:
    """A frame that shows on every colour: a light line with a dark one around it."""
    box = {"x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5}
    for colour, width in ((DARK, 5), (LIGHT, 2)):
        figure.add_shape(
            type="rect", line={"color": rgba(colour), "width": width, "dash": dash}, **box
        )
