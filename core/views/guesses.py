"""A guess of a map: painted in the map's own colours, and how it came out in words."""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from core.guess import AWAY, MOVES, NOTHING, TOWARDS, Guess, Score, Surprise, score
from core.many.answer import Answer
from core.result import Map
from core.views.colour_bar import paint
from core.views.colours import reach
from core.views.heatmaps import CHARACTER, NARROWEST, by_position, grid_of_layers, outline
from core.views.words import averaged, column_name, plotly_text, row_name, wording

EXPECTED = (TOWARDS, NOTHING, AWAY)


def expects(result: Map, expected: int) -> str:
    """What AWAY, NOTHING and TOWARDS say of a cell of a map."""
    if result.other:
        return {
            TOWARDS: f"towards the {result.other} run",
            NOTHING: "hardly moves",
            AWAY: f"away from the {result.other} run",
        }[expected]
    return {TOWARDS: "rises", NOTHING: "hardly moves", AWAY: "falls"}[expected]


def briefly(result: Map, expected: int) -> str:
    """The same in as few words as a button has room for."""
    if result.other:
        return {TOWARDS: f"towards {result.other}", NOTHING: "hardly moves", AWAY: "away"}[expected]
    return expects(result, expected)


def figure(
    result: Map,
    guess: Guess,
    narrowest: int | None = None,
    corner: tuple[int, int] | None = None,
) -> go.Figure:
    """The guess as the map would be if every cell did all that is expected of it; it shows
    nothing of the result but its baselines. `narrowest` is that of `heatmaps.heatmap`; the
    `corner` of a block is outlined."""
    narrowest = narrowest or NARROWEST
    metric, base = result.experiment.metric, result.plain(result.experiment.metric)
    way = result.plain(metric, result.other) - base if result.other else reach(result)
    expected = np.array(guess.cells)
    painting = paint(replace(result, grids={metric: base + way * expected}), reach=abs(way))
    fields = np.array(
        [
            [str(row), str(column), plotly_text(_place(result, row, column))]
            + [expects(result, expected[row, column])]
            + [
                plotly_text(side[column].label) if _has_tokens(result) else ""
                for side in (getattr(result, "clean", ()), getattr(result, "corrupted", ()))
            ]
            for row, column in np.ndindex(guess.shape)
        ],
        dtype=object,
    ).reshape(*guess.shape, -1)
    lines = ["<b>%{customdata[2]}</b>"]
    if _has_tokens(result):
        lines.append("clean %{customdata[4]} · corrupted %{customdata[5]}")
    drawn = grid_of_layers(
        painting,
        f"your guess of {averaged(result) if isinstance(result, Answer) else wording(result)}",
        painting.marks(narrowest / CHARACTER) if result.other else (),
        fields,
        [*lines, "your guess: %{customdata[3]}"],
        clickable=True,
        narrowest=narrowest,
    )
    if corner:
        outline(drawn, *corner, dash="dot")
    return drawn


def came_out(result: Map, found: Score) -> str:
    """How a guess came out, in a sentence or two."""
    nothing = f"(nothing anywhere would have been right for {found.of_nothing:.0%})"
    says = f"Your guess is right for {found.share:.0%} of the cells {nothing}"
    if found.correlation is None:
        return f"{says}."
    return f"{says}; its correlation with the map is {found.correlation:.2f}."


def surprised(result: Map, surprise: Surprise) -> str:
    """What a cell did of which something else was expected."""
    row, column, expected, share = surprise
    where = _place(result, row, column)
    if _has_tokens(result):
        where += f" ({result.clean[column].label})"
    if abs(share) < MOVES:
        went = "it hardly moved"
    elif result.other:
        went = f"it went {abs(share):.0%} of the way {'towards' if share > 0 else 'away from'}"
        went += f" the {result.other} run"
    else:
        went = f"it {'rose' if share > 0 else 'fell'}"
        went += f" by {abs(share):.0%} of what the strongest cell did"
    said = {NOTHING: "that it hardly moves"}.get(expected, f"“{expects(result, expected)}”")
    return f"{where}: you said {said}; {went}."


def said(result: Map, guess: Guess, why: str) -> dict:
    """A guess and how it came out, as a file has it: of each cell -1 (away), 0 or 1 (towards), the
    rows as the map has them."""
    found = score(guess, result)
    return {
        "cells": guess.cells,
        "rows": result.rows,
        "why": why,
        "share_right": found.share,
        "share_right_of_nothing": found.of_nothing,
        "correlation": found.correlation,
        "moves_from": MOVES,
    }


def rule(result: Map) -> str:
    """From where on a cell counts as moved."""
    if result.other:
        return f"A cell moves if it goes {MOVES:.0%} of the way between the two runs or more."
    return f"A cell moves if it goes {MOVES:.0%} as far as the strongest one, or more."


def _place(result: Map, row: int, column: int) -> str:
    """Which cell it is."""
    if isinstance(result, Answer):
        return f"{row_name(result, row)}, {column_name(result, column)}"
    return f"{row_name(result, row)}, {result.axes[1]} {column}"


def _has_tokens(result: Map) -> bool:
    """Whether its columns are the tokens of one pair of texts."""
    return by_position(result) and not isinstance(result, Answer)
