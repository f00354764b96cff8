"""The worksheet that a session works through: which, what was answered, and where it stands.

All of it but the numbers, which are computed again, is in the address of the page, so that a reload
loses nothing; answers that would not fit there are in the file alone.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from core import catalogue
from core.errors import UserError
from core.worksheets.bundled import BUNDLED
from core.worksheets.handed_in import HandedIn, Said
from core.worksheets.worksheet import Worksheet, packed, unpacked
from pages.parts import experiment

PAGE = "worksheet"  # its address
_SHEET, _SAID, _NAMES, _AT = "sheet", "sheet_said", "sheet_names", "sheet_at"
_PROBLEM, _TITLES, _DOES = "sheet_problem", "sheet_titles", "sheet_does"
_LEFT = "sheet_left"  # worksheet -> its answers and its open task, of those that were left
_LONGEST = 12_000  # characters of an address that are answers
_ALWAYS = ("Patch", "Worksheet")  # pages
# What a person does on the page while none is worked through.
DOES = {"work": "Work through one", "make": "Make one", "check": "Check what came back"}


def take(query: Mapping[str, str]) -> None:
    """Work as an address says; what it says that is no worksheet is said on the page. An address
    of another page says nothing of it."""
    st.session_state[_PROBLEM] = ""
    if query.get("do") in DOES:
        do(query["do"])
    if "sheet" not in query:
        return
    try:
        begin(_named(query["sheet"]))
        if written := query.get("answers"):
            said = json.loads(unpacked(written))
            if not isinstance(said, list) or len(said) != len(current().tasks):
                raise UserError("The answers in the link are not those of its worksheet.")
            st.session_state[_SAID] = [Said.from_dict(one) for one in said]
    except (UserError, ValueError) as error:
        st.session_state[_PROBLEM] = str(error)
    st.session_state[_NAMES] = query.get("names", "")[:200]
    if query.get("task", "").isdecimal():
        go_to(int(query["task"]) - 1)


def to_query() -> dict[str, str]:
    """The inverse of `take`, on the page that has to do with it."""
    sheet = current()
    if st.session_state.get("page") != PAGE:
        return {}
    if sheet is None:
        return {} if doing() == next(iter(DOES)) else {"do": doing()}
    bundled = (name for name, of in BUNDLED.items() if of == sheet)
    query = {"sheet": next(bundled, None) or sheet.to_link()}
    if any(not one.is_empty for one in said()):
        answers = [replace(one, numbers=None).to_dict() for one in said()]
        query["answers"] = packed(json.dumps(answers, ensure_ascii=False))
        if len(query["answers"]) > _LONGEST:
            del query["answers"]
    if names():
        query["names"] = names()
    return query | ({"task": str(at() + 1)} if at() else {})


def current() -> Worksheet | None:
    return st.session_state.get(_SHEET)


def shown(pages: Iterable[StreamlitPage]) -> list[StreamlitPage]:
    """Of all pages those that are shown while the worksheet is worked through."""
    sheet, pages = current() or _of_link(), list(pages)
    st.session_state[_TITLES] = [page.title for page in pages]
    if not sheet or not sheet.pages:
        return pages
    return [page for page in pages if page.title in (*_ALWAYS, *sheet.pages)]


def hides(title: str) -> bool:
    """Whether a page is not shown while the worksheet is worked through."""
    sheet = current()
    return bool(sheet and sheet.pages) and title not in (*_ALWAYS, *sheet.pages)


def _of_link() -> Worksheet | None:
    """That of the address with which a session begins, which is taken up only later in that run."""
    if "page" in st.session_state or "sheet" not in st.query_params:
        return None
    try:
        return _named(st.query_params["sheet"])
    except UserError:
        return None


def _named(word: str) -> Worksheet:
    return BUNDLED[word] if word in BUNDLED else Worksheet.from_link(word)


def others() -> list[str]:
    """The titles of the pages that a worksheet may show or not."""
    return [title for title in st.session_state[_TITLES] if title not in _ALWAYS]


def doing() -> str:
    """What is done while no worksheet is worked through: one of DOES."""
    return st.session_state.get(_DOES, next(iter(DOES)))


def do(what: str) -> None:
    st.session_state[_DOES] = what


def is_open() -> bool:
    """Whether a worksheet is what the page shows."""
    return st.session_state.get("page") == PAGE and current() is not None


def begin(sheet: Worksheet) -> None:
    """Work through a worksheet with its model, from its first task on or, after it was left, from
    where that was, as a callback."""
    with suppress(UserError):  # which the page says of its tasks
        pinned = replace(experiment.current(), model=catalogue.named(sheet.model).name)
        experiment.show(pinned)
    st.session_state[_SHEET] = sheet
    anew = [Said() for _ in sheet.tasks], 0
    st.session_state[_SAID], st.session_state[_AT] = _left().pop(sheet, anew)


def go_on_with(handed_in: HandedIn) -> None:
    """Take up what was handed in, to go on with it."""
    begin(handed_in.sheet)
    st.session_state[_SAID] = list(handed_in.said)
    st.session_state[_NAMES] = handed_in.names


def leave() -> None:
    """Put a worksheet away with its answers, as a callback."""
    if any(not one.is_empty for one in said()):
        _left()[current()] = said(), at()
    for key in (_SHEET, _SAID, _AT):
        st.session_state.pop(key, None)


def was_left(sheet: Worksheet) -> bool:
    """Whether there are answers to it from before."""
    return sheet in _left()


def _left() -> dict[Worksheet, tuple[list[Said], int]]:
    return st.session_state.setdefault(_LEFT, {})


def problem() -> str:
    """What is wrong with the address, if anything is."""
    return st.session_state.get(_PROBLEM, "")


def said() -> list[Said]:
    return st.session_state[_SAID]


def answer(number: int, **changes) -> None:
    """Take down what somebody answers to a task, as a callback."""
    said()[number] = replace(said()[number], **changes)


def names() -> str:
    return st.session_state.get(_NAMES, "")


def take_names(written: str) -> None:
    st.session_state[_NAMES] = written.strip()


def at() -> int:
    """The task that is open, counted from 0."""
    return st.session_state.get(_AT, 0)


def go_to(number: int) -> None:
    """Open a task, as a callback."""
    if sheet := current():
        st.session_state[_AT] = min(max(0, number), len(sheet.tasks) - 1)
