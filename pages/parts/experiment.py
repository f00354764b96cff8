"""The experiment of this browser session, and the address bar that always holds it.

One Experiment in the session is the truth. A widget shows one of its fields and lives only while
its page is drawn: `widget` gives it the field's value, and what a person then enters is in the
session before the next run begins. A callback writes no field but those it is about: what was
typed may arrive together with its click.
"""

import time
from dataclasses import replace
from urllib.parse import urlencode

import streamlit as st

from core import models
from core.errors import UserError
from core.presets import PRESETS
from core.question.experiment import Experiment

# What servers and browsers still take as an address; no model reads a text that would be longer.
_LONGEST_ADDRESS = 60_000
_ON_ITS_WAY = 0.5  # seconds that an address may take to the browser


def begin() -> None:
    """At the start of every run: take over the address, at the very first run and when a person
    has gone back or forward; else what was entered."""
    address = st.query_params.to_dict()
    st.session_state.is_first_run = "experiment" not in st.session_state
    if st.session_state.is_first_run or _walked_to(address):
        experiment, st.session_state.notes = _first_that_holds(address)
        st.session_state.address = (address, 0.0)
    else:
        entered = _entered()
        if entered["site"] != "resid_post":
            entered |= {"embedding": False, "window": 0}  # which no other site has
        experiment = Experiment.from_dict(entered)
    _show(experiment)


def _walked_to(address: dict[str, str]) -> bool:
    """Whether a person has gone back or forward to `address`. It is not the last one then; but nor
    is it while that is still on its way to the browser, or where something was entered before it
    came there. Another page has none at first."""
    last, since = st.session_state.address
    on_its_way = time.monotonic() - since < _ON_ITS_WAY
    return address not in ({}, last) and not on_its_way and _entered() == current().to_dict()


def publish() -> None:
    """At the end of every run: put the experiment into the address bar.

    After a server restart an open page brings what was typed meanwhile with its widgets, which
    the first `begin` cannot see yet: then the page is run once more.
    """
    if st.session_state.is_first_run and _entered() != current().to_dict():
        st.rerun()
    query = current().to_query()
    too_long = len(urlencode(query)) > _LONGEST_ADDRESS
    if st.query_params.to_dict() != query and not too_long:
        st.session_state.address = (query, time.monotonic())  # first: writing may end this run
        st.query_params.from_dict(query)


def current() -> Experiment:
    return st.session_state.experiment


def put(experiment: Experiment) -> None:
    """Replace the experiment, before anything is drawn: the widgets on the page follow."""
    _show(experiment)
    st.session_state.notes = []


def settle(layers: int) -> None:
    """Narrow a window to what a model of `layers` layers has, before it is drawn."""
    _show(replace(current(), window=min(current().window, max(0, layers - 1))))


def widget(field: str, options: tuple[str, ...] = ()) -> dict:
    """The key of the widget for a field, and the value it begins with; of a choice among `options`
    that is an index. A value that the browser has brought already comes first."""
    if _key(field) in st.session_state:
        return {"key": _key(field)}
    value = getattr(current(), field)
    begins = {"index": options.index(value)} if options else {"value": value}
    return {"key": _key(field)} | begins


def prepend(field: str, text: str) -> None:
    """Put `text` before what stands in a field, as a callback."""
    st.session_state[_key(field)] = text + st.session_state[_key(field)].lstrip()


def fill(field: str, text: str) -> None:
    """Put `text` into a field, before it is drawn."""
    _show(replace(current(), **{field: text}))


def advised(changes: dict[str, str], of: Experiment) -> None:
    """Put in `changes` that were advised for `of`, as a callback. If what stands in the other
    fields is no longer that, because it was typed just before the click, they do not fit it."""
    if _entered() | changes == of.to_dict() | changes:
        for field, value in changes.items():
            st.session_state[_key(field)] = value


def _key(field: str) -> str:
    return f"field_{field}"


def _entered() -> dict:
    """The experiment with what its widgets hold."""
    values = current().to_dict()
    return {field: st.session_state.get(_key(field), values[field]) for field in values}


def _show(experiment: Experiment) -> None:
    st.session_state.experiment = experiment
    for field, value in experiment.to_dict().items():
        if st.session_state.get(_key(field), value) != value:
            st.session_state[_key(field)] = value


def _first_that_holds(address: dict[str, str]) -> tuple[Experiment, list[str]]:
    """The experiment of an address. What it leaves out is that of the first example; what it names
    that does not exist is too, and a note says so."""
    default = PRESETS[0].experiment(models.preferred().name).to_query()
    if address.get("site", default["site"]) != default["site"]:
        del default["embedding"]
    query, notes = default | address, []
    while True:
        try:
            experiment = Experiment.from_query(query)
            models.named(experiment.model)
            return experiment, notes
        except UserError as error:
            notes.append(f"{error} The address was opened without it.")
            usual = default.get(error.field)
            if usual in (None, query[error.field]):  # the site of the address has none
                del query[error.field]
            else:
                query[error.field] = usual
