"""The worksheet that a session works through: which, what was answered, and where it stands.

All of it but the numbers, which are computed again, is in the address of the page, so that a reload
loses nothing; answers that would not fit there are in the file alone.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from core.errors import UserError
from core.worksheets.bundled import BUNDLED
from core.worksheets.handed_in import HandedIn, Said
from core.worksheets.worksheet import Worksheet, packed, unpacked

PAGE = "worksheet"  # its address
_SHEET, _SAID, _NAMES, _AT = "sheet", "sheet_said", "sheet_names", "sheet_at"
_PROBLEM = "sheet_problem"
_LONGEST = 12_000  # characters of an address that are answers
_ALWAYS = {"Patch", "Worksheet"}


def take(query: Mapping[str, str]) -> None:
    """Work as an address says; what it says that is no worksheet is said on the page. An address
    of another page says nothing of it."""
    st.session_state[_PROBLEM] = ""
    if "sheet" not in query:
        return
    try:
        word = query["sheet"]
        begin(BUNDLED[word] if word in BUNDLED else Worksheet.from_link(word))
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
    if st.session_state.get("page") != PAGE or sheet is None:
        return {}
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


def shown(title: str) -> bool:
    """Whether a page is shown while the worksheet is worked through."""
    sheet = current()
    return not sheet or not sheet.pages or title in _ALWAYS or title in sheet.pages


def begin(sheet: Worksheet) -> None:
    """Work through a worksheet from its first task on, as a callback."""
    st.session_state[_SHEET] = sheet
    st.session_state[_SAID] = [Said() for _ in sheet.tasks]
    st.session_state[_AT] = 0


def go_on_with(handed_in: HandedIn) -> None:
    """Take up what was handed in, to go on with it."""
    begin(handed_in.sheet)
    st.session_state[_SAID] = list(handed_in.said)
    st.session_state[_NAMES] = handed_in.names


def leave() -> None:
    for key in (_SHEET, _SAID, _AT):
        st.session_state.pop(key, None)


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
