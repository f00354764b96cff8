"""A finding -> its figures, for a browser to hover and as pictures to print; and its data files."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
import plotly.graph_objects as go

from core.guess import score
from core.report.captions import panels
from core.report.findings import Finding, cell
from core.result import Map, PathMap, Result
from core.views import (
    exports,
    guesses,
    heatmaps,
    many_maps,
    opening,
    path_files,
    path_maps,
    run_files,
)
from core.views.colour_bar import layers_alone, on_one_scale
from core.views.formats import csv_of, named
from core.views.run_figures import lens_lines
from core.views.saved import Lenses, StoredAnswer

_ROOM = 540  # pixels for the cells of a figure that has the width of a page


@dataclass(frozen=True)
class Figure:
    """What tells it from the others of a finding, the figure, and how it is made a picture of a
    format, "png", "svg" or "pdf"."""

    name: str
    plotly: go.Figure
    picture: Callable[[str], bytes]


def figures(of: Finding) -> list[Figure]:
    """Made once, whatever is written about it."""
    return _figures(replace(of, id="", title="", words=""))


@lru_cache(maxsize=64)
def _figures(of: Finding) -> list[Figure]:
    found = of.opened.found
    if isinstance(found, Lenses):
        lines = lens_lines(found.lenses, found.rows, (found.target, found.foil))
        return [Figure("", lines, partial(_lens_picture, found))]
    at, guessed, made, drawn_of = cell(of), of.guesses, [], panels(of)
    room = _ROOM if len(drawn_of) == 1 else heatmaps.NARROWEST
    for panel in drawn_of:
        shown, surprises = of.maps[panel.name], ()
        if panel.name in guessed:
            guess, _ = guessed[panel.name]
            surprises = [(one.row, one.column) for one in score(guess, shown).surprises]
        if panel.is_guess:
            drawn = guesses.figure(shown, guess, room, clickable=False)
            expected = partial(_guess_picture, guesses.as_map(shown, guess))
            made.append(Figure(panel.heading, drawn, expected))
            continue
        how = {"view": of.view, "at": at, "surprises": surprises, "scale": _scale(of, shown)}
        drawn = _plotly(shown, room=room, **how)
        made.append(Figure(panel.heading, drawn, partial(_map_picture, shown, **how)))
    return made


Cells = Sequence[tuple[int, int]]


def _scale(of: Finding, shown: Map) -> dict:
    """The scale of a map, as on the page it is from, for `colour_bar.paint`."""
    if isinstance(shown, PathMap):
        return {"reach": path_maps.reach_beside(shown, of.opened.data.get("reach"))}
    return {"beside": on_one_scale(shown, of.maps.values())}


def _plotly(
    shown: Map, view: str, at: tuple[int, int] | None, surprises: Cells, room: int, scale: dict
) -> go.Figure:
    options = {"clickable": False, "narrowest": room, "surprises": surprises}
    if isinstance(shown, StoredAnswer):
        return many_maps.heatmap(shown, **options, **scale)
    if isinstance(shown, PathMap):
        return path_maps.heatmap(shown, **scale, clickable=False)
    return heatmaps.heatmap(shown, at, view=view, **options, **scale)


def _map_picture(
    shown: Map, format: str, view: str, at: tuple[int, int] | None, surprises: Cells, scale: dict
) -> bytes:
    from core.views.pictures import picture  # only here: it takes half a second to import

    return picture(shown, format, view, bare=True, framed=at, surprises=surprises, **scale)


def _guess_picture(expected: Map, format: str) -> bytes:
    from core.views.pictures import picture  # only here: it takes half a second to import

    return picture(expected, format, bare=True, sure=False)


def _lens_picture(found: Lenses, format: str) -> bytes:
    """The logits of target and foil at the last position, layer by layer."""
    from matplotlib.figure import Figure as Sheet

    from core.views.colours import RUNS
    from core.views.words import quoted

    sheet = Sheet(figsize=(6.4, 3.4), layout="constrained")
    axes = sheet.add_subplot()
    for run, lens in found.lenses.items():
        colour = [channel / 255 for channel in RUNS[run]]
        for token, logits, line in zip(
            (found.target, found.foil), lens.logits.T, ("-", "--"), strict=True
        ):
            name = f"{quoted(token)}, {run} run"
            axes.plot(range(len(found.rows)), logits, line, color=colour, label=name)
    axes.set_xticks(range(len(found.rows)), found.rows, fontsize=8, parse_math=False)
    axes.set(xlabel="after layer", ylabel="logit")
    for text in axes.legend(fontsize=8, frameon=False).get_texts():
        text.set_parse_math(False)
    file = io.BytesIO()
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    sheet.savefig(file, format=format, dpi=200, metadata=undated.get(format))
    return file.getvalue()


def of_which(name: str) -> str:
    """What the names of files say of which of a finding's maps they are."""
    return f"-{name}" if name.isidentifier() else ""


def data_files(of: Finding) -> dict[str, Callable[[], str]]:
    """The data of a finding by the names of their files: all of it as JSON, and as tables."""
    found, data = of.opened.found, of.opened.data
    files: dict[str, Callable[[], str]] = {"result.json": lambda: of.content}
    if isinstance(found, PathMap):
        files["paths.csv"] = partial(path_files.paths_csv, found)
    elif isinstance(found, StoredAnswer):
        files["summary.csv"] = partial(_summary_csv, found)
    elif isinstance(found, Lenses):
        tops = {run: lens.tops for run, lens in found.lenses.items()}
        tokens = {"clean": found.clean, "corrupted": found.corrupted}
        pair = found.target, found.foil
        files["lens.csv"] = partial(
            run_files.lens_csv, found.lenses, found.rows, tokens, tops, pair
        )
    for name, shown in of.opened.maps.items():
        if isinstance(shown, Result):
            if of.view == "assignment" and len(shown.axes) == 2:
                shown = layers_alone(shown)
            files[f"grid{of_which(name)}.csv"] = partial(exports.grid_csv, shown)
            files[f"top20{of_which(name)}.csv"] = partial(exports.top_csv, shown)
    if len(files) == 1:
        files["numbers.csv"] = lambda: csv_of(
            [("what", "number"), *((named(at), n) for at, n in opening.measured(data))]
        )
    return files


def _summary_csv(found: StoredAnswer) -> str:
    """The map by cell, with its intervals."""
    s = found.summary
    lines = [("layer", found.axes[1], "mean", "low", "high", "agreement")]
    for row, column in np.ndindex(s.mean.shape):
        values = (grid[row, column].item() for grid in (s.mean, s.low, s.high, s.agreement))
        place = map(named, (found.rows[row], found.columns[column]))
        lines.append((*place, *("" if value != value else value for value in values)))
    return csv_of(lines)
