"""The answer to many pairs -> files: pairs and screening, values, summary, pictures, all of them.

Tables follow the rules of `core.views.formats`. In `pairs.csv` texts, targets and foils stand as
in any file of pairs, so that it can be read as one: of what begins as a formula does, a target or a
foil stands in a JSON list there, an id or a group has a space before it, which is no part of it,
and a text is as `core.many.marks` writes it. In `values.parquet` all names are as they are.
"""

import csv
import io
import json
import textwrap
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from core import output
from core.many import pairs as pair_files
from core.many.answer import Answer
from core.many.pairs import Pair
from core.many.summary import LEVEL
from core.many.values import Screened
from core.output import encoded
from core.question.experiment import CONTENDERS, SIDES
from core.question.metrics import METRICS, SMALLEST_DIFFERENCE
from core.views.formats import (
    BYTE_ORDER_MARK,
    FORMULAS,
    cells_of,
    csv_of,
    json_of,
    named,
    what_of,
)
from core.views.words import averaged, caption, formula, summary

if TYPE_CHECKING:  # slow to import, and few sessions download
    import pyarrow

    from core.many.cli import Unmapped

_SAID = {True: "yes", False: "no"}
_SCREENING = (
    *("ld_clean", "ld_corrupted"),
    *("clean_top_id", "clean_top_token", "corrupted_top_id", "corrupted_top_token"),
    *("target_rank", "foil_rank", "target_prob", "foil_prob"),
    *("flips", "target_is_first", "foil_is_first"),
)
_QUARTILES = ("least", "lower_quartile", "median", "upper_quartile", "greatest")


def files(answer: Answer, about: dict | None = None) -> dict[str, Callable[[], str | bytes]]:
    """What each file is called and how it is made; pictures are of a map of two axes. What the
    answer is `about`, such as which pairs these are, stands in its JSON."""
    made = {
        "README.txt": _readme,
        "pairs.csv": pairs_csv,
        "values.parquet": values_parquet,
        "values.csv": values_csv,
        "summary.csv": summary_csv,
    }
    if _is_flat(answer):
        made |= {f"map.{kind}": partial(_picture, kind) for kind in ("png", "svg", "pdf")}
    made = {name: partial(make, answer) for name, make in made.items()}
    return made | {"answer.json": partial(many_json, answer, about)}


def zipped(answer: Answer, about: dict | None = None) -> bytes:
    """All of `files` as a ZIP file; equal answers give equal bytes."""
    return output.zipped((name, make()) for name, make in files(answer, about).items())


def _picture(kind: str, answer: Answer) -> bytes:
    from core.views.pictures import picture  # half a second

    return picture(answer, kind)


# --- The pairs ------------------------------------------------------------------------------------


def pairs_csv(answer: Answer) -> str:
    """All rows that were given, by line: the pair as it can be read back by `core.many.pairs.read`,
    what the model says to its plain runs, whether it is kept, and why not.

    Of a row that could not be read or does not fit there are the line, the id and the reason alone;
    its target is `[]`, an empty list, for which it cannot be read again either.
    """
    used = [(of.pair.pair, of.screened, "yes", "") for of in answer.pairs]
    used += [(of.pair.pair, of.screened, "no", of.row.reason) for of in answer.left_out]
    used.sort(key=lambda row: row[0].line)
    names, *cells = _as_read([pair for pair, *_ in used])
    lines = [
        (pair.line, (pair.line, *row, *_screening(screened), kept, named(reason)))
        for (pair, screened, kept, reason), row in zip(used, cells, strict=True)
    ]
    screened = {of.row for of in answer.left_out}
    for row in answer.dropped:
        if row not in screened:
            known = {"id": named(row.id), "target": "[]"}
            pair = (known.get(name, "") for name in names)
            blank = ("",) * len(_SCREENING)
            lines.append((row.line, (row.line, *pair, *blank, "no", named(row.reason))))
    lines.sort(key=lambda line: line[0])
    head = ("line", *names, *_SCREENING, "kept", "why_not")
    return csv_of([head, *(line for _, line in lines)])


def _as_read(pairs: list[Pair]) -> Iterator[list[str]]:
    """The cells of a file of pairs, below their columns, none of which is run as a formula."""
    table = csv.reader(io.StringIO(pair_files.write(pairs), newline=""))
    names = next(table)
    yield names
    for cells in table:
        row = dict(zip(names, cells, strict=True))
        row |= {name: named(row[name]) for name in ("id", "group")}  # spaces around it are no part
        for name in CONTENDERS:
            if row[name].startswith(FORMULAS) or "\r" in row[name]:  # which files lose
                row[name] = json.dumps([row[name]], ensure_ascii=False)
        yield [row[name] for name in names]


