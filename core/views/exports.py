"""Result -> CSV and JSON, and back to the same numbers: see `core.views.formats`.

A matrix is for NumPy as well: numbers alone, below lines that begin with `#` and say what they are.
"""

import csv
import io
import json
from dataclasses import asdict, dataclass

import numpy as np

from core.errors import UserError
from core.question.experiment import SIDES, Experiment
from core.question.metrics import METRICS
from core.question.tokens import Token
from core.result import EMBEDDING, Baseline, ModelCard, Moved, Ranked, Result
from core.views.formats import (
    BYTE_ORDER_MARK,
    asked_of_pair,
    cells_of,
    contending,
    csv_of,
    exactly,
    in_words,
    json_of,
    named,
    what_of,
)
from core.views.sentences import predicts
from core.views.words import formula, quoted, replaced, summary

_TOKEN_LABELS = ("clean_id", "clean_token", "corrupted_id", "corrupted_token")


@dataclass(frozen=True)
class Chosen:
    """The patched run of one cell of a map: its row, its column and its likeliest next tokens."""

    row: int
    column: int
    top: tuple[Moved, ...]

    def place(self, shown: Result) -> dict[str, str | int]:
        """Which cell of a map it is, by the names of its axes."""
        place = {"layer": shown.rows[self.row], shown.axes[1]: self.column}
        at = {} if shown.at_position is None else {"position": shown.at_position}
        return place | at


def to_json(
    result: Result,
    shown: Result | None = None,
    chosen: Chosen | None = None,
    guessed: dict | None = None,
) -> str:
    """Everything in a result but how long it took, so that the same experiment gives the same
    file; `values` is by `axes`, layers first, the embedding row apart. With the run that was
    `chosen` on the map that is `shown`, and what was `guessed` of it, which `from_json` passes
    over."""
    besides = {"patched_run": _patched_run(shown or result, chosen)} if chosen else {}
    besides |= {"guess": guessed} if guessed else {}
    return json_of(_to_dict(result) | besides)


def maps_json(
    page: str, results: dict[str, Result], guessed: dict[str, dict | None] | None = None
) -> str:
    """Several results of one page, each by a name and as in `to_json`, with what was `guessed` of
    some of them."""
    made = {
        name: _to_dict(of) | ({"guess": guess} if (guess := (guessed or {}).get(name)) else {})
        for name, of in results.items()
    }
    return json_of({"page": page, "maps": made})


def _to_dict(result: Result) -> dict:
    metric = result.experiment.metric
    return {
        **asked_of_pair(result),
        **contending(result.target, result.foil),
        "axes": result.axes,
        "at_position": result.at_position,
        "metric": metric,
        "in_words": in_words(result) | {"model": predicts(result.model.smoke_test)},
        **_layers_apart(result, metric),
        "clean_value": result.baselines[metric].clean,
        "corrupted_value": result.baselines[metric].corrupted,
        "metrics": {
            name: _layers_apart(result, name) | asdict(result.baselines[name])
            for name in result.grids
        },
        "top": {side: [_ranked_row(row) for row in result.top[side]] for side in SIDES},
    }


