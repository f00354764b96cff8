"""The key to a worksheet, computed: what each task's runs say, and which answers are right.

rows = finish(key(sheet))
"""

import json
from dataclasses import asdict, astuple, dataclass, fields

import numpy as np

from core.errors import UserError
from core.guess import AWAY, TOWARDS, came_out
from core.result import Result
from core.steps import Steps
from core.views.formats import csv_of, named
from core.views.words import row_name
from core.worksheets.computing import Load, computed, load, read
from core.worksheets.handed_in import found
from core.worksheets.worksheet import WRONG, Task, Worksheet

Cell = tuple[int, int]


@dataclass(frozen=True)
class Answer:
    """Of one task. `cells`, by row and column, count as right where a cell is to be found; of a
    prediction, `towards` and `away` are those that move, and all others do not."""

    number: int
    kind: str
    title: str
    fingerprint: str = ""  # of the model's weights
    metric: str = ""
    clean_value: float | None = None
    corrupted_value: float | None = None
    cells: tuple[Cell, ...] = ()
    cells_in_words: str = ""
    towards: tuple[Cell, ...] = ()
    away: tuple[Cell, ...] = ()
    wrong: str = ""  # one of WRONG
    problem: str = ""  # why the task cannot be answered


def key(sheet: Worksheet, load: Load = load) -> Steps[list[Answer]]:
    """The answers to all tasks, in their order."""
    results = yield from computed(sheet.experiments, load)
    rows = []
    for number, task in enumerate(sheet.tasks, start=1):
        said = {"wrong": task.wrong}
        try:
            if task.experiment:
                said |= _answered(task, read(results, task.experiment))
        except UserError as error:
            said["problem"] = str(error)
        rows.append(Answer(number, task.kind, task.title, **said))
    return rows


def to_json(sheet: Worksheet, rows: list[Answer]) -> str:
    """The key as a file, which says of what worksheet it is."""
    answers = [
        {name: value for name, value in asdict(row).items() if value not in ("", None, ())}
        | ({"wrong_in_words": WRONG[row.wrong]} if row.wrong else {})
        for row in rows
    ]
    said = {
        "is": "patchboard key",
        "title": sheet.title,
        "model": sheet.model,
        "digest": sheet.digest,
        "answers": answers,
    }
    return json.dumps(said, ensure_ascii=False, allow_nan=False, indent=1)


def to_csv(rows: list[Answer]) -> str:
    """The key as a table."""
    heads = [field.name for field in fields(Answer)]
    return csv_of([heads, *(list(map(_in_a_cell, astuple(row))) for row in rows)])


def _in_a_cell(value: object) -> object:
    if isinstance(value, tuple):
        return " ".join(f"{row},{column}" for row, column in value)
    return named(value) if isinstance(value, str) else value


def _answered(task: Task, result: Result) -> dict:
    metric = result.experiment.metric
    said = {
        "fingerprint": result.model.fingerprint,
        "metric": metric,
        "clean_value": round(result.plain(metric, "clean"), 6),
        "corrupted_value": round(result.plain(metric, "corrupted"), 6),
    }
    if task.kind == "find":
        cells = tuple(sorted(found(task, result)))
        if not cells:
            raise UserError("No cell of this map is what is to be found.")
        places = (f"{row_name(result, row)}, {result.axes[1]} {column}" for row, column in cells)
        said |= {"cells": cells, "cells_in_words": "; ".join(places)}
    if task.kind == "predict":
        moved = came_out(result)
        said |= {"towards": _where(moved == TOWARDS), "away": _where(moved == AWAY)}
    return said


def _where(mask: np.ndarray) -> tuple[Cell, ...]:
    return tuple(map(tuple, np.argwhere(mask).tolist()))
