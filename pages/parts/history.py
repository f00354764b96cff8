"""What this session has asked, kept with it and nowhere else."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial

import streamlit as st

from core.result import Map
from core.views import history
from core.views.history import Asked
from pages.parts import html, look, opened, tables

_ENTRIES, _SHOWN = "history", "history_shown"


def entries() -> tuple[Asked, ...]:
    return st.session_state.get(_ENTRIES, ())


def begin() -> None:
    """At the start of a run of a page: nothing has been answered yet."""
    st.session_state[_SHOWN] = None


def answered(shown: Map | None) -> None:
    """A page has an answer, and shows this map, or none; of several maps the first is pictured."""
    if st.session_state.get(_SHOWN) in (None, (None,)):
        st.session_state[_SHOWN] = (shown,)


def note(page: str, query: dict[str, str]) -> None:
    """At the end of a run, of which this is the address: remember what was answered."""
    if (found := st.session_state.pop(_SHOWN, None)) is None:
        return
    newest = entries()[:1]
    if newest and (newest[0].page, newest[0].query) == (page, query):
        return
    new = history.asked(page, query, datetime.now(UTC), found[0])
    st.session_state[_ENTRIES] = history.remember(entries(), new, look.NAMES)


def take(data: dict) -> int:
    """Put the questions of a file behind those of the session, and say how many. Raises UserError
    for a file that is damaged."""
    found = history.from_dict(data)
    known = {(of.page, *of.query.items()) for of in entries()}
    new = [of for of in found if (of.page, *of.query.items()) not in known]
    st.session_state[_ENTRIES] = (*entries(), *new)[: history.MOST]
    return len(new)


def show() -> None:
    """The list, each a click to go back to."""
    st.subheader("Asked before")
    html.show(
        html.caption(
            f"The last {history.MOST} questions of this visit. A reload loses them, unless you"
            " save them as a file and open that again."
        )
    )
    if not entries():
        html.show(html.note("Nothing has been asked yet."))
        return
    with st.container(key="history"):
        for number, of in enumerate(entries()):
            with st.container(horizontal=True, vertical_alignment="center", key=f"asked_{number}"):
                html.show(tables.asked_before(of, _time(of)))
                if st.button("Open", key=f"asked_open_{number}"):
                    opened.open_link(of.page, of.query)
                st.button(
                    "Remove",
                    key=f"asked_remove_{number}",
                    on_click=_remove,
                    args=(of,),
                    type="tertiary",
                    icon=":material/close:",
                )
    with st.container(horizontal=True):
        st.download_button(
            "Save the list: JSON",
            partial(_file, entries()),
            "patchboard-history.json",
            "application/json",
            on_click="ignore",
            icon=":material/download:",
        )
        st.button("Forget them all", on_click=lambda: st.session_state.update({_ENTRIES: ()}))


def _file(made: tuple[Asked, ...]) -> str:
    return json.dumps(history.to_dict(made), ensure_ascii=False, indent=1)


def _remove(of: Asked) -> None:
    st.session_state[_ENTRIES] = tuple(other for other in entries() if other is not of)


def _time(of: Asked) -> str:
    """As the clock of the browser shows it."""
    behind = st.context.timezone_offset or 0  # minutes
    when = datetime.fromisoformat(of.when) - timedelta(minutes=behind)
    return f"{when:%d %b, %H:%M}"