def from_json(text: str) -> Result:
    """The inverse of `to_json`. Raises UserError for a text that is no such file."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UserError(f"This is no result that Patchboard wrote: {error!r}.") from error
    return from_values(data)


def from_values(data: dict) -> Result:
    """The same of what JSON makes of such a text."""
    try:
        experiment = Experiment.from_dict(data["experiment"])
        rows = [str(layer) for layer in range(data["model"]["layers"])]
        return Result(
            experiment=experiment,
            model=ModelCard.from_dict(data["model"]),
            clean=tuple(Token(**token) for token in data["tokens"]["clean"]),
            corrupted=tuple(Token(**token) for token in data["tokens"]["corrupted"]),
            target=Token(**data["target"]),
            foil=Token(**data["foil"]),
            axes=tuple(data["axes"]),
            rows=(EMBEDDING, *rows) if experiment.embedding else tuple(rows),
            grids={
                name: np.array(grid.get(EMBEDDING, []) + grid["values"], dtype=np.float32)
                for name, grid in data["metrics"].items()
            },
            baselines={
                name: Baseline(grid["clean"], grid["corrupted"])
                for name, grid in data["metrics"].items()
            },
            top={side: tuple(map(_ranked, data["top"][side])) for side in SIDES},
            seconds=data.get("seconds", {}),  # older files have them
            at_position=data.get("at_position"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"This is no result that Patchboard wrote: {error!r}.") from error


def grid_csv(result: Result) -> str:
    """The grid in long form: a line for each cell, a column for each metric; tokens beside a
    position, where the site has one; in the end which experiment it is."""
    labels = _TOKEN_LABELS if "position" in result.axes else ()
    asked = what_of(result)
    lines = [(*result.axes, *labels, *result.grids, *asked)]
    for cell in np.ndindex(result.values.shape):
        place = dict(zip(result.axes, cell, strict=True))
        tokens = ()
        if "position" in place:
            p = place["position"]
            tokens = (*cells_of(result.clean[p]), *cells_of(result.corrupted[p]))
        values = [grid[cell].item() for grid in result.grids.values()]
        lines.append((result.rows[cell[0]], *cell[1:], *tokens, *values, *asked.values()))
    return csv_of(lines)


def read_grid_csv(text: str) -> dict[str, np.ndarray]:
    """The grids of a `grid_csv`, metric -> array by its axes. Raises UserError for other texts."""
    try:
        lines = list(csv.DictReader(io.StringIO(text.removeprefix(BYTE_ORDER_MARK))))
        [line["layer"] for line in lines]  # a grid has layers, whatever else
        axes = [name for name in ("head", "position") if name in lines[0]]
        shape = [1 + max(int(line[axis]) for line in lines) for axis in axes]
        return {
            name: np.array([line[name] for line in lines], dtype=np.float32).reshape(-1, *shape)
            for name in lines[0]
            if name in METRICS
        }
    except (ValueError, KeyError, IndexError, TypeError, csv.Error) as error:
        raise UserError(f"This is no grid that Patchboard wrote: {error!r}.") from error


def matrix_csv(result: Result) -> str:
    """The values of the experiment's own metric as a plain matrix, a line for each layer and a
    column for each position or head; what it is of, and the embedding's row, in lines that begin
    with `#`. `numpy.loadtxt(file, delimiter=",")` reads it. Raises UserError for three axes."""
    if len(result.axes) > 2:
        raise UserError(
            f"a matrix has two axes and {result.experiment.site} has three: use the grid as CSV."
        )
    metric, first = result.experiment.metric, int(result.rows[0] == EMBEDDING)
    apart = f"; the row of the {EMBEDDING}, which is no layer, is in the comment of that name"
    about = {
        "lines": "layers from 0 on" + apart * first,
        "columns": f"{result.axes[1]}s from 0 on",
        "values": formula(result, metric, quoted),
        "patched": summary(result),
        "model": result.model.name,
        **{f"{run} run": str(result.plain(metric, run)) for run in SIDES},
        **{side: json.dumps([token.text for token in getattr(result, side)]) for side in SIDES},
        **({EMBEDDING: ",".join(map(str, result.values[0]))} if first else {}),
    }
    # In ASCII, and without a byte order mark, so that NumPy reads it wherever it runs.
    lines = [f"# {name}: {what}" for name, what in about.items()]
    lines += [",".join(map(str, row)) for row in result.values[first:]]
    return "\n".join(lines).encode("ascii", "backslashreplace").decode() + "\n"


def top_csv(result: Result, chosen: Chosen | None = None) -> str:
    """The likeliest next tokens of both runs, a line for each, and of the run `chosen` on this
    map with its cell."""
    runs = {side: ({}, result.top[side]) for side in SIDES}
    if chosen:
        runs["patched"] = (chosen.place(result), tuple(moved.now for moved in chosen.top))
    places = [f"patched_{axis}" for axis in runs["patched"][0]] if chosen else []
    lines = [("run", "text", "rank", "token_id", "token", "logit", "prob", *places, "model")]
    for run, (place, top) in runs.items():
        text = getattr(result.experiment, result.unpatched if run == "patched" else run)
        said = exactly(text)
        where = (*(tuple(place.values()) or ("",) * len(places)), named(result.model.name))
        for row in top:
            lines.append((run, said, row.rank, *cells_of(row.token), row.logit, row.prob, *where))
    return csv_of(lines)


def compared_csv(one: Result, other: Result, names: tuple[str, str]) -> str:
    """Two results of one shape, cell by cell: the value of each under its own metric and, where
    both were patched into the same run and measured alike, what the second has more; in the end
    which experiments they are. Raises UserError for two shapes."""
    if (one.axes, one.values.shape) != (other.axes, other.values.shape):
        raise UserError("Two results are compared cell by cell, and these two have other cells.")
    same = len({(of.experiment.metric, of.unpatched) for of in (one, other)}) == 1
    asked = {
        f"{name}_{key}": value
        for name, of in zip(names, (one, other), strict=True)
        for key, value in (what_of(of) | {"metric": of.experiment.metric}).items()
    }
    lines = [(*one.axes, *names, *([f"{names[1]} - {names[0]}"] if same else []), *asked)]
    for cell in np.ndindex(one.values.shape):
        values = [result.values[cell].item() for result in (one, other)]
        apart = [values[1] - values[0]] if same else []
        lines.append((one.rows[cell[0]], *cell[1:], *values, *apart, *asked.values()))
    return csv_of(lines)


def _layers_apart(result: Result, metric: str) -> dict[str, list]:
    """A grid as lists: the layers under "values" and, if it was patched, the embedding."""
    rows = result.grids[metric].tolist()
    if result.rows[0] != EMBEDDING:
        return {"values": rows}
    return {"values": rows[1:], EMBEDDING: rows[:1]}


def _patched_run(shown: Result, chosen: Chosen) -> dict:
    return {
        "cell": chosen.place(shown),
        "in_words": replaced(shown, chosen.row, chosen.column),
        "top": [
            _ranked_row(moved.now)
            | {"clean_rank": moved.clean_rank, "corrupted_rank": moved.corrupted_rank}
            for moved in chosen.top
        ],
    }


def _ranked_row(row: Ranked) -> dict:
    token = {"id": row.token.id, "token": row.token.text}
    return {"rank": row.rank, **token, "logit": row.logit, "prob": row.prob}


def _ranked(row: dict) -> Ranked:
    return Ranked(row["rank"], Token(row["id"], row["token"]), row["logit"], row["prob"])
