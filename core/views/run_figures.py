"""What a run holds -> Plotly figures: next tokens, attention, the lens, attribution, a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from core.question.tokens import Token
from core.result import Ranked
from core.views import colours
from core.views.colours import (
    BLUE,
    BLUE_DOWN,
    GREY,
    ORANGE,
    RUNS,
    SOLID_STRENGTH,
    STRENGTH,
    Colour,
    Scale,
    rgba,
)
from core.views.heatmaps import LINE, NARROWEST, axis, cells, dressed
from core.views.words import layer_name, plotly_text, short, thinned

if TYPE_CHECKING:  # a figure needs no torch, and takes what has been read as it is
    from core.reading.attribution import Attribution
    from core.reading.lens import LogitLens
    from core.reading.trace import Trace

_HEIGHT_OF_A_ROW = 26
_CHART = {
    "height": 300,
    "margin": {"t": 40, "l": 10, "r": 10, "b": 10},
    "legend": {"orientation": "h", "y": 1.15},
}


def bars(top: tuple[Ranked, ...], colour: Colour) -> go.Figure:
    """The likeliest next tokens as bars of probability, the likeliest on top."""
    labels = [plotly_text(row.token.label) for row in top]
    figure = go.Figure()
    figure.add_bar(
        x=[row.prob for row in top],
        y=[row.rank for row in top],
        orientation="h",
        marker={"color": rgba(colour)},
        customdata=[
            f"<b>{label}</b> (id {row.token.id})<br>probability {row.prob:.6f}"
            f"<br>logit {row.logit:z.4f}"
            for label, row in zip(labels, top, strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    figure.update_yaxes(
        tickvals=[row.rank for row in top],
        ticktext=[plotly_text(short(row.token.label)) for row in top],
        range=[len(top) + 0.5, 0.5],
        fixedrange=True,
    )
    figure.update_xaxes(title="probability", rangemode="tozero", fixedrange=True)
    figure.update_layout(height=20 * len(top) + 60, margin=_CHART["margin"] | {"t": 8}, bargap=0.3)
    return dressed(figure)


def attention_map(pattern: np.ndarray, tokens: tuple[Token, ...]) -> go.Figure:
    """One head's pattern (T, T): which positions (across) each position (down) reads."""
    names = [f"{p} {plotly_text(token.label)}" for p, token in enumerate(tokens)]
    hover = [
        [f"<b>{to}</b><br>reads {at}<br>weight {pattern[i, j]:.4f}" for j, at in enumerate(names)]
        for i, to in enumerate(names)
    ]
    figure = _table(pattern, names, names, hover, STRENGTH, (0, 1), showscale=False)
    return figure.update_xaxes(_columns(tokens))


def lens_map(
    lens: LogitLens, rows: tuple[str, ...], tokens: tuple[Token, ...], tops: list[list[Token]]
) -> go.Figure:
    """The likeliest next token at every layer and position, coloured by its probability."""
    probs = lens.top_probs.cpu().numpy()
    after = [plotly_text(token.label) for token in tokens]
    hover = [
        [
            f"<b>{layer_name(row)}, position {p}</b> after {after[p]}<br>"
            f"{plotly_text(top.label)}: {probs[i, p]:.4f}"
            for p, top in enumerate(tops[i])
        ]
        for i, row in enumerate(rows)
    ]
    figure = _table(probs, list(rows), after, hover, SOLID_STRENGTH, (0, 1), showscale=False)
    y, x = np.mgrid[: len(rows), : len(tokens)]
    grounds = (colours.at(SOLID_STRENGTH, prob)[0] for prob in probs.ravel())
    figure.add_scatter(  # not the map's own texts, which are all of one colour
        x=np.ravel(x),
        y=np.ravel(y),
        mode="text",
        text=[plotly_text(top.label[:9]) for row in tops for top in row],
        textfont={"color": [rgba(colours.readable_on(ground)) for ground in grounds]},
        hoverinfo="skip",
        showlegend=False,
    )
    return figure.update_xaxes(_columns(tokens))


def lens_lines(lens: LogitLens, rows: tuple[str, ...], tokens: tuple[Token, Token]) -> go.Figure:
    """Logit and rank of two tokens at the last position, layer by layer."""
    ranks = [[f"<br>rank {rank}" for rank in row] for row in lens.ranks.T.tolist()]
    names = [plotly_text(token.label) for token in tokens]
    lines = zip(names, (BLUE, ORANGE), lens.logits.T.tolist(), ranks, strict=True)
    return _lines("logit", rows, lines)


