"""The address bar, which always holds the experiment and how its answer is looked at."""

import time
from urllib.parse import urlencode

import streamlit as st

from core import catalogue
from core.errors import UserError
from core.presets import PRESETS
from core.question.experiment import Experiment
from pages.parts import (
    continuing,
    draft,
    experiment,
    keeping,
    look,
    members,
    pairs,
    predict,
    sheet,
    trail,
    training,
)

# What stands in the address beside the experiment.
_BESIDE = (look, pairs, trail, members, continuing, predict, sheet, draft)
# What servers and browsers still take as an address; no model reads a text that would be longer.
_LONGEST = 60_000
OPENS = "opens_address"  # what of the session a page is to open as
_ON_ITS_WAY = 0.5  # seconds that an address may take to the browser


def begin(page: str) -> None:
    """At the start of every run of a page, named by its own address: take over what the address
    says, at the very first run and when a person has gone back or forward; else what was entered.
    """
    address = st.query_params.to_dict()
    st.session_state.is_first_run = "experiment" not in st.session_state
    is_another_page = st.session_state.get("page") != page
    if is_another_page:
        st.session_state.page = page
    opens = st.session_state.pop(OPENS, None)
    address = address if opens is None else opens
    is_called = st.session_state.is_first_run or opens is not None
    walked = is_called or _walked_to(address, is_another_page)
    st.session_state.came_by = "address" if walked else "page" * is_another_page
    if walked:
        asked, st.session_state.notes = _first_that_holds(address)
        experiment.show(asked)
        for part in _BESIDE:
            part.take(address)
        st.session_state.address = (address, 0.0)
    else:
        experiment.take_entered(anew=is_another_page)
        if is_another_page:
            look.take_up(page, experiment.current().sweep)
    continuing.begin()


def go(page: str, query: dict[str, str]) -> None:
    """Open a page, given by its file, as an address says."""
    st.session_state[OPENS] = query
    st.switch_page(page)


def publish() -> dict[str, str]:
    """At the end of every run, and before work that takes a while: put the experiment into the
    address bar, and give what stands there. While a training is played each of its steps would be
    one to go back to, and nothing is given.

    After a server restart an open page brings what was typed meanwhile with its widgets, which
    the first `begin` cannot see yet: then the page is run once more.
    """
    if "address" not in st.session_state:  # a part of a page that is run by itself
        return {}
    if st.session_state.is_first_run and _is_entered():
        st.rerun()
    if training.plays():
        return {}
    look.keep(st.session_state.page, experiment.current().sweep)
    st.session_state.beside = _beside()
    query = experiment.current().to_query() | st.session_state.beside
    too_long = len(urlencode(query)) > _LONGEST
    last, _ = st.session_state.address  # which may not have come to the browser yet
    if not st.query_params.to_dict() == last == query and not too_long:
        st.session_state.address = (query, time.monotonic())  # first: writing may end this run
        st.query_params.from_dict(query)
    return query


def _walked_to(address: dict[str, str], is_another_page: bool) -> bool:
    """Whether a person has gone back or forward to `address`. It is not the last one then; but nor
    is it while that is still on its way to the browser, or where something was entered or clicked
    before it came there. Another page has none at first."""
    last, since = st.session_state.address
    on_its_way = time.monotonic() - since < _ON_ITS_WAY
    # What a callback has just changed; on another page all else than the experiment may differ.
    is_edited = not is_another_page and _beside() != st.session_state.get("beside")
    return not (address in ({}, last) or on_its_way or _is_entered() or is_edited)


def _is_entered() -> bool:
    return experiment.entered() != experiment.current().to_dict()


def _beside() -> dict[str, str]:
    return {name: value for part in _BESIDE for name, value in part.to_query().items()}


def _first_that_holds(address: dict[str, str]) -> tuple[Experiment, list[str]]:
    """The experiment of an address. What it leaves out is that of the first example; what it names
    that does not exist is too, and a note says so."""
    preferred = catalogue.preferred()
    begins_with = preferred if keeping.is_offered(preferred) else catalogue.TEACHING
    default = PRESETS[0].experiment(begins_with.name).to_query()
    if address.get("site", default["site"]) != default["site"]:
        del default["embedding"]
    query, notes = default | address, []
    while True:
        try:
            asked = Experiment.from_query(query)
            keeping.require_offered(catalogue.named(asked.model))
            return asked, notes
        except UserError as error:
            notes.append(f"{error} The address was opened without it.")
            usual = default.get(error.field)
            if usual in (None, query[error.field]):  # the site of the address has none
                del query[error.field]
            else:
                query[error.field] = usual
