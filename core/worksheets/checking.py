"""What was handed in, computed again: do the numbers hold, are the answers right, and are the words
somebody's own?

for row in check(Path("handed-in")):
    print(row.file, row.task, row.verdict)
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import combinations
from pathlib import Path

from core import models
from core.errors import UserError
from core.question.experiment import Experiment
from core.result import EMBEDDING, Result
from core.steps import finish
from core.study import Study
from core.worksheets.handed_in import SEEN, HandedIn, Said, differs, how_guessed, is_right
from core.worksheets.worksheet import Task, Worksheet, experiment_of, mapping

EQUAL = 1e-3  # in the metric's own unit: another machine rounds otherwise
_ALIKE = 0.8  # of two texts: the share that SequenceMatcher finds in both
_LONG_ENOUGH = 8  # words: shorter texts are alike by chance
_LARGEST = 20_000_000  # bytes of a file
_KEPT = 64  # results: a class asks the same ones


@dataclass(frozen=True)
class Checked:
    """What is found of one answer, or of a whole file where `task` is empty."""

    file: str
    names: str = ""
    task: str = ""
    kind: str = ""
    answer: str = ""  # what was answered, in short
    right: str = ""  # "yes", "no", or empty where that is not for a computer to say
    guessed_right: str = ""  # of a prediction, the share of the cells
    numbers: str = ""  # "equal", "differ", "another model's", or empty where there are none
    largest_difference: str = ""
    words: str = ""
    repeats: str = ""  # where else much the same is written
    problem: str = ""


@dataclass(frozen=True)
class _Written:
    """A text that somebody wrote, and where."""

    file: str
    place: str
    words: str


Answering = Callable[[Experiment], Result]


def check(folder: Path, answering: Answering | None = None) -> Iterator[Checked]:
    """Every JSON file in a folder and below it, in the order of their names: answers to a worksheet
    task by task, and results of single experiments. Raises UserError for a folder that is not
    there, or has none."""
    if not folder.is_dir():
        raise UserError(f"There is no folder {str(folder)!r}.", "folder")
    paths = sorted(path for path in folder.rglob("*.json") if path.is_file())
    if not paths:
        raise UserError(f"There is no JSON file in {str(folder)!r}.", "folder")
    answering = answering or lru_cache(maxsize=_KEPT)(answer_to)
    names = {path: path.relative_to(folder).as_posix() for path in paths}
    read = {names[path]: _read(path) for path in paths}
    alike = _repeats({name: of for name, of in read.items() if isinstance(of, HandedIn)})
    for name, of in read.items():
        if isinstance(of, UserError):
            yield Checked(name, problem=str(of))
        elif isinstance(of, HandedIn):
            yield from _of_worksheet(name, of, alike, answering)
        else:
            yield _of_experiment(name, of, answering)


def to_csv(rows: list[Checked]) -> str:
    """The rows as a table, whose cells no spreadsheet takes for a formula."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\r\n")
    heads = [field.name for field in fields(Checked)]
    table.writerow(heads)
    for row in rows:
        table.writerow(_harmless(getattr(row, head)) for head in heads)
    return out.getvalue()


def answer_to(experiment: Experiment) -> Result:
    """The result of an experiment, computed here."""
    study = Study(experiment, _model(experiment.model))
    finish(iter(study))
    return study.read(experiment)


@lru_cache(maxsize=2)
def _model(name: str) -> models.LoadedModel:
    return models.load(models.find(name))


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell[:1] in tuple("=+-@\t\r") else cell


def _read(path: Path) -> HandedIn | dict | UserError:
    try:
        if path.stat().st_size > _LARGEST:
            raise UserError(f"The file is larger than {_LARGEST // 1_000_000} MB.")
        written = path.read_text(encoding="utf-8-sig")
        said = mapping(written, "file")
        if "answers" in said:
            return HandedIn.read(written)
        if not {"experiment", "values", "clean_value", "corrupted_value"} <= said.keys():
            raise UserError("The file is neither answers to a worksheet nor a result.")
        return said
    except UserError as error:
        return error
    except (OSError, UnicodeDecodeError) as error:
        return UserError(f"The file cannot be read ({type(error).__name__}).")


