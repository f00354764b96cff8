"""What senders do along their paths into a receiver -> Plotly figures."""

import numpy as np
import plotly.graph_objects as go

from core.result import ComponentMap, PathMap
from core.views import colours
from core.views.colour_bar import paint
from core.views.colours import BLUE, GREY, rgba
from core.views.heatmaps import CHARACTER, NARROWEST, SIDE_BY_SIDE, dressed, grid_of_layers
from core.views.words import formula, number, plotly_text, sender, sender_is, wording

_NAMES = sender, sender_is
_NAMED = 4  # heads that a figure names, the strongest
_TOO_LATE = "comes too late for this receiver"


def heatmap(path_map: PathMap, reach: float | None = None, clickable: bool = True) -> go.Figure:
    """Layers down, heads and the MLP across; a click's first fields are row and column. `reach` is
    that of `heatmaps.heatmap`."""
    narrowest = SIDE_BY_SIDE if reach else NARROWEST
    painting = paint(path_map, reach=reach)
    return grid_of_layers(
        painting,
        f"{path_map.receiver}: {wording(path_map)}",
        painting.marks(narrowest / CHARACTER),
        fields(path_map),
        [
            f"<b>%{{customdata[2]}} into {plotly_text(path_map.receiver)}</b>",
            "%{customdata[5]}",
            f"<b>{plotly_text(formula(path_map, path_map.experiment.metric))}:"
            " %{customdata[3]}</b>",
            f"change against the {path_map.unpatched} run: %{{customdata[4]}}",
            "%{customdata[6]}",
        ],
        clickable,
        narrowest,
    )


def reach_beside(path_map: PathMap, others: float | None) -> float | None:
    """How far the colours of a map go that stands beside `others`, which have this reach; None for
    a map by itself."""
    return None if others is None else max(others, colours.reach(path_map))


def direct_against(paths: PathMap, other: np.ndarray, called: str) -> go.Figure:
    """Of each head what it does along its direct path into the logits against another effect of
    it, (layers, heads): what it does in all, or direct logit attribution."""
    metric = paths.experiment.metric
    direct, whole = (paths.values - paths.plain(metric))[:, :-1], other
    figure = go.Figure()
    both = np.concatenate([direct.ravel(), whole.ravel()])
    low, high = float(both.min()), float(both.max())
    line = {"color": rgba(GREY), "dash": "dot"}
    figure.add_scatter(x=[low, high], y=[low, high], mode="lines", line=line, hoverinfo="skip")
    rows, columns = np.indices(direct.shape)
    named = np.sort(np.maximum(np.abs(direct), np.abs(whole)).ravel())[-_NAMED:][0]
    figure.add_scatter(
        x=direct.ravel(),
        y=whole.ravel(),
        mode="markers+text",
        text=[
            f"{row}.{column}" if max(abs(d), abs(w)) >= named else ""
            for row, column, d, w in zip(
                *(of.ravel().tolist() for of in (rows, columns, direct, whole)), strict=True
            )
        ],
        textposition="middle left",
        marker={"color": rgba(BLUE, 0.65), "size": 8},
        customdata=[
            [f"{layer}.{head}", number(metric, d), number(metric, w)]
            for layer, head, d, w in zip(
                *(of.ravel().tolist() for of in (rows, columns, direct, whole)), strict=True
            )
        ],
        hovertemplate="<b>%{customdata[0]}</b><br>direct %{customdata[1]}"
        f"<br>{called} %{{customdata[2]}}<extra></extra>",
    )
    figure.update_xaxes(title="direct effect on the logits", fixedrange=True, nticks=6)
    figure.update_yaxes(title=called, fixedrange=True)
    figure.update_layout(
        height=340, margin={"t": 20, "l": 10, "r": 10, "b": 10}, showlegend=False, dragmode=False
    )
    return dressed(figure)


def fields(path_map: ComponentMap) -> np.ndarray:
    """Per cell, all as text, what a click needs and a hover shows: row, column, the name of what
    was put in, the metric and by how much that is another; (rows, columns, fields)."""
    metric, values = path_map.experiment.metric, path_map.values
    base = path_map.plain(metric)

    def said(row: int, column: int) -> list[str]:
        value, name, what = values[row, column], *(of(path_map, row, column) for of in _NAMES)
        if value != value:
            return [name, _TOO_LATE, "none", what, ""]
        asks = f"click: what feeds {'its input' if name.startswith('mlp') else 'it'}?"
        return [name, number(metric, value), number(metric, value - base), what, asks]

    told = [[str(row), str(column), *said(row, column)] for row, column in np.ndindex(values.shape)]
    return np.array(told, dtype=object).reshape(*values.shape, -1)
