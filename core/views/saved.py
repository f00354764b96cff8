"""Our JSON files -> the results they are of, as far as they can be drawn without the model.

The inverse of the functions of `core.views` that write them. What is read here has been
parsed by `core.views.checked`; each function raises UserError for what is of another shape.
"""

from dataclasses import dataclass

import numpy as np

from core.errors import UserError
from core.many.answer import DRAWS, KEEPS, Answer
from core.many.pairs import Dropped
from core.many.summary import Summary
from core.many.values import FromOthers
from core.question.experiment import Experiment
from core.question.metrics import METRICS
from core.question.sites import SITES
from core.question.tokens import Token
from core.result import FROZEN, Baseline, ModelCard, PathMap, Result
from core.views import exports
from core.views.checked import Each, Maybe, check

_MOST_LAYERS = 1000
_BASELINES = Each({"clean": float, "corrupted": float})
_TOKEN = {"id": int, "text": str}
_EXPERIMENT = {
    **dict.fromkeys(("model", "metric", "direction", "site"), str),
    **{"window": int, "bos": bool, "embedding": bool},
}
_TEXTS = dict.fromkeys(("clean", "corrupted", "target", "foil"), str)
_MODEL = {
    **{"name": str, "fingerprint": str, "layers": int, "parameters": int, "dtype": str},
    **{"source": Maybe(str), "revision": Maybe(str), "notes": Maybe([str])},
    **{"tokenizer": Maybe(str), "memory": Maybe(int), "settings": Maybe({})},
    "smoke_test": Maybe(
        {"text": str, "loss": Maybe(float), "tokens": int, "of_frequencies": float}
        | {"of_its_size": Maybe(float)}
    ),
}
_PAIR = {
    "experiment": _EXPERIMENT | _TEXTS,
    "model": _MODEL,
    "tokens": {"clean": [_TOKEN], "corrupted": [_TOKEN]},
    **{"target": _TOKEN, "foil": _TOKEN},
}
_RANKED = {"rank": int, "id": int, "token": str, "logit": float, "prob": float}
_GUESS = Maybe({"cells": [[int]], "why": str})
_MAP = _PAIR | {
    "guess": _GUESS,
    **{"axes": [str], "at_position": Maybe(int), "seconds": Maybe(Each(float))},
    "metrics": Each({"clean": float, "corrupted": float, "values": [list]}),
    "top": {"clean": [_RANKED], "corrupted": [_RANKED]},
    "patched_run": Maybe({"in_words": str, "top": [_RANKED], "cell": Maybe({})}),
}
_PATHS = _PAIR | {
    **{"receiver": str, "frozen": str, "heads": [[Maybe(float)]], "mlps": [Maybe(float)]},
    **{"embedding": float, "baselines": _BASELINES, "reach": Maybe(float)},
}
_LENS = _PAIR | {
    "rows": [str],
    "lens": Each({"top": [[_TOKEN]], "probs": [[float]], "logits": [[float]], "ranks": [[int]]}),
}
_MANY = {
    **{"experiment": _EXPERIMENT, "model": _MODEL, "keep": str, "n_given": int, "n_used": int},
    **{"axes": [str], "rows": [str], "columns": [str], "recovery_is": str},
    "tokens": [_TOKEN | {"texts": int}],
    **{name: [[Maybe(float)]] for name in ("mean", "low", "high", "agreement")},
    **{"clean_value": float, "corrupted_value": float, "baselines": _BASELINES},
    "bootstrap": {"seed": int, "in_words": str},
    "dropped": [{"line": int, "id": str, "reason": str}],
    "taken_from": Maybe({"pairs": int, "digest": str, "by_role": bool, "seed": Maybe(int)}),
    **{"pairs": Maybe(str), "address": Maybe(Each(str))},  # which they are, and how they are used
    "guess": _GUESS,
}


_OTHER = {
    "sampling": Maybe({}),
    "model": Maybe({"name": str, "fingerprint": str, "layers": int, "dtype": str}),
    **{"components": Maybe([str]), "shares": Maybe({}), "in_words": Maybe({})},
}


def other(data: dict) -> None:
    """Of a page whose files are not drawn here: nothing but what can be said of them."""
    check(data, _OTHER)