def _of_worksheet(
    name: str, handed_in: HandedIn, alike: dict[tuple[str, str], str], answering: Answering
) -> Iterator[Checked]:
    for number, (task, said) in enumerate(
        zip(handed_in.sheet.tasks, handed_in.said, strict=True), start=1
    ):
        place = f"{number}. {task.title}"
        row = {
            "file": name,
            "names": handed_in.names,
            "task": place,
            "kind": task.kind,
            "answer": _in_short(said),
            "words": str(len(said.words.split())) if said.words else "",
            "repeats": alike.get((name, place), ""),
        }
        try:
            row |= _held_against(task, said, answering)
        except UserError as error:
            row["problem"] = str(error)
        yield Checked(**row)


def _held_against(task: Task, said: Said, answering: Answering) -> dict[str, str]:
    experiment = task.experiment or said.experiment
    if experiment is None:
        return {} if task.kind == "explain" or said.is_empty else {"problem": "No pair is given."}
    if said.is_empty:
        return {"answer": "nothing"}
    result = answering(experiment)
    found = _numbers(said.numbers, result) if said.numbers else {}
    right = is_right(task, said, result)
    if right is not None:
        found["right"] = "yes" if right else "no"
    guessed = how_guessed(said, result)
    if guessed is not None:
        found["guessed_right"] = f"{guessed:.2f}"
    return found


def _of_experiment(name: str, said: dict, answering: Answering) -> Checked:
    try:
        experiment = experiment_of(said["experiment"])
        result = answering(experiment)
        numbers = {
            "values": [*said.get(EMBEDDING, []), *said["values"]],
            "metric": said.get("metric"),
            "clean_value": said["clean_value"],
            "corrupted_value": said["corrupted_value"],
            "fingerprint": said.get("model", {}).get("fingerprint"),
        }
        return Checked(name, kind="result", **_numbers(numbers, result))
    except UserError as error:
        return Checked(name, kind="result", problem=str(error))
    except (TypeError, AttributeError, KeyError):
        return Checked(name, kind="result", problem="The file's numbers cannot be read.")


def _numbers(numbers: dict, result: Result) -> dict[str, str]:
    if numbers["fingerprint"] != result.model.fingerprint:
        return {"numbers": "another model's"}
    apart = differs(numbers, result)
    verdict = "equal" if apart <= EQUAL else "differ"
    return {"numbers": verdict, "largest_difference": f"{apart:.2g}"}


def _in_short(said: Said) -> str:
    cell = "" if said.cell is None else f"row {said.cell[0]}, column {said.cell[1]}"
    own = json.dumps(said.experiment.clean, ensure_ascii=False) if said.experiment else ""
    return " · ".join(filter(None, (said.choice.replace(SEEN, ""), cell, own, said.words)))


def _repeats(handed_in: dict[str, HandedIn]) -> dict[tuple[str, str], str]:
    """Of every text that somebody wrote, where much the same stands: in another file, or in the
    worksheet itself."""
    written = [
        _Written(name, f"{number}. {task.title}", said.words)
        for name, of in handed_in.items()
        for number, (task, said) in enumerate(zip(of.sheet.tasks, of.said, strict=True), start=1)
        if len(said.words.split()) >= _LONG_ENOUGH
    ]
    found: dict[tuple[str, str], list[str]] = {}
    for one, other in combinations(written, 2):
        if one.file != other.file and _alike(one.words, other.words):
            found.setdefault((one.file, one.place), []).append(f"{other.file}: {other.place}")
            found.setdefault((other.file, other.place), []).append(f"{one.file}: {one.place}")
    for of in written:
        if any(_alike(of.words, asked) for asked in _handout(handed_in[of.file].sheet)):
            found.setdefault((of.file, of.place), []).append("the worksheet")
    return {where: "; ".join(others) for where, others in found.items()}


def _handout(sheet: Worksheet) -> set[str]:
    return {sheet.about, *(task.asks for task in sheet.tasks), *(task.hint for task in sheet.tasks)}


def _alike(one: str, other: str) -> bool:
    one, other = one.lower().split(), other.lower().split()
    if min(len(one), len(other)) < _LONG_ENOUGH:
        return False
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return matcher.quick_ratio() >= _ALIKE and matcher.ratio() >= _ALIKE
