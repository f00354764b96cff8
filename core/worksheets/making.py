"""What whoever makes a worksheet does with its tasks."""

from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import parse_qsl

from core.errors import UserError
from core.question.experiment import TEXTS, Experiment
from core.worksheets.worksheet import FINDS, KINDS, WITH_EXPERIMENT, WRONG, Task


def experiments_in(written: str) -> list[Experiment]:
    """Those of addresses, one a line. Raises UserError for a line that is none."""
    lines = [line.strip() for line in written.splitlines()]
    found = [_experiment(number, line) for number, line in enumerate(lines, start=1) if line]
    if not found:
        raise UserError("No address is given: copy that of a map, by “Copy link”.", "address")
    return found


def tasks_of(experiments: Iterable[Experiment]) -> tuple[Task, ...]:
    """A task for each experiment, to be filled in. Raises UserError for one that has no map."""
    return tuple(Task("map", "", "", experiment) for experiment in experiments)


def kinds_for(task: Task) -> tuple[str, ...]:
    """What a task may be, as it has an experiment or not."""
    return tuple(kind for kind in KINDS if (kind in WITH_EXPERIMENT) == bool(task.experiment))


def of_kind(task: Task, kind: str) -> Task:
    """The same as another kind of task, with something to be found where that asks for it."""
    find = (task.find or next(iter(FINDS))) if kind == "find" else ""
    wrong = (task.wrong or next(iter(WRONG))) if kind == "diagnose" else ""
    return replace(task, kind=kind, find=find, wrong=wrong)


def _experiment(number: int, line: str) -> Experiment:
    query = line.partition("#")[0].partition("?")[2]
    said = dict(parse_qsl(query, keep_blank_values=True))
    if missing := [name for name in TEXTS if name not in said]:
        raise UserError(
            f"Line {number} is not the address of a map: it lacks {' and '.join(missing)}.",
            "address",
        )
    try:
        return Experiment.from_query(said)
    except UserError as error:
        raise UserError(f"Line {number}: {error}", "address") from error
