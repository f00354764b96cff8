"""The report of a visit: kept by this server under a key that the browser holds as a cookie, so
that a reload finds it again, and other tabs of the browser write the same one. It is on the disk as
well (`core.report.shelf`), where another start of the server finds it.

Every text is taken over as soon as it comes, field by field, so that two tabs that write different
ones are in nobody's way. Where both have written the same one, both texts stay.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from secrets import token_hex

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from core.errors import UserError
from core.report import findings, shelf
from core.report import programs as behind
from core.report.findings import Finding
from core.report.notebook import Report
from pages.parts import experiment, html, keeping
from pages.parts.settings import setting

_COOKIE = "patchboard_report"
_KEY = re.compile("[0-9a-f]{32}")
_MOST, _BUDGET = 1000, 1 << 28  # reports, and bytes of all of them
_SHARE = 8  # of all that is kept reports have this part at the most
_OWN, _SHOWN, _SAYS = "report_key", "report_shown", "report_says"
_OFFERED, _MINE = "report_offered", "report_mine"
_CODE = "report_code"


@dataclass
class _Kept:
    """A report, and what it was before something of it was taken away."""

    report: Report = field(default_factory=Report)
    former: Report | None = None


_all: OrderedDict[str, _Kept] = OrderedDict()  # of all visits, what was used last in the end
_lock = threading.RLock()


def _kept() -> _Kept:
    """That of this visit."""
    if _OWN not in st.session_state:
        cookie = str(st.context.cookies.get(_COOKIE))
        st.session_state[_OWN] = cookie if _KEY.fullmatch(cookie) else token_hex(16)
    key = st.session_state[_OWN]
    with _lock:
        if key not in _all:  # what goes to make room is there again while somebody is at it
            _all[key] = st.session_state.get(_MINE) or _Kept(shelf.load(key) or Report())
        st.session_state[_MINE] = _all[key]
        _all.move_to_end(key)
        return _all[key]


def _nbytes() -> int:
    with _lock:
        both = [of for kept in _all.values() for of in (kept.report, kept.former) if of]
    return sum(of.size for of in both)


keeping.counted.append(_nbytes)


def _make_room() -> None:
    """What was not used for longest goes, if it is too much."""
    most = min(_BUDGET, setting("PATCHBOARD_MEMORY") // _SHARE)
    while len(_all) > 1 and (len(_all) > _MOST or _nbytes() > most):
        _all.popitem(last=False)


def remember() -> None:
    """Leave the key with the browser, once there is something to find again."""
    if not current().is_empty:
        html.run(
            f'document.cookie = "{_COOKIE}={st.session_state[_OWN]}; path=/; max-age=7776000;'
            ' SameSite=Strict";'
        )


def current() -> Report:
    return _kept().report


def named(page: StreamlitPage) -> StreamlitPage:
    """A page as the menu names it: the report with how many findings it has."""
    if page.title != "Report" or not (count := len(current().findings)):
        return page
    return st.Page("pages/reporting/report.py", title=f"Report ({count})")


def change(how: Callable[[Report], Report], undone: bool = False) -> str:
    """Replace the report, and give why not if it cannot be; with `undone` that can be undone."""
    with _lock:
        kept = _kept()
        try:
            new = how(kept.report)
        except UserError as error:
            return str(error)
        if undone and not kept.report.is_empty:
            kept.former = kept.report
        kept.report = new
        shelf.save(st.session_state[_OWN], new)
        _make_room()
    return ""


def can_undo() -> bool:
    return _kept().former is not None


def undo() -> None:
    """As a callback: what was taken away comes back, and what was written since stays beside it,
    being the next that can be undone."""
    with _lock:
        kept = _kept()
        if kept.former is not None:
            kept.report, kept.former = kept.former, kept.report
            shelf.save(st.session_state[_OWN], kept.report)


def begin() -> None:
    """At the start of a run of a page: it has offered nothing yet. What the run before has offered
    goes with all that it holds, such as a model."""
    st.session_state[_OFFERED] = {}


def offer(place: str, label: str, make: Callable[[], str], view: str) -> None:
    """A button that puts what a page shows into the report, given as its JSON; `place` tells it
    from the others of the page."""
    st.session_state[_OFFERED][place] = make, view
    # Of its callback Streamlit keeps the arguments for good: a place holds nothing.
    st.button(
        label,
        key=f"report_{place}",
        on_click=_add,
        args=(place,),
        icon=":material/note_add:",
    )


def _add(place: str) -> None:
    if place not in st.session_state.get(_OFFERED, {}):
        return  # the server has been restarted meanwhile
    make, view = st.session_state[_OFFERED][place]
    try:
        new = findings.finding(make(), view)
        problem = change(lambda report: report.with_finding(new))
        programs([new])
    except UserError as error:
        problem = str(error)
    count = len(current().findings)
    told = f"It is in the report, which has {count} finding{'s' * (count > 1)} now."
    st.session_state[_SAYS] = place, html.problem(problem) if problem else html.note(told)


def says(place: str) -> str:
    """What became of the last click at a place, or nothing."""
    of, told = st.session_state.get(_SAYS) or ("", "")
    return told if of == place else ""


def programs(found: Iterable[Finding]) -> dict[str, dict[str, str]]:
    """The code behind findings, by their ids, as files: written while their model is in use."""
    written = st.session_state.setdefault(_CODE, {})
    for of in found:
        name = next((shown.experiment.model for shown in of.maps.values()), "")
        is_here = name == experiment.current().model and name in keeping.cards
        if of.id not in written and is_here:
            written[of.id] = behind.programs(of, keeping.shelf(name).model)
    return written


# --- its texts, as fields of a page ---------------------------------------------------------------

Read, Write = Callable[[Report], str], Callable[[Report, str], Report]


def widget(name: str, read: Read, write: Write) -> dict:
    """The key of the field for a text of the report, and what takes over what is typed there."""
    key, shown = f"report_{name}", st.session_state.setdefault(_SHOWN, {})
    if key in st.session_state and key not in shown and st.session_state[key]:
        _take(key, read, write)  # typed before this session began: the server has been restarted
    text = read(current())
    if st.session_state.get(key) != text:
        st.session_state[key] = text
    shown[key] = text
    return {"key": key, "on_change": _take, "args": (key, read, write)}


def _take(key: str, read: Read, write: Write) -> None:
    typed, began = st.session_state[key], st.session_state.setdefault(_SHOWN, {}).get(key, "")

    def taken(report: Report) -> Report:
        there = read(report)
        elsewhere = there != began and there not in typed and there.strip()
        return write(report, f"{there}\n\n{typed}" if elsewhere else typed)

    if problem := change(taken):
        st.session_state[_SAYS] = key, html.problem(problem)
