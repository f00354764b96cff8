"""What somebody answered to a worksheet: one file, with the numbers that they saw."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from reprlib import repr as brief
from typing import Any, Self

import numpy as np

from core.errors import UserError
from core.guess import Guess, score, shares
from core.question.experiment import SIDES, Experiment
from core.result import Result
from core.views.words import row_name
from core.worksheets.worksheet import WRONG, Task, Worksheet, experiment_of, mapping, text

_IS = "patchboard answers"
SEEN = "seen"  # what a prediction has chosen once the map was shown
_HALF = 0.5
_LONGEST = 20_000  # characters of an answer's words
_AS_GOOD = 0.95  # of the strongest: several cells may bring all of the answer


@dataclass(frozen=True)
class Said:
    """An answer to one task; what the task does not ask for stays empty. `guess` is as
    `core.guess.Guess` writes it, `cell` a row and a column of the map, `choice` one of WRONG or
    SEEN, `experiment` a pair of one's own; `numbers` what the map showed (see `numbers_of`)."""

    words: str = ""
    guess: str = ""
    cell: tuple[int, int] | None = None
    choice: str = ""
    experiment: Experiment | None = None
    numbers: dict[str, Any] | None = None

    @property
    def is_empty(self) -> bool:
        return self == Said()

    def to_dict(self) -> dict[str, Any]:
        said = {"words": self.words, "guess": self.guess, "choice": self.choice}
        said = {name: value for name, value in said.items() if value}
        if self.cell is not None:
            said["cell"] = list(self.cell)
        if self.experiment is not None:
            said["experiment"] = self.experiment.to_dict()
        return said | ({"numbers": self.numbers} if self.numbers else {})

    @classmethod
    def from_dict(cls, said: Any) -> Self:
        """The inverse of `to_dict`. Raises UserError for what is no answer."""
        if not isinstance(said, dict):
            raise UserError("An answer is not a JSON object.", "answers")
        words = {name: said.get(name, "") for name in ("words", "guess", "choice")}
        text(words, *words, what="answer")
        if words["choice"] not in ("", SEEN, *WRONG):
            raise UserError(
                f"An answer chooses {brief(words['choice'])}, which is not one of the choices.",
                "answers",
            )
        if len(words["words"]) > _LONGEST:
            raise UserError(f"An answer is longer than {_LONGEST:,} characters.", "answers")
        cell = said.get("cell")
        if cell is not None:
            whole = isinstance(cell, list) and len(cell) == 2
            if not whole or not all(type(at) is int and at >= 0 for at in cell):
                raise UserError("The cell of an answer is not a row and a column.", "answers")
            cell = tuple(cell)
        asked, numbers = said.get("experiment"), said.get("numbers")
        if numbers is not None:
            _check_numbers(numbers)
        experiment = None if asked is None else experiment_of(asked)
        return cls(cell=cell, experiment=experiment, numbers=numbers, **words)


@dataclass(frozen=True)
class HandedIn:
    """A worksheet's answers, task by task."""

    names: str
    sheet: Worksheet
    said: tuple[Said, ...]

    def to_json(self) -> str:
        said = {
            "is": _IS,
            "names": self.names,
            "digest": self.sheet.digest,
            "answers": [said.to_dict() for said in self.said],
            "worksheet": json.loads(self.sheet.to_json()),
        }
        return json.dumps(said, ensure_ascii=False, allow_nan=False, indent=1)

    @classmethod
    def read(cls, written: str) -> Self:
        """The inverse of `to_json`. Raises UserError for what is none, and where the worksheet in
        it is not the one that was answered."""
        said = mapping(written, "file")
        if said.get("is") != _IS:
            raise UserError("The file holds no answers to a worksheet.", "answers")
        text(said, "names", what="file")
        sheet = Worksheet.read(json.dumps(said.get("worksheet"), ensure_ascii=False))
        if said.get("digest") != sheet.digest:
            raise UserError("The worksheet in the file has been changed.", "answers")
        answers = said.get("answers")
        if not isinstance(answers, list) or len(answers) != len(sheet.tasks):
            raise UserError(
                f"The file does not have one answer for each of {len(sheet.tasks)} tasks."
            )
        return cls(said["names"], sheet, tuple(map(Said.from_dict, answers)))


