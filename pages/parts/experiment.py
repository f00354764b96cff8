"""The experiment of this browser session, and the address bar that always holds it.

One Experiment in the session is the truth. A widget shows one of its fields and lives only while
its page is drawn: `widget_key` gives it the field's value before it is drawn, and what a person
then enters is in the session before the next run begins.
"""

from urllib.parse import urlencode

import streamlit as st

from core import models
from core.errors import UserError
from core.presets import PRESETS
from core.question.experiment import Experiment

# What servers and browsers still take as an address; no model reads a text that would be longer.
_LONGEST_ADDRESS = 60_000


def begin() -> None:
    """At the start of every run: take over what was entered; at the very first, the address."""
    if "experiment" not in st.session_state:
        st.session_state.notes = []
        default = PRESETS[0].experiment(models.preferred().name)
        st.session_state.experiment = _first_that_holds(
            default.to_query() | st.query_params.to_dict()
        )
    values = current().to_dict()
    entered = {field: st.session_state.get(f"field_{field}", values[field]) for field in values}
    st.session_state.experiment = Experiment.from_dict(entered)


def publish() -> None:
    """At the end of every run: put the experiment into the address bar."""
    query = current().to_query()
    too_long = len(urlencode(query)) > _LONGEST_ADDRESS
    if st.query_params.to_dict() != query and not too_long:
        st.query_params.from_dict(query)


def current() -> Experiment:
    return st.session_state.experiment


def put(experiment: Experiment) -> None:
    """Replace the experiment, from a callback: the widgets on the page follow."""
    st.session_state.experiment = experiment
    st.session_state.notes = []
    for field, value in experiment.to_dict().items():
        st.session_state[widget_key(field)] = value


def widget_key(field: str) -> str:
    """The key of the widget for a field, which will show the field's value."""
    key = f"field_{field}"
    if key not in st.session_state:
        st.session_state[key] = getattr(current(), field)
    return key


def _first_that_holds(query: dict[str, str]) -> Experiment:
    """The experiment of an address; what it names that does not exist falls back to the default,
    and `session_state.notes` says so."""
    while True:
        try:
            experiment = Experiment.from_query(query)
            models.named(experiment.model)
            return experiment
        except UserError as error:
            st.session_state.notes.append(f"{error} The address was opened without it.")
            del query[error.field]
