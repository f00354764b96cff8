"""The page "Open": a file that was saved, as the page it is of, and what was asked before."""

import streamlit as st

from core.errors import UserError
from core.report.notebook import Report
from core.views import opening
from core.views.opening import Opened
from pages.parts import held, history, html, notebook, opened

_FILE, _CAME, _SAYS = "file_to_open", "file_came", "file_says"


def page() -> None:
    if (came := st.session_state.pop(_CAME, None)) is not None:
        opened.go(came)
    html.show(html.title("Go on where you were"))
    st.file_uploader(
        "Drop a file that Patchboard wrote: a JSON, or a PNG or SVG picture",
        key=_FILE,
        on_change=_take,
        help="It opens as the page it is of; of a map the numbers as stored are beside those of"
        " now. What is handed in of a worksheet is opened on the page Worksheet.",
    )
    if says := st.session_state.get(_SAYS):
        html.show(says)
    history.show()


def _take() -> None:
    """What was dropped, as a callback: nothing of it is kept but what it says."""
    st.session_state[_SAYS] = ""
    if (file := st.session_state[_FILE]) is None:
        return
    try:
        of = opening.read(file.getvalue(), file.name)
        held.require_room(of, f"“{file.name[:80]}”")
        st.session_state[_SAYS] = _opened(of)
    except UserError as error:
        st.session_state[_SAYS] = html.problem(str(error))


def _opened(of: Opened) -> str:
    """What is said of it on this page, if it is not of another."""
    if of.kind == "history":
        return html.note(f"{history.take(of.data)} questions were added to those below.")
    if of.kind == "report":
        report = Report.from_dict(of.data)
        notebook.change(lambda before: report, undone=True)
    st.session_state[_CAME] = of
    return ""


page()
