"""Sets of components -> Plotly figures: the maps they are chosen on, how they grow, what each
member does."""

from collections.abc import Iterable

import plotly.graph_objects as go

from core.question.components import Component
from core.result import EMBEDDING, ENOUGH, ComponentMap, Curve, Grade, Result
from core.views import heatmaps
from core.views.colour_bar import paint
from core.views.colours import BLUE, GREY, ORANGE, PURPLE, rgba
from core.views.heatmaps import CHARACTER, NARROWEST, dressed, grid_of_layers, outline
from core.views.path_maps import fields
from core.views.words import formula, number, plotly_text, wording

_LABELLED = 24  # components of a curve that are named along it
_MARGIN = {"t": 36, "l": 10, "r": 10, "b": 10}
_LEGEND = {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}
ALONE, LOST = "put in alone", "lost without it"


def singles(of: ComponentMap, members: Iterable[Component] = ()) -> go.Figure:
    """What each head and each MLP does alone, layers down; those of a set are outlined. A click's
    first fields are row and column."""
    painting, metric = paint(of), of.experiment.metric
    figure = grid_of_layers(
        painting,
        f"each alone: {wording(of)}",
        painting.marks(NARROWEST / CHARACTER),
        fields(of),
        [
            "<b>%{customdata[2]}</b>, at all positions",
            f"<b>{plotly_text(formula(of, metric))}: %{{customdata[3]}}</b>",
            f"change against the {of.unpatched} run: %{{customdata[4]}}",
        ],
        clickable=True,
        narrowest=NARROWEST,
    )
    last = len(of.columns) - 1
    for member in members:
        if member.position is None and member.kind in ("head", "mlp", "attn"):
            heads = range(last) if member.kind == "attn" else (member.head,)
            for column in (last,) if member.kind == "mlp" else heads:
                outline(figure, member.layer, column)
    return figure


def stream(result: Result, members: Iterable[Component] = ()) -> go.Figure:
    """What each cell of the residual stream does alone; those of a set are outlined."""
    figure = heatmaps.heatmap(result)
    for member in members:
        row = str(member.layer) if member.kind == "resid" else member.kind
        if row in result.rows:  # of the MLPs and heads there are none
            columns = range(len(result.clean)) if member.position is None else (member.position,)
            for column in columns:
                outline(figure, result.rows.index(row), column)
    return figure


def cell_of(result: Result, row: int, column: int) -> Component:
    """The component that a cell of `stream` stands for."""
    name = result.rows[row]
    if name == EMBEDDING:
        return Component("embedding", position=column)
    return Component("resid", int(name), position=column)


def single_of(of: ComponentMap, row: int, column: int) -> Component:
    """The component that a cell of `singles` stands for."""
    if column == len(of.columns) - 1:
        return Component("mlp", row)
    return Component("head", row, column)


def curve(of: Curve) -> go.Figure:
    """The size of a set against its share, or against its metric where there are no shares; the
    smallest that is enough stands out."""
    names = ("none", *(f"+ {name}" for name in of.components))
    metric, size = of.experiment.metric, of.smallest()
    has_shares = of.effects[0].share is not None
    heights = [effect.share if has_shares else effect.value for effect in of.effects]
    told = [
        [k, name, number(metric, effect.value)]
        for k, (name, effect) in enumerate(zip(names, of.effects, strict=True))
    ]
    height = "%{y:.1%}" if has_shares else "%{customdata[2]}"
    figure = go.Figure()
    figure.add_scatter(
        x=list(range(len(names))),
        y=heights,
        mode="lines+markers",
        line={"color": rgba(BLUE), "width": 2},
        marker={"size": 6},
        customdata=told,
        hovertemplate=f"<b>%{{customdata[0]}}: {height}</b><br>%{{customdata[1]}}"
        "<br>metric %{customdata[2]}<extra></extra>",
        showlegend=False,
    )
    if has_shares:
        for share in (ENOUGH, 1.0):
            line = {"color": rgba(GREY), "width": 1, "dash": "dash" if share < 1 else "dot"}
            figure.add_hline(share, line=line)
    if size is not None:
        figure.add_scatter(
            x=[size],
            y=[heights[size]],
            mode="markers",
            marker={"color": rgba(PURPLE), "size": 13, "symbol": "diamond"},
            hoverinfo="skip",
            showlegend=False,
        )
        side = "left" if size < 0.9 * len(names) else "right"
        figure.add_annotation(  # below the line of what is enough, which it must not cross
            x=size,
            y=ENOUGH - 0.03,
            text=f"{size}: {heights[size]:.0%}",
            xanchor=side,
            yanchor="top",
            showarrow=False,
        )
    title = "share of the difference" if has_shares else "metric"
    figure.update_yaxes(title=title, tickformat=".0%" if has_shares else "", fixedrange=True)
    axis = {"title": "components in the set", "fixedrange": True, "nticks": 12}
    if len(names) <= _LABELLED:
        axis |= {
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "title": "added one by one",
        }
    figure.update_xaxes(axis)
    figure.update_layout(height=320, margin=_MARGIN, dragmode=False)
    return dressed(figure)


def of_members(grade: Grade) -> tuple[dict[str, list[float]], str]:
    """What each member does alone, and what is lost of what all do together when it is left out;
    and what that is counted in: shares or, where there are none, changes of the metric."""
    if grade.joint.share is None:
        unpatched = grade.plain(grade.experiment.metric)
        alone = [effect.value - unpatched for effect in grade.alone]
        lost = [grade.joint.value - effect.value for effect in grade.without]
        return {ALONE: alone, LOST: lost}, "change of the metric"
    alone = [effect.share for effect in grade.alone]
    lost = [grade.joint.share - effect.share for effect in grade.without]
    return {ALONE: alone, LOST: lost}, "share of the difference"


def members(grade: Grade) -> go.Figure:
    """`of_members` as bars."""
    bars, unit = of_members(grade)
    places, digits = list(range(len(grade.components))), ".4f"
    if grade.joint.share is not None:
        digits = ".1%"
    figure = go.Figure()
    for name, colour in ((ALONE, BLUE), (LOST, ORANGE)):
        figure.add_bar(
            y=places,
            x=bars[name],
            orientation="h",
            name=name,
            marker={"color": rgba(colour)},
            customdata=list(grade.components),
            hovertemplate=f"<b>%{{customdata}}</b> {name}: %{{x:{digits}}}<extra></extra>",
        )
    ticks = {"tickvals": places, "ticktext": list(grade.components)}
    figure.update_yaxes(**ticks, range=[len(places) - 0.5, -0.5], fixedrange=True)
    figure.update_xaxes(title=unit, tickformat=digits.replace("1", "0"), fixedrange=True)
    height = 100 + 30 * len(places)
    figure.update_layout(height=height, margin=_MARGIN, legend=_LEGEND, dragmode=False, bargap=0.25)
    return dressed(figure)