def _screening(of: Screened) -> tuple:
    return (
        *(of.clean_difference, of.corrupted_difference),
        *(*cells_of(of.clean_top), *cells_of(of.corrupted_top)),
        *(of.target_rank, of.foil_rank, of.target_prob, of.foil_prob),
        *(_SAID[bool(said)] for said in (of.flips, of.is_first, of.foil_is_first)),
    )


# --- Each pair's values ---------------------------------------------------------------------------


def values_parquet(answer: Answer) -> bytes:
    """`values` as Parquet; the file's metadata says what they are of: its caption, the experiment
    as JSON, and how many pairs."""
    from pyarrow import parquet

    asked = answer.to_dict()
    about = {
        "caption": caption(answer),
        "experiment": json.dumps(asked["experiment"], ensure_ascii=False),
        "model": json.dumps(asked["model"], ensure_ascii=False),
        "n": str(answer.summary.n),
        "n_given": str(answer.given),
    }
    file = io.BytesIO()
    metadata = {key: encoded(said) for key, said in about.items()}
    parquet.write_table(values(answer).replace_schema_metadata(metadata), file)
    return file.getvalue()


def values_csv(answer: Answer) -> bytes:
    """`values` as CSV."""
    from pyarrow import csv as arrow

    file = io.BytesIO(BYTE_ORDER_MARK.encode())
    file.seek(0, io.SEEK_END)
    arrow.write_csv(values(answer, named), file)
    return file.getvalue()


def values(answer: Answer, name: Callable[[str], str] = str) -> "pyarrow.Table":
    """Each pair's own values in long form, a line for each of its cells: id, group, the cell by
    the names of its axes, a column for each metric that was read off, recovery being none where
    the pair's two runs hardly differ, and each metric on both plain runs. `name` is what becomes
    of the names that somebody gave.

    Heads and positions are numbers, layers and roles ordered categories.
    """
    import pyarrow as pa

    shape, n = answer.values.shape, len(answer.pairs)
    places = np.indices(shape).reshape(len(shape), -1)  # (axes, cells)
    pair = np.repeat(np.arange(n), places.shape[1])  # (lines,)

    def array(texts: Iterable[str]) -> pa.Array:
        return pa.array([encoded(name(text)) for text in texts]).cast(pa.string())

    columns = {
        column: array(getattr(of.pair.pair, column) for of in answer.pairs).take(pa.array(pair))
        for column in ("id", "group")
    }
    for axis, labels, place in zip(answer.axes, _labels(answer), places, strict=True):
        at = pa.array(np.tile(place, n).astype(np.int32))
        if axis in ("layer", "role"):
            at = pa.DictionaryArray.from_arrays(at, array(labels), ordered=True)
        columns[axis] = at
    ends = {
        metric: np.array([of.values.baselines[metric] for of in answer.pairs])  # (n, 2)
        for metric in answer.pairs[0].values.grids
    }
    cells = {metric: _cells(answer, metric).reshape(n, -1) for metric in ends}
    clean, corrupted = ends["logit_diff"].T[..., None]  # (n, 1) each
    none = np.abs(clean - corrupted) < SMALLEST_DIFFERENCE
    recovered = (cells["logit_diff"] - corrupted) / np.where(none, 1, clean - corrupted)
    for metric, grid in cells.items():
        columns[metric] = pa.array(grid.ravel())
        if metric == "logit_diff":
            none = np.broadcast_to(none, grid.shape).ravel()
            columns["recovery"] = pa.array(recovered.astype(np.float32).ravel(), mask=none)
    for metric, of in ends.items():
        for side, plain in zip(SIDES, of.astype(np.float32).T, strict=True):
            columns[f"{metric}_{side}"] = pa.array(plain[pair])
    return pa.table(columns)


def _cells(answer: Answer, metric: str) -> np.ndarray:
    """The grids of all pairs, (n, ...); of a map at one column, what they have there."""
    grids = np.stack([of.values.grids[metric] for of in answer.pairs])
    return grids if answer.at_column is None else grids[..., answer.at_column[0]]


def _labels(answer: Answer) -> tuple[tuple[str, ...], ...]:
    """What the places on each axis are called."""
    heads = tuple(map(str, range(answer.values.shape[1])))
    return (answer.rows, *((heads,) if len(answer.axes) > 2 else ()), answer.columns)


# --- The map --------------------------------------------------------------------------------------


