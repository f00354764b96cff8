"""Result -> CSV and JSON, and back to the same numbers.

CSV files are for spreadsheets: they begin with a byte order mark, tokens stand in them as JSON
strings (`" Jones"`, so that a space is seen and nothing is taken for a formula) beside their ids,
and numbers have as many digits as it takes to read them back exactly. Names that somebody gave,
which may begin as a formula does, then have a space before them. A matrix is for NumPy as well:
numbers alone, below lines that begin with `#` and say what they are.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from core.many.answer import Answer
from core.many.grades import ManyGrades
from core.many.summary import LEVEL, SAMPLES
from core.question.experiment import Experiment
from core.question.metrics import METRICS
from core.question.tokens import Token
from core.result import (
    EMBEDDING,
    Answered,
    Baseline,
    Curve,
    Effect,
    Grade,
    ModelCard,
    Moved,
    OfOnePair,
    PathMap,
    Ranked,
    Result,
)
from core.views.sentences import predicts
from core.views.set_sentences import SHARE, many_mean, means, questions
from core.views.words import formula, quoted, replaced, sender, sign, summary, wording

if TYPE_CHECKING:  # these need torch, and a file takes what has been read as it is
    from core.many.cli import Unmapped
    from core.reading.attribution import Attribution
    from core.reading.lens import LogitLens

BYTE_ORDER_MARK = "\ufeff"
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # as a cell begins that spreadsheets may run
_TOKEN_LABELS = ("clean_id", "clean_token", "corrupted_id", "corrupted_token")
_SIDES = ("clean", "corrupted")
_CONTENDERS = ("target", "foil")


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
    return _json(_to_dict(result) | besides)


def maps_json(
    page: str, results: dict[str, Result], guessed: dict[str, dict | None] | None = None
) -> str:
    """Several results of one page, each by a name and as in `to_json`, with what was `guessed` of
    some of them."""
    made = {
        name: _to_dict(of) | ({"guess": guess} if (guess := (guessed or {}).get(name)) else {})
        for name, of in results.items()
    }
    return _json({"page": page, "maps": made})


def _to_dict(result: Result) -> dict:
    metric = result.experiment.metric
    return _pair_of(result) | {
        "axes": result.axes,
        "at_position": result.at_position,
        "metric": metric,
        "in_words": {
            "patched": summary(result),
            "metric": wording(result),
            "reading": METRICS[metric].says,
            "model": predicts(result.model.smoke_test),
        },
        **_layers_apart(result, metric),
        "clean_value": result.baselines[metric].clean,
        "corrupted_value": result.baselines[metric].corrupted,
        "metrics": {
            name: _layers_apart(result, name) | asdict(result.baselines[name])
            for name in result.grids
        },
        "top": {side: [_ranked_row(row) for row in result.top[side]] for side in _SIDES},
    }


def many_json(answer: Answer | Unmapped, about: dict | None = None) -> str:
    """The answer to many pairs, as `Answer.to_dict` says it, what was patched in words, and what it
    is `about` besides; or a share without a map."""
    said = answer.to_dict()
    if isinstance(answer, Answer):
        said["in_words"] = {"patched": summary(answer)}
    return _json(said | (about or {}))


def paths_json(path_map: PathMap) -> str:
    """What every sender does along its direct path into a receiver, under the experiment's metric;
    senders that come too late are null."""
    metric = path_map.experiment.metric
    values = [[None if v != v else v for v in row] for row in path_map.values.tolist()]
    return _json(
        _pair_of(path_map)
        | {
            "receiver": path_map.receiver,
            "frozen": path_map.frozen,
            "metric": metric,
            "in_words": _of_paths(path_map),
            "heads": [row[:-1] for row in values],
            "mlps": [row[-1] for row in values],
            "embedding": path_map.embedding[metric],
            "clean_value": path_map.plain(metric, "clean"),
            "corrupted_value": path_map.plain(metric, "corrupted"),
            "baselines": {name: asdict(of) for name, of in path_map.baselines.items()},
        }
    )


def paths_csv(path_map: PathMap) -> str:
    """The same in long form, a line for each sender and a column for each metric."""
    asked = what_of(path_map) | _of_paths(path_map)
    del asked["site"], asked["window"]  # which paths have not
    lines = [("receiver", "frozen", "sender", *path_map.grids, *asked)]
    senders = [("embedding", list(path_map.embedding.values()))]
    for row, column in np.ndindex(path_map.values.shape):
        values = [grid[row, column].item() for grid in path_map.grids.values()]
        shown = ["" if value != value else value for value in values]
        senders.append((sender(path_map, row, column), shown))
    of = path_map.receiver, path_map.frozen
    lines += [(*of, name, *values, *asked.values()) for name, values in senders]
    return csv_of(lines)


def _of_paths(path_map: PathMap) -> dict[str, str]:
    """The question in words: what was patched, the metric, and which way it points."""
    return {
        "patched": summary(path_map),
        "metric": wording(path_map),
        "reading": METRICS[path_map.experiment.metric].says,
        "sign": sign(path_map),
    }


def set_json(grade: Grade, curve: Curve | None) -> str:
    """A set of components, graded, and what sets do to which components are added one by one, if
    that is known. Of what is asked of the set the metric, and apart the `shares`; of an ablation
    `sufficient` is null; a share is null where the two runs hardly differ."""
    metric = grade.experiment.metric

    def by_member(found: Sequence[Effect]) -> dict:
        return {of: asdict(effect) for of, effect in zip(grade.components, found, strict=True)}

    return _json(
        {
            "experiment": grade.experiment.to_dict(),
            "model": asdict(grade.model),
            "tokens": {side: [asdict(token) for token in getattr(grade, side)] for side in _SIDES},
            "metric": metric,
            "in_words": {
                "metric": wording(grade),
                "reading": METRICS[metric].says,
                **questions(grade),
                "singles": summary(grade),
                "share": SHARE,
                "means": means(grade),
            },
            "components": list(grade.components),
            **{name: effect and effect.value for name, effect in grade.asked.items()},
            "shares": {name: effect and effect.share for name, effect in grade.asked.items()},
            "joint": asdict(grade.joint),
            "singles": by_member(grade.alone),
            "sum_of_singles": asdict(grade.sum_of_alone),
            "minimality": by_member(grade.without),
            "curve": curve and _grown(curve),
            "clean_value": grade.baseline.clean,
            "corrupted_value": grade.baseline.corrupted,
        }
    )


def _grown(curve: Curve) -> dict:
    return {
        "order": curve.order,
        "components": list(curve.components),
        "values": [effect.value for effect in curve.effects],
        "shares": [effect.share for effect in curve.effects],
        "smallest": curve.smallest(),
    }


def set_csv(grade: Grade, curve: Curve | None) -> str:
    """The same in long form, a line for each run: what it is, which component it is about (alone,
    left out or added), how many are in the set, the metric and the share."""
    n = len(grade.components)
    sets = [(name, "", n, effect) for name, effect in grade.asked.items() if effect]
    sets += [("joint", "", n, grade.joint), ("sum_of_singles", "", n, grade.sum_of_alone)]
    members = zip(grade.components, grade.alone, grade.without, strict=True)
    for name, alone, without in members:
        sets += [("single", name, 1, alone), ("left_out", name, n - 1, without)]
    if curve:
        added = enumerate(zip(("", *curve.components), curve.effects, strict=True))
        sets += [(f"curve_{curve.order}", name, k, effect) for k, (name, effect) in added]
    asked = {"components": " ".join(grade.components), "metric": grade.experiment.metric}
    asked |= what_of(grade)
    del asked["site"], asked["window"]
    lines = [("run", "component", "size", "value", "share", *asked)]
    for name, component, size, effect in sets:
        of_share = "" if effect.share is None else effect.share
        lines.append((name, component, size, effect.value, of_share, *asked.values()))
    return csv_of(lines)


def many_set_json(found: ManyGrades) -> str:
    """A set of components, graded over many pairs: means and their intervals."""
    metric = found.experiment.metric
    asked = found.experiment.to_dict()
    for blank in ("clean", "corrupted", "target", "foil"):
        del asked[blank]
    return _json(
        {
            "experiment": asked,
            "model": asdict(found.model),
            "metric": metric,
            "in_words": questions(found) | {"share": SHARE, "means": many_mean(found)},
            "components": list(found.components),
            **{name: of and of.mean for name, of in found.values.items()},
            "shares": {name: of and of.mean for name, of in found.shares.items()},
            "intervals": {name: of and [of.low, of.high] for name, of in found.values.items()},
            "share_intervals": {
                name: of and [of.low, of.high] for name, of in found.shares.items()
            },
            "clean_value": found.plain(metric, "clean"),
            "corrupted_value": found.plain(metric, "corrupted"),
            "n_given": found.given,
            "n_used": found.n,
            "dropped": [asdict(row) for row in found.dropped],
            "bootstrap": {
                **{"samples": SAMPLES, "seed": found.seed, "level": LEVEL, "draws": found.draws}
            },
        }
    )


def many_set_csv(found: ManyGrades) -> str:
    """What each pair says, a line each: the plain runs and what is asked of the set."""
    metric = "logit_diff" if found.experiment.metric == "recovery" else found.experiment.metric
    asked = {"components": " ".join(found.components), "metric": metric}
    asked |= {"direction": found.experiment.direction, "model": named(found.model.name)}
    lines = [("id", "line", "clean_run", "corrupted_run", *found.values, *asked)]
    for pair, values in zip(found.pairs, found.of_pairs.tolist(), strict=True):
        shown = ["" if value != value else value for value in values]
        lines.append((named(pair.id), pair.line, *shown, *asked.values()))
    return csv_of(lines)


def _json(of: dict) -> str:
    return json.dumps(of, ensure_ascii=False, allow_nan=False, indent=1)


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
            top={side: tuple(map(_ranked, data["top"][side])) for side in _SIDES},
            seconds=data.get("seconds", {}),  # older files have them
            at_position=data.get("at_position"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"This is no result that Patchboard wrote: {error!r}.") from error


def lens_json(
    asked: Experiment,
    model: ModelCard,
    lenses: dict[str, LogitLens],
    rows: tuple[str, ...],
    tokens: dict[str, tuple[Token, ...]],
    tops: dict[str, list[list[Token]]],
    pair: tuple[Token, Token],
    attributions: dict[str, Attribution],
) -> str:
    """The logit lens by run, with the arguments of `lens_csv`, and direct logit attribution: what
    target and foil (in this order) have at the last position, row by row, and what wrote it."""
    return _json(
        {
            "experiment": asked.to_dict(),
            "model": asdict(model),
            "tokens": {side: [asdict(token) for token in of] for side, of in tokens.items()},
            **{name: asdict(token) for name, token in zip(_CONTENDERS, pair, strict=True)},
            "rows": list(rows),
            "lens": {
                run: {
                    "top": [[asdict(token) for token in row] for row in tops[run]],
                    "probs": lens.top_probs.tolist(),
                    "logits": lens.logits.tolist(),
                    "ranks": lens.ranks.tolist(),
                }
                for run, lens in lenses.items()
            },
            "attribution": {
                run: {
                    "embedding": parts.embedding,
                    "heads": parts.heads.tolist(),
                    "attention_bias": parts.attention_bias.tolist(),
                    "mlps": parts.mlp.tolist(),
                    "final_bias": parts.final_bias,
                    "total": parts.total,
                }
                for run, parts in attributions.items()
            },
        }
    )


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
    about = {
        "lines": "layers from 0 on",
        "columns": f"{result.axes[1]}s from 0 on",
        "values": formula(result, metric, quoted),
        "patched": summary(result),
        "model": result.model.name,
        **{f"{run} run": str(result.plain(metric, run)) for run in _SIDES},
        **{side: json.dumps([token.text for token in getattr(result, side)]) for side in _SIDES},
        **({EMBEDDING: ",".join(map(str, result.values[0]))} if first else {}),
    }
    # In ASCII, and without a byte order mark, so that NumPy reads it wherever it runs.
    lines = [f"# {name}: {what}" for name, what in about.items()]
    lines += [",".join(map(str, row)) for row in result.values[first:]]
    return "\n".join(lines).encode("ascii", "backslashreplace").decode() + "\n"


def top_csv(result: Result, chosen: Chosen | None = None) -> str:
    """The likeliest next tokens of both runs, a line for each, and of the run `chosen` on this
    map with its cell."""
    runs = {side: ({}, result.top[side]) for side in _SIDES}
    if chosen:
        runs["patched"] = (chosen.place(result), tuple(moved.now for moved in chosen.top))
    places = [f"patched_{axis}" for axis in runs["patched"][0]] if chosen else []
    lines = [("run", "text", "rank", "token_id", "token", "logit", "prob", *places, "model")]
    for run, (place, top) in runs.items():
        text = getattr(result.experiment, result.unpatched if run == "patched" else run)
        said = json.dumps(text, ensure_ascii=False)
        where = (*(tuple(place.values()) or ("",) * len(places)), named(result.model.name))
        for row in top:
            lines.append((run, said, row.rank, *cells_of(row.token), row.logit, row.prob, *where))
    return csv_of(lines)


def lens_csv(
    lenses: dict[str, LogitLens],
    rows: tuple[str, ...],
    tokens: dict[str, tuple[Token, ...]],
    tops: dict[str, list[list[Token]]],
    pair: tuple[Token, Token],
) -> str:
    """The logit lens by run: a line for each layer and position with the likeliest next token;
    at the last position, the logit and the rank of target and foil as well. `rows` are the names
    of the layers, `tops` the tokens of `top_ids`."""
    asked = [f"{name}_{what}" for name in _CONTENDERS for what in ("id", "logit", "rank")]
    lines = [
        ("run", "layer", "position", "token_id", "token", "top_id", "top_token", "prob", *asked)
    ]
    for run, lens in lenses.items():
        probs, logits, ranks = (of.tolist() for of in (lens.top_probs, lens.logits, lens.ranks))
        last = len(tokens[run]) - 1
        for i, layer in enumerate(rows):
            ends = [
                x for t, *of in zip(pair, logits[i], ranks[i], strict=True) for x in (t.id, *of)
            ]
            for p, token in enumerate(tokens[run]):
                place = (run, layer, p, *cells_of(token), *cells_of(tops[run][i][p]), probs[i][p])
                lines.append((*place, *(ends if p == last else [""] * len(ends))))
    return csv_of(lines)


def attribution_csv(attributions: dict[str, Attribution]) -> str:
    """Direct logit attribution by run: a line for each part, their sum in the end."""
    lines = [("run", "part", "layer", "head", "logit_difference")]
    for run, parts in attributions.items():
        lines.append((run, "embedding", "", "", parts.embedding))
        heads, biases, mlps = (of.tolist() for of in (parts.heads, parts.attention_bias, parts.mlp))
        for layer, (of_heads, bias, mlp) in enumerate(zip(heads, biases, mlps, strict=True)):
            lines += [(run, "head", layer, head, value) for head, value in enumerate(of_heads)]
            lines += [(run, "attention bias", layer, "", bias), (run, "mlp", layer, "", mlp)]
        lines.append((run, "final bias", "", "", parts.final_bias))
        lines.append((run, "total", "", "", parts.total))
    return csv_of(lines)


def attention_csv(pattern: np.ndarray, tokens: tuple[Token, ...]) -> str:
    """One head's pattern (T, T): a line for each position, a column for each position it reads."""
    labels = [f"{p} {json.dumps(token.text, ensure_ascii=False)}" for p, token in enumerate(tokens)]
    lines = [("position", "token", *(f"reads {label}" for label in labels))]
    for p, row in enumerate(pattern.tolist()):
        lines.append((p, json.dumps(tokens[p].text, ensure_ascii=False), *row))
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


