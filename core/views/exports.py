"""Result -> CSV and JSON, and back to the same numbers.

CSV files are for spreadsheets: they begin with a byte order mark, tokens stand in them as JSON
strings (`" Jones"`, so that a space is seen and nothing is taken for a formula) beside their ids,
and numbers have as many digits as it takes to read them back exactly.
"""

import csv
import io
import json
from dataclasses import asdict

import numpy as np

from core.errors import UserError
from core.question.experiment import Experiment
from core.question.metrics import METRICS
from core.question.tokens import Token
from core.result import EMBEDDING, Baseline, ModelCard, Ranked, Result
from core.views.words import summary, wording

_BYTE_ORDER_MARK = "\ufeff"
_TOKEN_LABELS = ("clean_id", "clean_token", "corrupted_id", "corrupted_token")
_SIDES = ("clean", "corrupted")


def to_json(result: Result) -> str:
    """Everything in a result; `values` is by `axes`, layers first, the embedding row apart."""
    metric = result.experiment.metric
    return json.dumps(
        {
            "experiment": result.experiment.to_dict(),
            "model": asdict(result.model),
            "tokens": {side: [asdict(token) for token in getattr(result, side)] for side in _SIDES},
            "target": asdict(result.target),
            "foil": asdict(result.foil),
            "axes": result.axes,
            "at_position": result.at_position,
            "metric": metric,
            "in_words": {
                "patched": summary(result),
                "metric": wording(result),
                "reading": METRICS[metric].says,
            },
            **_layers_apart(result, metric),
            "clean_value": result.baselines[metric].clean,
            "corrupted_value": result.baselines[metric].corrupted,
            "metrics": {
                name: _layers_apart(result, name) | asdict(result.baselines[name])
                for name in result.grids
            },
            "top": {side: [_ranked_row(row) for row in result.top[side]] for side in _SIDES},
            "seconds": result.seconds,
        },
        ensure_ascii=False,
        allow_nan=False,
        indent=1,
    )


def from_json(text: str) -> Result:
    """The inverse of `to_json`. Raises UserError for a text that is no such file."""
    try:
        data = json.loads(text)
        experiment = Experiment.from_dict(data["experiment"])
        rows = [str(layer) for layer in range(data["model"]["layers"])]
        return Result(
            experiment=experiment,
            model=ModelCard(**data["model"]),
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
            top={side: tuple(map(_ranked, data["top"][side])) for side in _SIDES},
            seconds=data["seconds"],
            at_position=data.get("at_position"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"This is no result that Patchboard wrote: {error!r}.") from error


def grid_csv(result: Result) -> str:
    """The grid in long form: a line for each cell, a column for each metric; tokens beside a
    position, where the site has one; in the end what was patched, and which way."""
    labels = _TOKEN_LABELS if "position" in result.axes else ()
    lines = [(*result.axes, *labels, *result.grids, "site", "direction")]
    asked = (result.experiment.site, result.experiment.direction)
    for cell in np.ndindex(result.values.shape):
        place = dict(zip(result.axes, cell, strict=True))
        tokens = ()
        if "position" in place:
            p = place["position"]
            tokens = (*_cells(result.clean[p]), *_cells(result.corrupted[p]))
        values = [grid[cell].item() for grid in result.grids.values()]
        lines.append((result.rows[cell[0]], *cell[1:], *tokens, *values, *asked))
    return _csv(lines)


def read_grid_csv(text: str) -> dict[str, np.ndarray]:
    """The grids of a `grid_csv`, metric -> array by its axes. Raises UserError for other texts."""
    try:
        lines = list(csv.DictReader(io.StringIO(text.removeprefix(_BYTE_ORDER_MARK))))
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


def top_csv(result: Result) -> str:
    """The likeliest next tokens of both runs, a line for each."""
    lines = [("run", "rank", "token_id", "token", "logit", "prob")]
    for side in _SIDES:
        for row in result.top[side]:
            lines.append((side, row.rank, *_cells(row.token), row.logit, row.prob))
    return _csv(lines)


def _csv(lines: list[tuple]) -> str:
    file = io.StringIO(newline="")
    csv.writer(file).writerows(lines)
    return _BYTE_ORDER_MARK + file.getvalue()


def _cells(token: Token) -> tuple[int, str]:
    return token.id, json.dumps(token.text, ensure_ascii=False)


def _layers_apart(result: Result, metric: str) -> dict[str, list]:
    """A grid as lists: the layers under "values" and, if it was patched, the embedding."""
    rows = result.grids[metric].tolist()
    if result.rows[0] != EMBEDDING:
        return {"values": rows}
    return {"values": rows[1:], EMBEDDING: rows[:1]}


def _ranked_row(row: Ranked) -> dict:
    token = {"id": row.token.id, "token": row.token.text}
    return {"rank": row.rank, **token, "logit": row.logit, "prob": row.prob}


def _ranked(row: dict) -> Ranked:
    return Ranked(row["rank"], Token(row["id"], row["token"]), row["logit"], row["prob"])