def summary_csv(answer: Answer) -> str:
    """The map over pairs in long form, a line for each cell: mean, interval and agreement, five
    numbers of the pairs' parts, whether its interval holds "no effect", whether it is two standard
    deviations from the mean of all cells; in the end which question it is of."""
    of = answer.summary
    asked = {
        **what_of(answer),
        "metric": answer.experiment.metric,
        "averaged": averaged(answer),
        "keep": answer.keep,
        "n_given": answer.given,
        "part": named(answer.part),
        "at": named(answer.at_column[1]) if answer.at_column else "",
        "clean_value": of.clean + 0.0,
        "corrupted_value": of.corrupted + 0.0,  # not -0
    }
    common = [(*cells_of(token), count) for token, count in answer.tokens]
    tokens = ("commonest_id", "commonest_token", "in_texts") if common else ()
    numbers = ("mean", "low", "high", "agreement", "n", *_QUARTILES, "says_nothing", "stands_out")
    lines = [(*answer.axes, *tokens, *numbers, *asked)]
    five = np.moveaxis(of.five_numbers, 0, -1)  # (..., 5)
    labels = [[named(label) for label in axis] for axis in _labels(answer)]
    for cell, place in zip(np.ndindex(of.mean.shape), product(*labels), strict=True):
        values = (grid[cell].item() for grid in (of.mean, of.low, of.high, of.agreement))
        marks = (_SAID[bool(mark[cell])] for mark in (of.says_nothing, of.stands_out))
        token = common[cell[-1]] if common else ()
        lines.append((*place, *token, *values, of.n, *five[cell].tolist(), *marks, *asked.values()))
    return csv_of(lines)


def many_json(answer: "Answer | Unmapped", about: dict | None = None) -> str:
    """The answer to many pairs, as `Answer.to_dict` says it, what was patched in words, and what it
    is `about` besides; or a share without a map."""
    said = answer.to_dict()
    if isinstance(answer, Answer):
        said["in_words"] = {"patched": summary(answer)}
    return json_of(said | (about or {}))


def _readme(answer: Answer) -> str:
    """What the files are and how to read them."""
    metric = METRICS[answer.experiment.metric]
    about = {
        "pairs.csv": "every row that was given: the texts, roles in brackets; what the model says"
        f" to the two plain runs; whether the pair is used ({answer.used}), and why not. It can be"
        " read as a file of pairs again.",
        "values.parquet": "each pair's values, a line for each pair and cell, a column for each"
        " metric, and for each metric on the clean and the corrupted run. The recovery of a pair"
        f" is none where the two runs are less than {SMALLEST_DIFFERENCE} apart in LD.",
        "values.csv": "the same.",
        "summary.csv": f"the map: by cell the mean, its {LEVEL:.0%} interval (low, high), the share"
        " of pairs whose effect has the mean's sign (agreement), five numbers of the pairs' parts,"
        " whether the interval holds “no effect” (says_nothing), and whether the cell is more than"
        " two standard deviations from the mean of all cells (stands_out).",
        "answer.json": "the map with its intervals, and the rows that are left out.",
        "map.png, map.svg, map.pdf": "the map as a picture.",
    }
    paragraphs = [
        caption(answer),
        f"{metric.title} = {formula(answer, answer.experiment.metric)}. {metric.says}"
        f" LD = {formula(answer, 'logit_diff')}; several targets or foils count by the log-sum-exp"
        " of their logits, which is the logit of any one of them.",
        *(
            f"{name}: {says}"
            for name, says in about.items()
            if name[:3] != "map" or _is_flat(answer)
        ),
        "In the CSV files an id, a group or a role that begins as a formula does, with = + - or @,"
        " has a space before it, such a target or foil stands in a list, and such a text has a"
        " backslash before it. Tokens that the model expects are JSON strings.",
    ]
    axes = ", ".join(f'"{axis}"' for axis in answer.axes)
    read = "logit_diff" if answer.experiment.metric == "recovery" else answer.experiment.metric
    code = f"""\
import pandas as pd

texts = dict.fromkeys(["id", "group", "clean", "corrupted", "target", "foil"], str)
pairs = pd.read_csv("pairs.csv", dtype=texts, keep_default_na=False, na_values=[""])
values = pd.read_parquet("values.parquet")
by_cell = values.groupby([{axes}], observed=True)
print(by_cell["{read}"].mean().unstack())
"""
    wrapped = (textwrap.fill(text, 90, break_long_words=False) for text in paragraphs)
    return "\n\n".join([*wrapped, code])


def _is_flat(answer: Answer) -> bool:
    return len(answer.axes) == 2
