"""The experiment of this browser session.

One Experiment in the session is the truth. A widget shows one of its fields and lives only while
its page is drawn: `widget` gives it the field's value, and what a person then enters is in the
session before the next run begins. A callback writes no field but those it is about: what was
typed may arrive together with its click.
"""

from dataclasses import replace

import streamlit as st

from core.question.experiment import Experiment
from pages.parts import look

# What only the residual stream has; kept for when a person comes back to it from another site.
_OF_THE_STREAM = {"embedding": False, "window": 0}


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
    values, stream = entered(), "resid_post"
    if values["site"] != stream:
        values |= _OF_THE_STREAM
    elif current().site != stream:
        values |= st.session_state.get("of_the_stream", {})
    show(Experiment.from_dict(values), anew)


def show(experiment: Experiment, anew: bool = False) -> None:
    """Replace the experiment, and what the widgets hold with it."""
    st.session_state.experiment = experiment
    values = experiment.to_dict()
    if experiment.site == "resid_post":
        st.session_state.of_the_stream = {field: values[field] for field in _OF_THE_STREAM}
    for field, value in values.items():
        if anew or st.session_state.get(_key(field), value) != value:
            st.session_state[_key(field)] = value


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


def advised(changes: dict[str, str], of: Experiment) -> None:
    """Put in `changes` that were advised for `of`, as a callback. If what stands in the other
    fields is no longer that, because it was typed just before the click, they do not fit it."""
    if entered() | changes == of.to_dict() | changes:
        for field, value in changes.items():
            st.session_state[_key(field)] = value


def entered() -> dict:
    """The experiment's fields with what its widgets hold."""
    values = current().to_dict()
    return {field: st.session_state.get(_key(field), values[field]) for field in values}


def _key(field: str) -> str:
    return f"field_{field}"