def what_of(shown: Answered) -> dict[str, str | int]:
    """Which question a line is of, but for the texts."""
    experiment = shown.experiment
    asked = {
        "patched": summary(shown),
        "site": experiment.site,
        "direction": experiment.direction,
        "window": experiment.window,
        "model": named(shown.model.name),
    }
    if isinstance(shown, OfOnePair):
        asked |= {of: json.dumps(getattr(shown, of).text, ensure_ascii=False) for of in _CONTENDERS}
    return asked


def csv_of(lines: Iterable[Sequence]) -> str:
    """Lines of cells as a CSV file."""
    file = io.StringIO(newline="")
    csv.writer(file).writerows(lines)
    return BYTE_ORDER_MARK + file.getvalue()


def cells_of(token: Token) -> tuple[int, str]:
    return token.id, json.dumps(token.text, ensure_ascii=False)


def named(text: str) -> str:
    """A name as the cell of a table that no spreadsheet takes for a formula."""
    return f" {text}" if text.startswith(FORMULAS) else text


def _pair_of(of: OfOnePair) -> dict:
    """What a file of one pair is of."""
    return {
        "experiment": of.experiment.to_dict(),
        "model": asdict(of.model),
        "tokens": {side: [asdict(token) for token in getattr(of, side)] for side in _SIDES},
        **{name: asdict(getattr(of, name)) for name in _CONTENDERS},
    }


def _json(of: dict) -> str:
    return json.dumps(of, ensure_ascii=False, allow_nan=False, indent=1)


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