def heads_map(heads: np.ndarray) -> go.Figure:
    """What each head (L, H) does to the logit difference, no colour being nothing."""
    reach = float(np.abs(heads).max()) or 1.0
    hover = [
        [f"<b>layer {layer}, head {h}</b><br>{value:z.4f}" for h, value in enumerate(row)]
        for layer, row in enumerate(heads)
    ]
    layers, columns = map(range, heads.shape)
    names = [f"head {h}" for h in columns]
    return _table(heads, list(map(str, layers)), names, hover, BLUE_DOWN, (-reach, reach))


def trace_lines(
    trace: Trace, rows: tuple[str, ...], unpatched: str, other: str | None
) -> go.Figure:
    """The logit difference at the last position layer by layer, of a patched run and of the plain
    ones, named `unpatched` and, but for an ablation, `other`."""
    runs = {"base": unpatched, "source": other, "patched": "patched"}
    lines = [
        (f"{name} run", RUNS[name], trace.by_layer[run].tolist(), [""] * len(rows))
        for run, name in runs.items()
        if run in trace.by_layer
    ]
    return _lines("logit difference", rows, lines)


def attribution_layers(attribution: Attribution) -> go.Figure:
    """The same by layer: attention with its bias, and MLP; the embedding and the last bias too."""
    attention = (attribution.heads.sum(dim=1) + attribution.attention_bias).tolist()
    layers = [str(layer) for layer in range(len(attention))]
    ends = ["embedding", "final bias"]
    figure = go.Figure()
    for name, colour, x, y in (
        ("attention", BLUE, layers, attention),
        ("MLP", ORANGE, layers, attribution.mlp.tolist()),
        ("other", GREY, ends, [attribution.embedding, attribution.final_bias]),
    ):
        figure.add_bar(x=x, y=y, name=name, marker={"color": rgba(colour)})
    figure.update_traces(hovertemplate="%{x}<br>%{y:.4f}")
    order = [ends[0], *layers, ends[1]]
    figure.update_xaxes(
        type="category", categoryorder="array", categoryarray=order, fixedrange=True
    )
    figure.update_yaxes(fixedrange=True)
    return dressed(figure.update_layout(_CHART))


def _columns(tokens: tuple[Token, ...]) -> dict:
    """Tokens at columns that may be narrow: as many as fit, upright where they are too long."""
    labels = [f"{p} {plotly_text(short(token.label, 14))}" for p, token in enumerate(tokens)]
    found = thinned(list(enumerate(labels)), NARROWEST / len(labels), LINE)
    return {"tickvals": list(found), "ticktext": list(found.values()), "autotickangles": [0, 90]}


def _table(
    values: np.ndarray,
    rows: list[str],
    columns: list[str],
    hover: list[list[str]],
    colours: Scale,
    ends: tuple[float, float],
    **options,
) -> go.Figure:
    """Values as cells with labels at both axes, the first row on top, and a text for each hover."""
    options |= {"customdata": hover, "hovertemplate": "%{customdata}<extra></extra>"}
    figure = cells(values, colours, ends, **options)
    figure.update_layout(
        xaxis=axis(columns),
        yaxis=axis(rows, autorange="reversed"),
        height=_HEIGHT_OF_A_ROW * len(values) + 130,
        margin=_CHART["margin"],
    )
    return dressed(figure)


def _lines(title: str, rows: tuple[str, ...], lines) -> go.Figure:
    """`lines` of (name, colour, a value for each row, what its hover says besides)."""
    figure = go.Figure()
    for name, colour, values, more in lines:
        figure.add_scatter(
            x=list(range(len(rows))),
            y=values,
            name=name,
            mode="lines+markers",
            line={"color": rgba(colour)},
            customdata=[
                f"<b>{layer_name(row)}</b><br>{title} {value:z.4f}{besides}"
                for row, value, besides in zip(rows, values, more, strict=True)
            ],
            hovertemplate="%{customdata}",
        )
    figure.update_layout(_CHART, xaxis=axis(list(rows)))
    return dressed(figure.update_yaxes(title=title, fixedrange=True))