def experiment(data: dict) -> Experiment:
    """That of any of our files; of many pairs its texts are blank."""
    check(data, {"experiment": _EXPERIMENT | {name: Maybe(str) for name in _TEXTS}})
    given = {name: value for name, value in data["experiment"].items() if value is not None}
    return Experiment.from_dict(dict.fromkeys(_TEXTS, "") | given)


def result(data: dict) -> Result:
    """Of `exports.to_json`."""
    check(data, _MAP)
    _check_pair(data)
    site = SITES[experiment(data).site]
    if tuple(data["axes"]) not in (site.axes, site.axes[:2]):
        raise UserError(f"Its axes are not those of {data['experiment']['site']}.")
    return _whole(exports.from_values(data))


def _whole(found: Result) -> Result:
    """The result, if its grids have the cells that it says it has."""
    columns = {"position": len(found.clean), "head": None}
    for name, grid in found.grids.items():
        sizes = (len(found.rows), *(columns[axis] for axis in found.axes[1:]))
        fits = grid.ndim == len(sizes) and grid.size and np.isfinite(grid).all()
        wrong = not fits or any(b not in (None, a) for a, b in zip(grid.shape, sizes, strict=True))
        if name not in METRICS or name not in found.baselines or wrong:
            raise UserError(f"Its “metrics.{name}” does not have the cells that it should have.")
    if found.experiment.metric not in found.grids or "logit_diff" not in found.baselines:
        raise UserError("It has no values of its own metric.")
    at = found.at_position
    if at is not None and not 0 <= at < len(found.clean):
        raise UserError(f"It is of position {at}, which its texts do not have.")
    return found


def several(data: dict) -> dict[str, Result]:
    """Of `exports.maps_json`."""
    check(data, {"page": str, "maps": Each({})})
    if not 0 < len(data["maps"]) < 10:
        raise UserError("It has no maps, or too many.")
    return {name: result(of) for name, of in data["maps"].items()}


def paths(data: dict) -> PathMap:
    """Of `path_files.paths_json`, with one metric."""
    check(data, _PATHS)
    _check_pair(data)
    asked = experiment(data)
    grid = [[*heads, mlp] for heads, mlp in zip(data["heads"], data["mlps"], strict=False)]
    grid = _grid(grid, len(data["mlps"]), "heads")
    layers = data["model"]["layers"]
    if len(data["heads"]) != layers or len(grid) != layers or data["frozen"] not in FROZEN:
        raise UserError("Its “heads” are not those of its model.")
    return PathMap(
        experiment=asked,
        axes=("layer", "sender"),
        rows=tuple(map(str, range(layers))),
        grids={asked.metric: grid},
        baselines=_baselines(data["baselines"], asked.metric),
        receiver=data["receiver"],
        frozen=data["frozen"],
        embedding={asked.metric: data["embedding"]},
        **_of_pair(data),
    )


class StoredAnswer(Answer):
    """An answer to many pairs without the pairs: what it says of each of them is not known."""

    in_words: str

    @property
    def drawn(self) -> str:
        return self.in_words


def many(data: dict) -> StoredAnswer:
    """Of `many_files.many_json`."""
    check(data, _MANY)
    asked = experiment(data)
    rows, columns, n = data["rows"], data["columns"], data["n_used"]
    if len(data["axes"]) != 2 or data["keep"] not in KEEPS or not 0 < n <= 10**7:
        raise UserError("It is not a map over pairs with two axes.")
    mean, low, high, agreement = (
        _grid(data[name], len(rows), name, len(columns))
        for name in ("mean", "low", "high", "agreement")
    )
    if data["axes"][1] == "position" and len(data["tokens"]) != len(columns):
        raise UserError("It does not have a token for each position.")
    baselines = _baselines(data["baselines"], asked.metric)
    ends = data["clean_value"], data["corrupted_value"]
    summary = Summary(
        *(mean, low, high, agreement),
        of_pairs=np.broadcast_to(np.nan, (n, *mean.shape)),
        effects=np.broadcast_to(np.nan, (n, *mean.shape)),
        clean=ends[0],
        corrupted=ends[1],
        unpatched=ends[1] if asked.direction == "denoise" else ends[0],
    )
    at = data.get("at_column")
    if at is not None:
        check(at[:1], [int], "at_column")
        check(at[1:], [str], "at_column")
    found = StoredAnswer(
        experiment=asked,
        model=_model(data),
        axes=tuple(data["axes"]),
        rows=tuple(rows),
        grids={asked.metric: mean},
        baselines=baselines,
        columns=tuple(columns),
        tokens=tuple((Token(of["id"], of["text"]), of["texts"]) for of in data["tokens"]),
        keep=data["keep"],
        given=data["n_given"],
        dropped=tuple(Dropped(row["line"], row["id"], row["reason"]) for row in data["dropped"]),
        left_out=(),
        pairs=(),
        summary=summary,
        source=FromOthers(*(taken.get(name) for name in FromOthers._fields))
        if (taken := data.get("taken_from"))
        else None,
        of_ratios=data["recovery_is"] == "mean of ratios",
        seed=data["bootstrap"]["seed"],
        draws=data["bootstrap"].get("draws") if data["bootstrap"].get("draws") in DRAWS else "",
        at_column=None if at is None else (at[0], at[1]),
    )
    object.__setattr__(found, "in_words", data["bootstrap"]["in_words"])
    return found


