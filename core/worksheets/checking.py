"""What was handed in, computed again: do the numbers hold, are the answers right, and are the words
somebody's own?

for row in finish(check(files_in(Path("handed-in")))):
    print(row.file, row.task, row.verdict)
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path

from core.errors import UserError
from core.question.experiment import Experiment
from core.question.sites import SITES
from core.result import EMBEDDING, Result
from core.steps import Steps, within
from core.views.formats import csv_of, named
from core.views.words import layer_name
from core.weight import weigh
from core.worksheets.computing import Computed, Load, computed, estimate, load, read
from core.worksheets.handed_in import SEEN, HandedIn, Said, differs, how_guessed, is_right
from core.worksheets.worksheet import Task, Worksheet, decoded, experiment_of, mapping

EQUAL = 1e-3  # in the metric's own unit: another machine rounds otherwise
_ALIKE = 0.8  # of two texts: the share that SequenceMatcher finds in both
_LONG_ENOUGH = 8  # words: shorter texts are alike by chance
_LARGEST = 20_000_000  # bytes of a file
NOTHING = "nothing"  # was answered
_SWEEPING = 0.9  # of the work, about; the rest is holding texts against each other


@dataclass(frozen=True)
class Checked:
    """What is found of one answer, or of a whole file where `task` is empty."""

    file: str
    names: str = ""
    task: str = ""
    numbers: str = ""  # "equal", "differ", "another model's", "none", or empty where none belong
    largest_difference: str = ""
    differs_at: str = ""  # where that is, and both numbers
    right: str = ""  # "yes", "no", or empty where that is not for a computer to say
    problem: str = ""
    repeats: str = ""  # where else much the same is written
    answer: str = ""  # what was answered, in short
    guessed_right: str = ""  # of a prediction, the share of the cells
    kind: str = ""
    words: str = ""


@dataclass(frozen=True)
class _Written:
    """A text that somebody wrote, and where."""

    file: str
    place: str
    words: list[str]


Content = bytes | UserError  # of a file, or why it cannot be read


class Checking:
    """Files by their names, in their order: answers to a worksheet, and results of single
    experiments. A file that is neither is a row that says so."""

    def __init__(self, files: Iterable[tuple[str, Content]]):
        self._read = {name: _read(content) for name, content in files}
        self._asked = [asked for of in self._read.values() for asked in _asked(of)]

    @cached_property
    def nbytes(self) -> int:
        """About what is kept of the files."""
        return weigh(self._read)

    def estimate(self, load: Load = load) -> tuple[float, int]:
        """About how many seconds it takes to compute them again, and how many bytes of memory."""
        return estimate(self._asked, load)

    def check(self, load: Load = load) -> Steps[list[Checked]]:
        """A row for each answer, and for each file that has none."""
        results = yield from within(computed(self._asked, load), 0.0, _SWEEPING)
        handed_in = {name: of for name, of in self._read.items() if isinstance(of, HandedIn)}
        alike = yield from within(_repeats(handed_in), _SWEEPING, 1 - _SWEEPING)
        rows = []
        for name, of in self._read.items():
            if isinstance(of, UserError):
                rows.append(Checked(name, problem=str(of)))
            elif isinstance(of, HandedIn):
                rows += _of_worksheet(name, of, alike, results)
            else:
                rows.append(_of_experiment(name, of, results))
        return rows


def check(files: Iterable[tuple[str, Content]], load: Load = load) -> Steps[list[Checked]]:
    """See Checking.check."""
    return Checking(files).check(load)


def files_in(folder: Path) -> Iterator[tuple[str, Content]]:
    """Every JSON file in a folder and below it, in the order of their names. Raises UserError for a
    folder that is not there, or has none."""
    if not folder.is_dir():
        raise UserError(f"There is no folder {str(folder)!r}.", "folder")
    paths = sorted(path for path in folder.rglob("*.json") if path.is_file())
    if not paths:
        raise UserError(f"There is no JSON file in {str(folder)!r}.", "folder")
    for path in paths:
        content: Content
        try:
            with path.open("rb") as file:
                content = file.read(_LARGEST + 1)
        except OSError as error:
            content = UserError(f"The file cannot be read ({type(error).__name__}).")
        yield path.relative_to(folder).as_posix(), content


def stands_out(row: Checked) -> bool:
    """Whether a teacher should look at a row first."""
    return bool(row.problem or row.repeats or row.numbers not in ("", "equal", "none"))


def to_csv(rows: list[Checked]) -> str:
    """The rows as a table."""
    heads = [field.name for field in fields(Checked)]
    return csv_of([heads, *(list(map(named, astuple(row))) for row in rows)])


def _read(content: Content) -> HandedIn | dict | UserError:
    try:
        if isinstance(content, UserError):
            return content
        if len(content) > _LARGEST:
            raise UserError(f"The file is larger than {_LARGEST // 1_000_000} MB.")
        written = decoded(content)
        said = mapping(written, "file")
        if "answers" in said:
            return HandedIn.read(written)
        if not {"experiment", "values", "clean_value", "corrupted_value"} <= said.keys():
            what = (
                "is a report: what is checked is its maps' own JSON"
                if "findings" in said
                else ("holds neither answers to a worksheet nor a result")
            )
            raise UserError(f"The file {what}.")
        return said | {"experiment": experiment_of(said["experiment"])}
    except UserError as error:
        return error


def _asked(of: HandedIn | dict | UserError) -> list[Experiment]:
    """What has to be computed to check a file."""
    if isinstance(of, UserError):
        return []
    if isinstance(of, dict):
        return [of["experiment"]]
    pairs = zip(of.sheet.tasks, of.said, strict=True)
    found = (task.experiment or said.experiment for task, said in pairs if not said.is_empty)
    return [experiment for experiment in found if experiment]


def _of_worksheet(
    name: str, handed_in: HandedIn, alike: dict[tuple[str, str], str], results: Computed
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
            "answer": NOTHING if said.is_empty else _in_short(task, said),
            "words": str(len(said.words.split())) if said.words else "",
            "repeats": alike.get((name, place), ""),
        }
        try:
            row |= _held_against(task, said, results)
        except UserError as error:
            row["problem"] = str(error)
        yield Checked(**row)


def _held_against(task: Task, said: Said, results: Computed) -> dict[str, str]:
    experiment = task.experiment or said.experiment
    if said.is_empty or task.kind == "explain":
        return {}
    if experiment is None:
        return {"problem": "No pair is given."}
    result = read(results, experiment)
    found = _numbers(said.numbers, result) if said.numbers else {"numbers": "none"}
    right = is_right(task, said, result)
    if right is not None:
        found["right"] = "yes" if right else "no"
    guessed = how_guessed(said, result)
    if guessed is not None:
        found["guessed_right"] = f"{guessed:.2f}"
    return found


def _of_experiment(name: str, said: dict, results: Computed) -> Checked:
    try:
        result = read(results, said["experiment"])
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
    apart, where = differs(numbers, result)
    found = {"numbers": "equal", "largest_difference": f"{apart:.2g}"}
    return found if apart <= EQUAL else found | {"numbers": "differ", "differs_at": where}


def _in_short(task: Task, said: Said) -> str:
    cell = _place(task.experiment, said.cell) if said.cell and task.experiment else ""
    own = json.dumps(said.experiment.clean, ensure_ascii=False) if said.experiment else ""
    return " · ".join(filter(None, (said.choice.replace(SEEN, ""), cell, own, said.words)))


def _place(of: Experiment, cell: tuple[int, int]) -> str:
    """Where a cell is on a map, without the map."""
    row, column = cell
    label = EMBEDDING if of.embedding and row == 0 else str(row - of.embedding)
    return f"{layer_name(label)}, {SITES[of.site].axes[-1]} {column}"


def _repeats(handed_in: dict[str, HandedIn]) -> Steps[dict[tuple[str, str], str]]:
    """Of every text that somebody wrote, where much the same stands: in another file, or in the
    worksheet itself."""
    written = [
        _Written(name, f"{number}. {task.title}", _words(said.words))
        for name, of in handed_in.items()
        for number, (task, said) in enumerate(zip(of.sheet.tasks, of.said, strict=True), start=1)
        if len(said.words.split()) >= _LONG_ENOUGH
    ]
    handouts = {name: [*map(_words, _handout(of.sheet))] for name, of in handed_in.items()}
    found: dict[tuple[str, str], list[str]] = {}
    for number, one in enumerate(written):
        yield number / len(written)
        matcher = SequenceMatcher(autojunk=False)
        matcher.set_seq2(one.words)  # of which it keeps what it learns
        for other in written[number + 1 :]:
            if one.file != other.file and _alike(matcher, other.words):
                found.setdefault((one.file, one.place), []).append(f"{other.file}: {other.place}")
                found.setdefault((other.file, other.place), []).append(f"{one.file}: {one.place}")
        if any(_alike(matcher, asked) for asked in handouts[one.file]):
            found.setdefault((one.file, one.place), []).append("the worksheet")
    return {where: "; ".join(others) for where, others in found.items()}


def _handout(sheet: Worksheet) -> set[str]:
    return {sheet.about, *(task.asks for task in sheet.tasks), *(task.hint for task in sheet.tasks)}


def _words(written: str) -> list[str]:
    return written.lower().split()


def _alike(matcher: SequenceMatcher, words: list[str]) -> bool:
    if len(words) < _LONG_ENOUGH:
        return False
    matcher.set_seq1(words)
    bounds = (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)  # each slower
    return all(ratio() >= _ALIKE for ratio in bounds)
