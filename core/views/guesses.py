"""A guess of a map: painted in the map's own colours, how it came out in words, and as a file has
it."""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from core.errors import UserError
from core.guess import AWAY, MOVES, NOTHING, TOWARDS, Guess, Score, Surprise, score
from core.many.answer import Answer
from core.result import Map
from core.views.colour_bar import Mark, Painting, paint
from core.views.colours import reach
from core.views.heatmaps import NARROWEST, by_position, grid_of_layers, outline
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
        return {
            TOWARDS: f"moves towards {result.other}",
            NOTHING: "hardly moves",
            AWAY: "moves away",
        }[expected]
    return expects(result, expected)


def as_map(result: Map, guess: Guess) -> Map:
    """The map as it would be if every cell did all that is expected of it."""
    metric = result.experiment.metric
    values = result.plain(metric) + _way(result) * np.array(guess.cells)
    return replace(result, grids={metric: values})


def _way(result: Map) -> float:
    """As far as a cell goes that does all that it can."""
    metric = result.experiment.metric
    return (
        result.plain(metric, result.other) - result.plain(metric) if result.other else reach(result)
    )


def figure(
    result: Map,
    guess: Guess,
    narrowest: int | None = None,
    corner: tuple[int, int] | None = None,
    clickable: bool = True,
) -> go.Figure:
    """The guess as the map would be if every cell did all that is expected of it; it shows
    nothing of the result but its baselines. `narrowest` and `clickable` are those of
    `heatmaps.heatmap`; the `corner` of a block is outlined."""
    narrowest = narrowest or NARROWEST
    expected = np.array(guess.cells)
    # While it is painted, the colours stay as far apart whatever is painted.
    painting = paint(as_map(result, guess), reach=abs(_way(result)) if clickable else None)
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
        f"the guess of {averaged(result) if isinstance(result, Answer) else wording(result)}",
        _marks(result, painting),
        fields,
        [*lines, "the guess: %{customdata[3]}"],
        clickable=clickable,
        narrowest=narrowest,
    )
    if corner:
        outline(drawn, *corner, dash="dot")
    return drawn


def _marks(result: Map, painting: Painting) -> tuple[Mark, ...]:
    """What the colours stand for; not the numbers of such a map, which nothing would have."""
    left, right = painting.ends
    base, found = result.plain(result.experiment.metric), []
    for expected in EXPECTED:
        at = min(1.0, max(0.0, (base + expected * _way(result) - left) / (right - left)))
        anchor = "left" if at < 0.1 else "right" if at > 0.9 else "center"
        text = briefly(result, expected).removeprefix("moves ")
        found.append(Mark(at, text, int(expected == NOTHING), anchor))
    return tuple(mark for mark in found if mark.text != "away" or mark.at != found[1].at)


def came_out(result: Map, found: Score) -> str:
    """How a guess came out, in a sentence or two."""
    nothing = f"(nothing anywhere would have been right for {found.of_nothing:.0%})"
    says = f"The guess is right for {found.share:.0%} of the cells {nothing}"
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
    return f"{where}: guessed “{expects(result, expected)}”, {went}"


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


def told(said: dict, result: Map) -> tuple[Guess, str]:
    """The inverse of `said`, of a file of ours: the guess, and why. Raises UserError for a guess of
    another map."""
    cells = said["cells"]
    rows, columns = result.values.shape
    fits = len(cells) == rows and all(len(row) == columns for row in cells)
    if not fits or set().union(*cells) - {*EXPECTED}:
        raise UserError(f"Its guess is not one of a map of {rows} rows and {columns} columns.")
    return Guess(tuple(map(tuple, cells))), said["why"]


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