@dataclass(frozen=True)
class Lens:
    """The logit lens of a run, as a file has it: the names are those of `core.reading.lens`."""

    top_probs: np.ndarray  # (L + 1, T)
    logits: np.ndarray  # (L + 1, 2), of target and foil at the last position
    ranks: np.ndarray  # (L + 1, 2)
    tops: list[list[Token]]


@dataclass(frozen=True)
class Lenses:
    """What `run_files.lens_json` wrote."""

    experiment: Experiment
    model: ModelCard
    clean: tuple[Token, ...]
    corrupted: tuple[Token, ...]
    target: Token
    foil: Token
    rows: tuple[str, ...]
    lenses: dict[str, Lens]


def lenses(data: dict) -> Lenses:
    """Of `run_files.lens_json`."""
    check(data, _LENS)
    _check_pair(data)
    rows, T = data["rows"], len(data["tokens"]["clean"])
    if {*data["lens"]} != {"clean", "corrupted"}:
        raise UserError("It does not have the lens of both runs.")
    found = {}
    for run, of in data["lens"].items():
        tops = [[Token(**_only(token, _TOKEN)) for token in row] for row in of["top"]]
        if [len(row) for row in tops] != [T] * len(rows):
            raise UserError(f"The lens of its {run} run does not have a token for each place.")
        probs = _grid(of["probs"], len(rows), "probs", T)
        pair = (_grid(of[name], len(rows), name, 2) for name in ("logits", "ranks"))
        logits, ranks = pair
        found[run] = Lens(probs, logits, ranks.astype(int), tops)
    both = {run: found[run] for run in ("clean", "corrupted")}
    asked = experiment(data)
    return Lenses(experiment=asked, rows=tuple(rows), lenses=both, **_of_pair(data))


def _check_pair(data: dict) -> None:
    tokens, layers = data["tokens"], data["model"]["layers"]
    if not 0 < len(tokens["clean"]) == len(tokens["corrupted"]):
        raise UserError("Its two texts do not have the same number of tokens.")
    if not 0 < layers <= _MOST_LAYERS:
        raise UserError(f"No model has {layers} layers.")


def _of_pair(data: dict) -> dict:
    """The fields that all results of one pair have, but for the experiment."""
    sides = {
        side: tuple(Token(**_only(token, _TOKEN)) for token in data["tokens"][side])
        for side in ("clean", "corrupted")
    }
    named = {name: Token(**_only(data[name], _TOKEN)) for name in ("target", "foil")}
    return {"model": _model(data)} | sides | named


def _model(data: dict) -> ModelCard:
    try:
        return ModelCard.from_dict(data["model"])
    except (TypeError, AttributeError, ValueError) as error:
        raise UserError("Its “model” is not one of ours.") from error


def _only(values: dict, names: dict) -> dict:
    return {name: values[name] for name in names}


def _baselines(data: dict, metric: str) -> dict[str, Baseline]:
    if not {metric, "logit_diff"} <= {*data} <= {*METRICS}:
        raise UserError("It does not say what the plain runs are.")
    return {name: Baseline(of["clean"], of["corrupted"]) for name, of in data.items()}


def _grid(rows: list, height: int, name: str, width: int | None = None) -> np.ndarray:
    """Lists as an array of so many rows and columns; null is NaN."""
    widths = {len(row) for row in rows}
    if not rows or len(rows) != height or len(widths) != 1 or widths - {width or max(widths)}:
        raise UserError(f"Its “{name}” does not have the cells that it should have.")
    return np.array(rows, dtype=float).astype(np.float32)
