"""The set of the page "Sets": which components are in it, as they are written. However it is
edited, by a click, a button or typing, it is one text, which is part of the address."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

import streamlit as st

from core.question import components
from core.question.components import Component
from pages.parts import experiment

BOX = "set_text"  # a widget
PAGE = "sets"  # its address
_TEXT, _CLICKS, _KEPT = "set_members", "set_clicks", "kept_sets"
_LONGEST, _LONGEST_NAME = 4000, 60  # characters


class Kept(NamedTuple):
    """A set that a person has named."""

    name: str
    text: str


def take(query: Mapping[str, str]) -> None:
    """The set of an address. What of it is no component shows when it is asked."""
    put(query.get("set", ""))


def to_query() -> dict[str, str]:
    """The inverse of `take`, on the page that has to do with it."""
    is_here = st.session_state.get("page") == PAGE and text()
    return {"set": text()} if is_here else {}


def text() -> str:
    return st.session_state.get(_TEXT, "")


def put(written: str) -> None:
    """Let the set be what is written, as a callback or before it is drawn."""
    st.session_state[_TEXT] = written[:_LONGEST]
    fill_box()


def fill_box() -> None:
    """Before the box is drawn. What stands in it already is not put in again: a person may be
    typing on, and would lose that."""
    if st.session_state.get(BOX) != text():
        st.session_state[BOX] = text()


def take_typed() -> None:
    """As a callback of the box."""
    put(st.session_state[BOX])


def toggle(component: Component, sizes: tuple[int, int, int]) -> None:
    """Put a component in or take it out, as a callback; `sizes` are layers, heads and tokens. What
    was typed just before the click counts."""
    st.session_state[_CLICKS] = clicks() + 1
    put(components.toggled(st.session_state.get(BOX, text()), component, *sizes))


def clicks() -> int:
    """How many clicks there were on maps: each has a new chart, in which no cell is selected, so
    that a click on the same cell is one again."""
    return st.session_state.get(_CLICKS, 0)


def add(component: str) -> None:
    """Add a component, as it is written, to the set of the session, as a callback."""
    if component not in text().split():
        put(f"{text()} {component}".strip())


def address_with(component: str) -> str:
    """The page's address with a component, as it is written, beside those in the set."""
    written = " ".join(dict.fromkeys((*text().split(), component)))
    return f"{PAGE}?{urlencode(experiment.current().to_query() | {'set': written})}"


def kept() -> tuple[Kept, ...]:
    return st.session_state.get(_KEPT, ())


def keep(name: str) -> None:
    """Keep the set in the session under a name, in place of the one that has it, or under a new one
    if that is blank."""
    taken = {of.name for of in kept()}
    numbered = (f"set {number}" for number in range(1, len(taken) + 2))
    name = name.strip()[:_LONGEST_NAME] or next(new for new in numbered if new not in taken)
    others = (of for of in kept() if of.name != name)
    st.session_state[_KEPT] = (*others, Kept(name, text()))


def forget(name: str) -> None:
    st.session_state[_KEPT] = tuple(of for of in kept() if of.name != name)
