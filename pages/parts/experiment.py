"""The experiment of this browser session.

One Experiment in the session is the truth. A widget shows one of its fields and lives only while
its page is drawn: `widget` gives it the field's value, and what a person then enters is in the
session before the next run begins. A callback writes no field but those it is about: what was
typed may arrive together with its click.
"""

from dataclasses import replace
from typing import Any

import streamlit as st

from core import catalogue
from core.errors import UserError
from core.question.experiment import DIRECTIONS, Experiment
from core.question.metrics import METRICS
from core.question.sites import SITES
from pages.parts import look

_AMONG = {"metric": METRICS, "site": SITES, "direction": DIRECTIONS}
# What not every site has; kept for when a person comes back to one that has it.
_OF_SOME_SITES = {"embedding": False, "window": 0}


def current() -> Experiment:
    return st.session_state.experiment


def put(experiment: Experiment) -> None:
    """Replace the experiment, before anything is drawn: the widgets on the page follow, and no
    cell is chosen."""
    show(experiment)
    look.forget()
    st.session_state.notes = []


def take_entered(anew: bool) -> None:
    """Let the experiment be what its widgets hold. With `anew` widgets of another page are about
    to show it, which know nothing of those before them."""
    values = entered()
    kept = st.session_state.get("of_some_sites", {})
    had, has = (_has(site) for site in (current().site, values["site"]))
    for field, usual in _OF_SOME_SITES.items():
        if field not in has:
            values[field] = usual
        elif field not in had:
            values[field] = kept.get(field, usual)
    try:
        asked = Experiment.from_dict(values)
        catalogue.named(asked.model)
    except UserError:
        asked = current()
    show(asked, anew)


def show(experiment: Experiment, anew: bool = False) -> None:
    """Replace the experiment, and what the widgets hold with it."""
    st.session_state.experiment = experiment
    values = experiment.to_dict()
    kept = {field: values[field] for field in _has(experiment.site)}
    st.session_state.of_some_sites = st.session_state.get("of_some_sites", {}) | kept
    for field, value in values.items():
        if anew or held(_key(field), value) != value:
            st.session_state[_key(field)] = value


def _has(site: str) -> tuple[str, ...]:
    """What a site has of what not every one has."""
    found = (site == "resid_post", SITES[site].window)
    return tuple(field for field, has in zip(_OF_SOME_SITES, found, strict=True) if has)


def settle(layers: int) -> None:
    """Narrow a window to what a model of `layers` layers has, before it is drawn."""
    show(replace(current(), window=min(current().window, max(0, layers - 1))))


def widget(field: str, options: tuple[str, ...] = ()) -> dict:
    """The key of the widget for a field, and the value it begins with; of a choice among `options`
    that is an index. A value that the browser has brought already comes first."""
    if _key(field) in st.session_state:
        return {"key": _key(field)}
    value = getattr(current(), field)
    begins = {"index": options.index(value)} if options else {"value": value}
    return {"key": _key(field)} | begins


def prepend_space(field: str) -> None:
    """As a callback, of what then stands in a field."""
    st.session_state[_key(field)] = " " + st.session_state[_key(field)].lstrip()


def trim(field: str) -> None:
    """Drop the spaces and newlines at the end of what stands in a field, as a callback."""
    st.session_state[_key(field)] = st.session_state[_key(field)].rstrip()


def enter(field: str, value: str) -> None:
    """Put `value` into a field, as a callback; what was typed into others stays."""
    st.session_state[_key(field)] = value


def fill(field: str, text: str) -> None:
    """Put `text` into a field, before it is drawn."""
    show(replace(current(), **{field: text}))


def advised(changes: dict[str, str], of: Experiment, about: tuple[str, ...] = ()) -> None:
    """Put in `changes` that were advised for `of`, as a callback. If what stands in the other
    fields that they are `about`, by default all, is no longer that, because it was typed just
    before the click, they do not fit it."""
    now, then = entered() | changes, of.to_dict() | changes
    if all(now[field] == then[field] for field in about or then):
        for field, value in changes.items():
            st.session_state[_key(field)] = value


def entered() -> dict:
    """The experiment's fields with what its widgets hold, as far as that is what a page could have
    sent: a browser can be made to send anything."""
    values = current().to_dict()
    for field, value in values.items():
        told = held(_key(field), value)
        if type(told) is type(value) and told in _AMONG.get(field, (told,)):
            values[field] = told
    return values


def held(key: str, otherwise: Any = None) -> Any:
    """What a widget holds; `otherwise`, if it is not there, or if what was sent for it cannot even
    be read."""
    try:
        return st.session_state.get(key, otherwise)
    except Exception:  # Streamlit's own, of a dozen kinds
        return otherwise


def _key(field: str) -> str:
    return f"field_{field}"
