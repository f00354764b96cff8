"""What a run holds -> Plotly figures: attention patterns, the logit lens, attribution."""

from html import escape

import numpy as np
import plotly.graph_objects as go

from core.question.tokens import Token
from core.reading.lens import Attribution, LogitLens
from core.reading.trace import Trace
from core.views.words import AWAY, PATCHED, TOWARDS

_HEIGHT_OF_A_ROW = 26
_STRENGTH = [(0.0, "rgba(128, 128, 128, 0.06)"), (1.0, f"rgb{TOWARDS}")]
_SIGNED = [(0.0, f"rgb{TOWARDS}"), (0.5, "rgba(128, 128, 128, 0.10)"), (1.0, f"rgb{AWAY}")]
_MARGIN = {"t": 40, "l": 10, "r": 10, "b": 10}


def attention_map(pattern: np.ndarray, tokens: tuple[Token, ...]) -> go.Figure:
    """One head's pattern (T, T): which positions (across) each position (down) reads."""
    names = [f"{p} {escape(token.label)}" for p, token in enumerate(tokens)]
    figure = _map(
        pattern,
        [
            [
                f"<b>{to}</b><br>reads {at}<br>weight {pattern[i, j]:.4f}"
                for j, at in enumerate(names)
            ]
            for i, to in enumerate(names)
        ],
        colorscale=_STRENGTH,
        zmin=0,
        zmax=1,
        showscale=False,
    )
    _ticks(figure.update_xaxes, names)
    _ticks(figure.update_yaxes, names)
    return figure


def lens_map(
    lens: LogitLens, rows: tuple[str, ...], tokens: tuple[Token, ...], tops: list[list[Token]]
) -> go.Figure:
    """The likeliest next token at every layer and position, coloured by its probability."""
    probs = lens.top_probs.cpu().numpy()
    figure = _map(
        probs,
        [
            [
                f"<b>{row}, position {p}</b> after {escape(tokens[p].label)}<br>"
                f"{escape(top.label)}: {probs[i, p]:.4f}"
                for p, top in enumerate(tops[i])
            ]
            for i, row in enumerate(rows)
        ],
        colorscale=_STRENGTH,
        zmin=0,
        zmax=1,
        showscale=False,
    )
    figure.update_traces(
        text=[[escape(top.label[:9]) for top in row] for row in tops], texttemplate="%{text}"
    )
    _ticks(figure.update_xaxes, [f"{p}<br>{escape(token.label)}" for p, token in enumerate(tokens)])
    _ticks(figure.update_yaxes, list(rows))
    return figure


def lens_lines(lens: LogitLens, rows: tuple[str, ...], tokens: tuple[Token, Token]) -> go.Figure:
    """Logit and rank of two tokens at the last position, layer by layer."""
    figure = go.Figure()
    for i, (token, colour) in enumerate(zip(tokens, (TOWARDS, AWAY), strict=True)):
        figure.add_scatter(
            x=list(range(len(rows))),
            y=lens.logits[:, i].tolist(),
            name=escape(token.label),
            mode="lines+markers",
            line={"color": f"rgb{colour}"},
            customdata=list(zip(rows, lens.ranks[:, i].tolist(), strict=True)),
            hovertemplate="<b>%{customdata[0]}</b><br>logit %{y:.4f}<br>rank %{customdata[1]}",
        )
    _ticks(figure.update_xaxes, list(rows))
    figure.update_yaxes(title="logit", fixedrange=True)
    figure.update_layout(height=300, margin=_MARGIN, legend={"orientation": "h", "y": 1.15})
    return figure


def heads_map(heads: np.ndarray) -> go.Figure:
    """What each head (L, H) does to the logit difference, no colour being nothing."""
    reach = float(np.abs(heads).max()) or 1.0
    figure = _map(
        heads,
        [
            [f"<b>layer {layer}, head {h}</b><br>{value:z.4f}" for h, value in enumerate(row)]
            for layer, row in enumerate(heads)
        ],
        colorscale=_SIGNED,
        zmin=-reach,
        zmax=reach,
        showscale=True,
    )
    _ticks(figure.update_xaxes, [f"head {h}" for h in range(heads.shape[1])])
    _ticks(figure.update_yaxes, [str(layer) for layer in range(heads.shape[0])])
    return figure


def trace_lines(trace: Trace, rows: tuple[str, ...], unpatched: str, other: str) -> go.Figure:
    """The logit difference at the last position layer by layer, of a patched run and of both plain
    ones, named `unpatched` and `other`."""
    figure = go.Figure()
    for run, name, colour in (
        ("base", f"{unpatched} run", AWAY),
        ("source", f"{other} run", TOWARDS),
        ("patched", "patched run", PATCHED),
    ):
        if run in trace.by_layer:
            figure.add_scatter(
                x=list(range(len(rows))),
                y=trace.by_layer[run].tolist(),
                name=name,
                mode="lines+markers",
                line={"color": f"rgb{colour}"},
                customdata=rows,
                hovertemplate="<b>%{customdata}</b><br>logit difference %{y:.4f}",
            )
    _ticks(figure.update_xaxes, list(rows))
    figure.update_yaxes(title="logit difference", fixedrange=True)
    figure.update_layout(height=300, margin=_MARGIN, legend={"orientation": "h", "y": 1.15})
    return figure


def attribution_layers(attribution: Attribution) -> go.Figure:
    """The same by layer: attention with its bias, and MLP; the embedding and the last bias too."""
    attention = (attribution.heads.sum(dim=1) + attribution.attention_bias).tolist()
    layers = [str(layer) for layer in range(len(attention))]
    figure = go.Figure()
    figure.add_bar(x=layers, y=attention, name="attention", marker={"color": f"rgb{TOWARDS}"})
    figure.add_bar(x=layers, y=attribution.mlp.tolist(), name="MLP", marker={"color": f"rgb{AWAY}"})
    figure.add_bar(
        x=["embedding", "final bias"],
        y=[attribution.embedding, attribution.final_bias],
        name="other",
        marker={"color": "rgb(128, 128, 128)"},
    )
    figure.update_traces(hovertemplate="%{x}<br>%{y:.4f}")
    figure.update_xaxes(
        type="category",
        categoryorder="array",
        categoryarray=["embedding", *layers, "final bias"],
        fixedrange=True,
    )
    figure.update_yaxes(fixedrange=True)
    figure.update_layout(height=300, margin=_MARGIN, legend={"orientation": "h", "y": 1.15})
    return figure


def _map(values: np.ndarray, hover: list[list[str]], **options) -> go.Figure:
    figure = go.Figure(
        go.Heatmap(
            z=values,
            customdata=hover,
            hovertemplate="%{customdata}<extra></extra>",
            xgap=1,
            ygap=1,
            **options,
        )
    )
    figure.update_layout(height=_HEIGHT_OF_A_ROW * len(values) + 130, margin=_MARGIN)
    figure.update_yaxes(autorange="reversed")
    return figure


def _ticks(update, labels: list[str]) -> None:
    update(
        tickvals=list(range(len(labels))),
        ticktext=labels,
        showgrid=False,
        zeroline=False,
        fixedrange=True,
    )
