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
    ORANGE,
    RUNS,
    SOLID_STRENGTH,
    STRENGTH,
    Colour,
    Scale,
    rgba,
)
from core.views.heatmaps import LINE, NARROWEST, axis, cells, dressed
from core.views.words import layer_name, plotly_text, probability, short, thinned

if TYPE_CHECKING:  # a figure needs no torch, and takes what has been read as it is
    from core.reading.attribution import Attribution
    from core.reading.lens import LogitLens
    from core.reading.trace import Trace

_HEIGHT_OF_A_ROW = 26
_CHART = {
    "height": 300,
    "margin": {"t": 40, "l": 10, "r": 10, "b": 10},
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
}


def bars(top: tuple[Ranked, ...], colour: Colour, longest: float = 1.0) -> go.Figure:
    """The likeliest next tokens as bars of probability, the likeliest on top; `longest` is the
    probability that a bar of the whole width has."""
    labels = [plotly_text(row.token.label) for row in top]
    figure = go.Figure()
    figure.add_bar(
        x=[row.prob for row in top],
        y=[row.rank for row in top],
        orientation="h",
        marker={"color": rgba(colour)},
        customdata=[
            f"<b>{label}</b> (id {row.token.id})<br>probability {probability(row.prob)}"
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
    figure.update_xaxes(
        title="probability", range=[0, longest], tickformat=".3~%", nticks=4, fixedrange=True
    )
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
            f"{plotly_text(top.label)}: {probability(probs[i, p])}"
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


def lens_lines(
    lenses: dict[str, LogitLens], rows: tuple[str, ...], tokens: tuple[Token, Token]
) -> go.Figure:
    """Logit and rank of target and foil at the last position, layer by layer: a run of `lenses` by
    its colour, the foil dashed."""
    lines = []
    for run, lens in lenses.items():
        ranks = [[f"<br>rank {rank:,}" for rank in row] for row in lens.ranks.T.tolist()]
        names = [f"{plotly_text(short(token.label))}, {run} run" for token in tokens]
        of_both = zip(names, lens.logits.T.tolist(), ranks, ("solid", "dash"), strict=True)
        lines += [(name, RUNS[run], *values) for name, *values in of_both]
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
    figure = _table(heads, list(map(str, layers)), names, hover, BLUE_DOWN, (-reach, reach))
    return figure.update_yaxes(title="layer")


def trace_lines(
    trace: Trace, rows: tuple[str, ...], unpatched: str, other: str | None
) -> go.Figure:
    """The logit difference at the last position layer by layer, of a patched run and of the plain
    ones, named `unpatched` and, but for an ablation, `other`."""
    runs = {"base": unpatched, "source": other, "patched": "patched"}
    lines = [
        (f"{name} run", RUNS[name], trace.by_layer[run].tolist(), [""] * len(rows), "solid")
        for run, name in runs.items()
        if run in trace.by_layer
    ]
    return _lines("logit difference", rows, lines)


def attribution_layers(attribution: Attribution) -> go.Figure:
    """The same by layer: attention with its bias, and MLP, hatched; the embedding and the last bias
    too. As on every map, blue is what speaks for the target, here what is below 0."""
    attention = (attribution.heads.sum(dim=1) + attribution.attention_bias).tolist()
    layers = [str(layer) for layer in range(len(attention))]
    ends = ["embedding", "final bias"]
    figure = go.Figure()
    for name, hatch, x, y in (
        ("attention", "", layers, attention),
        ("MLP", "/", layers, attribution.mlp.tolist()),
        ("other", "", ends, [attribution.embedding, attribution.final_bias]),
    ):
        colours = [rgba(BLUE if value < 0 else ORANGE) for value in y]
        marker = {"color": colours, "pattern": {"shape": hatch, "size": 5, "solidity": 0.5}}
        of = [layer_name(place) + f", {name}" * (name != "other") for place in x]
        figure.add_bar(x=x, y=y, name=name, marker=marker, customdata=of)
    figure.update_traces(hovertemplate="<b>%{customdata}</b><br>%{y:.4f}<extra></extra>")
    order = [ends[0], *layers, ends[1]]
    figure.update_xaxes(
        type="category", categoryorder="array", categoryarray=order, fixedrange=True
    )
    figure.update_yaxes(title="logit difference", fixedrange=True)
    figure.update_layout(_CHART, height=250, showlegend=False)
    return dressed(figure.update_layout(margin={"t": 10}))


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
    """`lines` of (name, colour, a value for each row, what its hover says besides, dash)."""
    figure = go.Figure()
    for name, colour, values, more, dash in lines:
        figure.add_scatter(
            x=list(range(len(rows))),
            y=values,
            name=name,
            mode="lines+markers",
            line={"color": rgba(colour), "dash": dash},
            customdata=[
                f"<b>{layer_name(row)}</b><br>{title} {value:z.4f}{besides}"
                for row, value, besides in zip(rows, values, more, strict=True)
            ],
            hovertemplate="%{customdata}",
        )
    figure.update_layout(_CHART, xaxis=axis(list(rows)))
    return dressed(figure.update_yaxes(title=title, fixedrange=True))
