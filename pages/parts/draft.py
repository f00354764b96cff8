"""The worksheet that a session makes, as far as it has come. Draws nothing.

It is in the address of the page, so that a reload loses nothing; one that would not fit there is in
its file alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import streamlit as st

from core.errors import UserError
from core.question.experiment import Experiment
from core.worksheets.making import experiments_in, of_kind, tasks_of
from core.worksheets.worksheet import Task, Worksheet, decoded
from pages.parts import experiment, sheet

_DRAFT, _IDS, _NEXT, _AT = "draft", "draft_ids", "draft_next", "draft_at"
_PROBLEM, _PASTED, _OPENED = "draft_problem", "draft_pasted", "draft_opened"
_LONGEST = 12_000  # characters of an address that are a draft


def take(query: Mapping[str, str]) -> None:
    """Go on as an address says; what it says that is no worksheet is said on the page."""
    st.session_state[_PROBLEM] = ""
    if "draft" in query:
        with _said():
            open(Worksheet.from_link(query["draft"], unfinished=True))
    if query.get("at", "").isdecimal():
        go_to(int(query["at"]) - 1)


def to_query() -> dict[str, str]:
    """The inverse of `take`, on the page that has to do with it."""
    if st.session_state.get("page") != sheet.PAGE or is_blank() or is_too_long():
        return {}
    return {"draft": current().to_link()} | ({"at": str(at() + 1)} if at() else {})


def current() -> Worksheet:
    return st.session_state.get(_DRAFT) or _blank()


def is_blank() -> bool:
    return current() == _blank()


def is_too_long() -> bool:
    """Whether it is too much for an address."""
    return len(current().to_link()) > _LONGEST


def problem() -> str:
    """Why what was last done could not be, if so."""
    return st.session_state.get(_PROBLEM, "")


def pasted() -> str:
    """What stands in the field for addresses."""
    return st.session_state.get(_PASTED, "")


def take_pasted(written: str) -> None:
    st.session_state[_PASTED] = written


def open(made: Worksheet) -> None:
    """Go on with a worksheet, as a callback."""
    st.session_state[_DRAFT], st.session_state[_OPENED] = made, _new_id()
    st.session_state[_IDS] = [_new_id() for _ in made.tasks]
    st.session_state[_AT] = 0


def open_file(content: bytes) -> None:
    """Go on with what a file holds, as a callback."""
    with _said():
        open(Worksheet.read(decoded(content), unfinished=True))


def begin_anew() -> None:
    """As a callback."""
    open(_blank())
    take_pasted("")


def opened() -> int:
    """What the draft is called as long as it is this one, whatever is changed in it."""
    return st.session_state.get(_OPENED, 0)


def ids() -> list[int]:
    """What each task is called as long as the session lasts, wherever it is moved to."""
    return st.session_state.get(_IDS, [])


def at() -> int:
    """The task that is open, counted from 0."""
    return min(st.session_state.get(_AT, 0), max(0, len(ids()) - 1))


def go_to(number: int) -> None:
    """Open a task, as a callback."""
    st.session_state[_AT] = max(0, number)


def change(**changes) -> None:
    """Its title, model, ..., as a callback."""
    with _said():
        st.session_state[_DRAFT] = replace(current(), **changes)


def change_task(id: int, **changes) -> None:
    """A task, as a callback."""
    with _said():
        task = replace(_task(id), **{k: v for k, v in changes.items() if k != "kind"})
        _put(id, of_kind(task, changes["kind"]) if "kind" in changes else task)


def add(experiments: Iterable[Experiment]) -> None:
    """A task for each experiment, after all others, as a callback."""
    with _said():
        _add(tasks_of(experiments))


def add_pasted() -> None:
    """A task for each address in the field, which is empty then, as a callback."""
    with _said():
        _add(tasks_of(experiments_in(pasted())))
        take_pasted("")


def add_without(kind: str) -> None:
    """A task that has no experiment, as a callback."""
    with _said():
        _add((Task(kind, "", ""),))


def move(id: int, by: int) -> None:
    """A task to an earlier (-1) or later (1) place, as a callback."""
    here = ids().index(id)
    there = min(max(0, here + by), len(ids()) - 1)
    tasks = list(current().tasks)
    for of in (tasks, ids()):
        of.insert(there, of.pop(here))
    st.session_state[_DRAFT] = replace(current(), tasks=tuple(tasks))
    go_to(there)


def remove(id: int) -> None:
    """A task, as a callback."""
    here = ids().index(id)
    tasks = (*current().tasks[:here], *current().tasks[here + 1 :])
    st.session_state[_DRAFT] = replace(current(), tasks=tasks)
    del ids()[here]


class _said:
    """What a person cannot do is said on the page, and changes nothing."""

    def __enter__(self) -> None:
        st.session_state[_PROBLEM] = ""

    def __exit__(self, kind, error, _) -> bool:
        if isinstance(error, UserError):
            st.session_state[_PROBLEM] = str(error)
        return isinstance(error, UserError)


def _blank() -> Worksheet:
    return Worksheet("", "", experiment.current().model, ())


def _new_id() -> int:
    st.session_state[_NEXT] = st.session_state.get(_NEXT, 0) + 1
    return st.session_state[_NEXT]


def _task(id: int) -> Task:
    return current().tasks[ids().index(id)]


def _put(id: int, task: Task) -> None:
    tasks = list(current().tasks)
    tasks[ids().index(id)] = task
    st.session_state[_DRAFT] = replace(current(), tasks=tuple(tasks))


def _add(tasks: tuple[Task, ...]) -> None:
    has_none = not any(task.experiment for task in current().tasks)
    given = next((task.experiment for task in tasks if task.experiment), None)
    model = given.model if given and has_none else current().model
    before = current().tasks
    st.session_state[_DRAFT] = replace(current(), model=model, tasks=(*before, *tasks))
    st.session_state[_IDS] = [*ids(), *(_new_id() for _ in tasks)]
    go_to(len(before))