def numbers_of(result: Result) -> dict[str, Any]:
    """What a map shows, to be held against another computation of it."""
    metric = result.experiment.metric
    return {
        "metric": metric,
        "fingerprint": result.model.fingerprint,
        "values": result.values.astype(float).round(6).tolist(),
        "clean_value": round(result.plain(metric, "clean"), 6),
        "corrupted_value": round(result.plain(metric, "corrupted"), 6),
    }


def differs(numbers: dict[str, Any], result: Result) -> tuple[float, str]:
    """The largest difference between numbers that somebody has seen and a result, and where and
    what both are; infinite, and in words why, where they are not of the same cells."""
    again = numbers_of(result)
    try:
        seen, now = (
            np.append(np.ravel(of["values"]), (of["clean_value"], of["corrupted_value"])).astype(
                float
            )
            for of in (numbers, again)
        )
    except (ValueError, TypeError, OverflowError):  # rows of unequal length, numbers of any
        return float("inf"), "no numbers of a map"
    if numbers["metric"] != again["metric"]:
        return float("inf"), "of another metric"
    if seen.shape != now.shape:
        return float("inf"), "of another map's size"
    at = int(np.abs(seen - now).argmax())
    if at < result.values.size:
        row, *others = np.unravel_index(at, result.values.shape)
        names = zip(result.axes[1:], others, strict=True)
        place = ", ".join([row_name(result, row), *(f"{axis} {n}" for axis, n in names)])
    else:
        place = f"the {SIDES[at - result.values.size]} run"
    says = f"{place}: {seen[at]:.4g} in the file, {now[at]:.4g} computed"
    return float(abs(seen[at] - now[at])), says


def is_right(task: Task, said: Said, result: Result) -> bool | None:
    """Whether an answer is right; None where that is not for a computer to say."""
    if task.kind == "diagnose":
        return said.choice == task.wrong
    if task.kind != "find":
        return None
    return said.cell in found(task, result)


def found(task: Task, result: Result) -> set[tuple[int, int]]:
    """The cells that a task "find" asks for: of equally good ones all."""
    went = shares(result)
    if task.find == "last position":
        more = went[:, -1] > _HALF
        for row in range(len(more)):
            if more[row:].all():
                return {(row, went.shape[1] - 1)}
        return set()
    went = went if task.find == "strongest" else -went
    best = went.max()
    return (
        {tuple(cell) for cell in np.argwhere(went >= _AS_GOOD * best).tolist()}
        if best > 0
        else set()
    )


def how_guessed(said: Said, result: Result) -> float | None:
    """Of a prediction, the share of cells that came out as it said."""
    if not said.guess:
        return None
    return score(Guess.read(said.guess, result.values.shape), result).share


def is_answered(task: Task, said: Said) -> bool:
    """Whether all is there that a task asks for."""
    match task.kind:
        case "own":
            return bool(said.experiment and said.words)
        case "predict":
            return said.choice == SEEN
    return not said.is_empty


def words_in(texts: Iterable[str]) -> int:
    return sum(len(written.split()) for written in texts)


def _check_numbers(numbers: Any) -> None:
    def is_number(value: Any) -> bool:
        return type(value) in (int, float)

    rows = numbers.get("values") if isinstance(numbers, dict) else None
    is_grid = isinstance(rows, list) and all(
        isinstance(row, list) and all(map(is_number, row)) for row in rows
    )
    if not is_grid or not all(
        is_number(numbers.get(of)) for of in ("clean_value", "corrupted_value")
    ):
        raise UserError("The numbers of an answer are not a map.", "answers")
    text(numbers, "metric", "fingerprint", what="answer's map")
