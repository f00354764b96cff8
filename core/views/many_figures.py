"""Answer to many pairs -> Plotly figures of the pairs: in a cell, by layer, on the plain runs."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from core.many.answer import Answer
from core.many.fitting import Fitted
from core.many.pairs import Dropped, Pair, counted
from core.many.summary import LEVEL
from core.many.values import Screened
from core.question.metrics import METRICS
from core.question.tokens import Token
from core.views.colours import BLUE, GREY, ORANGE, PURPLE, rgba
from core.views.heatmaps import axis, dressed
from core.views.words import (
    column_name,
    number,
    plain,
    plotly_text,
    row_name,
    short,
)

_MOST_LANES = 8
_LANE = 54  # pixels
_SHOWN = 90  # characters of a text
_FAR = 1.5  # interquartile ranges from the quartiles: an outlier, as Tukey has it


def strip(answer: Answer, row: int, column: int) -> go.Figure:
    """Every pair's value in a cell as a dot, in a lane for each group; far ones stand out. Each
    dot's first field is the pair's index in `answer.pairs`."""
    values = answer.summary.of_pairs[:, row, column]
    lanes = _lanes(answer)
    names = list(dict.fromkeys(lanes))
    is_far = np.isin(np.arange(len(values)), outliers(answer, row, column, only_far=True))
    ids = (of.pair.pair.id for of in answer.pairs)
    y = [names.index(lane) + _jitter(id) for lane, id in zip(lanes, ids, strict=True)]
    metric = answer.experiment.metric
    hovers = [
        [i, number(metric, value), *_words(of.pair.pair)]
        for i, (value, of) in enumerate(zip(values, answer.pairs, strict=True))
    ]
    figure = go.Figure()
    s = answer.summary
    band = (s.low[row, column], s.high[row, column])
    figure.add_vrect(*band, fillcolor=rgba(PURPLE, 0.18), line_width=0)
    figure.add_vline(s.mean[row, column], line={"color": rgba(PURPLE), "width": 2})
    figure.add_vline(s.unpatched, line={"color": rgba(GREY), "width": 1, "dash": "dot"})
    for far, colour, symbol in ((False, BLUE, "circle"), (True, ORANGE, "diamond")):
        which = np.flatnonzero(is_far == far)
        figure.add_scatter(
            x=values[which],
            y=[y[i] for i in which],
            mode="markers",
            name="far from most" if far else "a pair",
            marker={"color": rgba(colour, 0.65), "size": 7, "symbol": symbol},
            customdata=[hovers[i] for i in which],
            hovertemplate="<b>%{customdata[1]}</b> · %{customdata[2]}<br>%{customdata[3]}"
            "<br>%{customdata[4]}<br>%{customdata[5]}<extra></extra>",
            showlegend=False,
        )
    figure.update_yaxes(axis([plotly_text(short(name)) for name in names]))
    figure.update_yaxes(range=[len(names) - 0.5, -0.5])
    title = METRICS[answer.experiment.metric].title
    figure.update_xaxes(title=title, fixedrange=True, nticks=6)
    return _sized(figure, 60 + max(90, _LANE * len(names)))


def strip_says(answer: Answer, row: int, column: int) -> str:
    """What a strip is of, and what its lines are."""
    far = len(outliers(answer, row, column, only_far=True))
    return (
        f"{row_name(answer, row).capitalize()}, {column_name(answer, column)}: {answer.used}. Line:"
        f" their mean; band: its {LEVEL:.0%} interval; dotted: unpatched. Orange: {far:,} far from"
        f" most (beyond {_FAR} interquartile ranges from the quartiles) in what the patch did to"
        " them, as a share of the difference between their own two runs."
    )


def outliers(answer: Answer, row: int, column: int, only_far: bool = False) -> list[int]:
    """The pairs, as indices of `answer.pairs`, of which the patch did least what it does to most,
    first: by their own shares (`Answer.own_shares`), since the values of pairs whose plain runs lie
    apart do so too. Of those beyond _FAR interquartile ranges from the quartiles, if `only_far`."""
    shares = answer.own_shares(row, column)
    known = np.flatnonzero(np.isfinite(shares))
    if not len(known):
        return [] if only_far else list(range(len(shares)))
    first, median, third = np.quantile(shares[known], (0.25, 0.5, 0.75))
    distance = np.where(np.isfinite(shares), np.abs(shares - median), -1.0)
    order = np.argsort(-distance, kind="stable").tolist()
    reach = _FAR * (third - first)
    if only_far:
        known = set(known.tolist())
        order = [i for i in order if i in known and not first - reach <= shares[i] <= third + reach]
    return order


def peaks(answer: Answer, column: int | None = None) -> go.Figure:
    """How many pairs have their largest effect, either way, in which row: in one column, or
    anywhere. Rows are in the order of the map."""
    found = answer.summary.peaks(column)
    counts = [int((found == row).sum()) for row in range(len(answer.rows))]
    figure = go.Figure()
    figure.add_bar(
        x=counts,
        y=list(range(len(counts))),
        orientation="h",
        marker={"color": rgba(BLUE, 0.8)},
        customdata=[
            f"<b>{row_name(answer, row)}</b><br>{count:,} of {counted(len(found), 'pair')}"
            for row, count in enumerate(counts)
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    figure.update_yaxes(axis(list(answer.rows), title="patched layer"))
    figure.update_yaxes(range=[len(counts) - 0.5, -0.5])
    figure.update_xaxes(title="pairs", fixedrange=True, nticks=4, rangemode="tozero")
    height = max(14 * len(counts), min(32 * len(counts), 224))
    return _sized(figure, height + 60).update_layout(bargap=0.25)


def peaks_say(answer: Answer, column: int | None = None) -> str:
    """What the bars are of, and how many pairs are in none."""
    nothing = int((answer.summary.peaks(column) < 0).sum())
    where = "in any column" if column is None else f"at {column_name(answer, column)}"
    says = f"In which layer a pair’s effect is largest, {where}; {answer.used}."
    return says + (f" Nothing moves {nothing:,} of them." if nothing else "")


def screening(rows: Sequence[tuple[Fitted, Screened, str]]) -> go.Figure:
    """LD on both plain runs, a dot for each pair; those left out are hollow. `rows` say why a pair
    is left out, or ""."""
    figure = go.Figure()
    hovers = [
        [
            i,
            *_words(pair.pair),
            _answer("clean", of.clean_top, of.clean_difference, "target", of.target_rank),
            _answer("corrupted", of.corrupted_top, of.corrupted_difference, "foil", of.foil_rank),
            plotly_text(f"left out: {why}") if why else "used",
        ]
        for i, (pair, of, why) in enumerate(rows)
    ]
    for kept, name in ((True, "used"), (False, "left out")):
        which = [i for i, (_, _, why) in enumerate(rows) if (not why) == kept]
        fill = {"color": rgba(BLUE, 0.55), "symbol": "circle"}
        hollow = {"color": rgba(ORANGE), "symbol": "circle-open", "line": {"width": 1.5}}
        figure.add_scatter(
            x=[rows[i][1].clean_difference for i in which],
            y=[rows[i][1].corrupted_difference for i in which],
            mode="markers",
            name=f"{name} ({len(which):,})",
            marker={"size": 7, **(fill if kept else hollow)},
            customdata=[hovers[i] for i in which],
            hovertemplate="<b>%{customdata[1]}</b><br>%{customdata[2]}<br>%{customdata[3]}<br>"
            "%{customdata[4]}<br>%{customdata[5]}<br>%{customdata[6]}<br>%{customdata[7]}"
            "<extra></extra>",
        )
    left, right = _ends([of.clean_difference for _, of, _ in rows])
    low, high = _ends([of.corrupted_difference for _, of, _ in rows])
    figure.add_shape(
        **{"type": "rect", "x0": left, "x1": 0, "y0": 0, "y1": high, "layer": "below"},
        **{"fillcolor": rgba(BLUE, 0.08), "line": {"width": 0}},
    )
    figure.add_annotation(
        text="the answer flips",
        **{"x": left, "y": high, "xanchor": "left", "yanchor": "top", "showarrow": False},
    )
    figure.update_xaxes(title="LD, clean run", range=[left, right], fixedrange=True)
    figure.update_yaxes(title="LD, corrupted run", range=[low, high], fixedrange=True)
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    return _sized(figure, 340)


def screening_table(
    rows: Sequence[tuple[Fitted, Screened, str]], dropped: Sequence[Dropped]
) -> list[dict[str, object]]:
    """The same as a table of all that was given, by line; of what cannot be used the reason."""
    any_why = bool(dropped) or any(why for *_, why in rows)
    table = [
        {
            "line": pair.pair.line,
            "used": "left out" if why else "yes",
            **({"why not": why} if any_why else {}),
            "clean": pair.pair.clean,
            "corrupted": pair.pair.corrupted,
            "LD clean": of.clean_difference,
            "LD corrupted": of.corrupted_difference,
            "clean run expects": of.clean_top.label,
            "target's rank": of.target_rank,
            "corrupted run expects": of.corrupted_top.label,
            "foil's rank": of.foil_rank,
            "id": pair.pair.id,
            "group": pair.pair.group,
        }
        for pair, of, why in rows
    ]
    cannot = (
        {"line": row.line, "used": "cannot be", "why not": row.reason, "id": row.id}
        for row in dropped
    )
    return sorted([*table, *cannot], key=lambda row: row["line"])


def _lanes(answer: Answer) -> list[str]:
    groups = [of.pair.pair.group or "no group" for of in answer.pairs]
    return groups if 1 < len(Counter(groups)) <= _MOST_LANES else ["all pairs"] * len(groups)


def _jitter(id: str) -> float:
    """How far from the middle of its lane a dot is: the same in every figure."""
    return (hashlib.sha256(id.encode()).digest()[1] / 255 - 0.5) * 0.62


def _words(pair: Pair) -> tuple[str, ...]:
    """A pair in the lines of a hover: its id and group, both texts, target and foil."""
    called = f"{pair.id} ({pair.group})" if pair.group else pair.id
    asked = f"target {_one_of(pair, 'target')}, foil {_one_of(pair, 'foil')}"
    sides = (f"clean: {_shown(pair.clean)}", f"corrupted: {_shown(pair.corrupted)}")
    return tuple(map(plotly_text, (short(plain(called), 40), *sides, asked)))


def _shown(text: str) -> str:
    """A text, or of a long one its end, where the answer comes."""
    text = plain(text)
    return text if len(text) <= _SHOWN else f"…{text[1 - _SHOWN :]}"


def _one_of(pair: Pair, field: str) -> str:
    texts = getattr(pair, field) or tuple(f"id {id}" for id in getattr(pair, f"{field}_ids"))
    said = " or ".join(f'"{plain(text)}"' for text in texts[:3])
    return said + (f" or {len(texts) - 3} more" if len(texts) > 3 else "")


def _answer(run: str, top: Token, difference: float, field: str, rank: int) -> str:
    expects = f"expects {short(top.label)}; {field} at rank {rank:,}"
    return plotly_text(f"{run} run: LD {difference:z.3f}, {expects}")


def _ends(values: list[float]) -> tuple[float, float]:
    """An axis that has 0 and some room on either side."""
    low, high = min((*values, 0.0)), max((*values, 0.0))
    room = 0.08 * (high - low) or 1.0
    return low - room, high + room


def _sized(figure: go.Figure, height: float) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"t": 24, "l": 10, "r": 10, "b": 10},
        dragmode=False,
        clickmode="event+select",
        hoverlabel={"align": "left"},
    )
    chosen = {"marker": {"size": 12}}
    figure.update_traces(selector={"type": "scatter"}, selected=chosen, unselected={})
    return dressed(figure)
