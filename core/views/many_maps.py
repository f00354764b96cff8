"""Answer to many pairs -> Plotly maps: as those of one pair, and how sure each cell is."""

from collections.abc import Iterable, Sequence

import numpy as np
import plotly.graph_objects as go

from core.many.answer import Answer
from core.many.pairs import counted
from core.many.summary import LEVEL
from core.views.colour_bar import marks, paint
from core.views.colours import DARK, GREY, LIGHT, rgba
from core.views.heatmaps import (
    CHARACTER,
    NARROWEST,
    SIDE_BY_SIDE,
    apart,
    grid_of_layers,
    outline,
)
from core.views.words import averaged, column_name, number, plotly_text, row_name


def heatmap(
    answer: Answer,
    selected: tuple[int, int] | None = None,
    beside: Sequence[Answer] = (),
    clickable: bool = True,
    narrowest: int | None = None,
    surprises: Iterable[tuple[int, int]] = (),
) -> go.Figure:
    """The map of two axes: the mean over pairs. Cells that may be without effect are crossed out,
    and of heads those that stand out are framed (see `words.marks_mean`). The options are those of
    `heatmaps.heatmap`."""
    narrowest = narrowest or (SIDE_BY_SIDE if beside else NARROWEST)
    painting = paint(answer, beside=beside)
    figure = grid_of_layers(
        painting,
        averaged(answer),
        painting.marks(narrowest / CHARACTER),
        _fields(answer),
        [
            "<b>%{customdata[2]}, %{customdata[3]}</b>",
            f"<b>%{{customdata[4]}}</b> {LEVEL:.0%} interval %{{customdata[5]}}",
            f"{counted(answer.summary.n, 'pair')}, the effect has one sign in %{{customdata[6]}}",
            "least %{customdata[7]}, quartiles %{customdata[8]} and %{customdata[10]},",
            "median %{customdata[9]}, greatest %{customdata[11]}",
        ],
        clickable,
        narrowest,
        over=lambda cell: _marked(answer, cell),
    )
    for cell in surprises:
        outline(figure, *cell, dash="dot")
    if selected is not None:
        outline(figure, *selected)
    return figure


def difference(one: Answer, other: Answer) -> go.Figure:
    """What the patch does more to `one` than to `other`, two answers of the same shape under the
    same metric: the difference of their effects (see `words.effects_differ`)."""
    effects = [of.values - of.plain(of.experiment.metric) for of in (one, other)]
    painting = apart(one, effects[0] - effects[1])
    metric, shape = one.experiment.metric, one.values.shape
    numbers = [
        [number(metric, of[place]) for of in (*effects, painting.result.values)]
        + [number(metric, of.values[place]) for of in (one, other)]
        for place in np.ndindex(shape)
    ]
    fields = np.concatenate(
        (_fields(one)[..., :4], np.array(numbers, dtype=object).reshape(*shape, -1)), axis=-1
    )
    named = [plotly_text(of.part or "these") for of in (one, other)]
    plain = [number(metric, of.plain(metric)) for of in (one, other)]
    return grid_of_layers(
        painting,
        f"difference of effects, {averaged(one)}",
        marks(painting.ends, {}, NARROWEST / CHARACTER),
        fields,
        [
            "<b>%{customdata[2]}, %{customdata[3]}</b>",
            "<b>difference of effects %{customdata[6]}</b>",
            f"{named[0]}: effect %{{customdata[4]}} (%{{customdata[7]}}, unpatched {plain[0]})",
            f"{named[1]}: effect %{{customdata[5]}} (%{{customdata[8]}}, unpatched {plain[1]})",
        ],
        clickable=False,
        narrowest=NARROWEST,
    )


def _fields(answer: Answer) -> np.ndarray:
    """Per cell, all as text: row, column, both in words, and the numbers of a hover."""
    s, metric = answer.summary, answer.experiment.metric
    columns = [plotly_text(column_name(answer, c)) for c in range(len(answer.columns))]
    rows = [row_name(answer, row) for row in range(len(answer.rows))]
    fields = [
        [str(row), str(column), rows[row], columns[column]]
        + [number(metric, s.mean[row, column])]
        + [f"{number(metric, s.low[row, column])} to {number(metric, s.high[row, column])}"]
        + [f"{s.agreement[row, column]:.0%}"]
        + [number(metric, of) for of in s.five_numbers[:, row, column]]
        for row, column in np.ndindex(answer.values.shape)
    ]
    return np.array(fields, dtype=object).reshape(*answer.values.shape, -1)


def _marked(answer: Answer, cell: float) -> list[go.Scatter]:
    """Marks that show on every colour, on a light and on a dark page."""
    found = []

    def mark(cells: np.ndarray, symbol: str, size: float, colour: str, width: float) -> None:
        rows, columns = np.nonzero(cells)
        line = {"color": colour, "width": width}
        marker = {"symbol": symbol, "size": size, "line": line, "color": rgba(GREY, 0.0)}
        found.append(
            go.Scatter(
                x=columns, y=rows, mode="markers", marker=marker, hoverinfo="skip", showlegend=False
            )
        )

    mark(answer.summary.says_nothing, "x-thin", cell / 4, rgba(GREY, 0.8), 1)
    if answer.axes[1] == "head":
        for colour, width in ((DARK, 3), (LIGHT, 1.2)):
            mark(answer.summary.stands_out, "square", 0.55 * cell, rgba(colour), width)
    return found
