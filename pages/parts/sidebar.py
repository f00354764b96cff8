"""The sidebar of every page: which model, and the examples it can be asked."""

import streamlit as st

from core import models, presets
from core.errors import UserError
from core.models import Entry
from pages.parts import experiment, html

_MODEL = "chosen_model"
_WITH_STATE = {"ready": "", "partial": " (partly downloaded)", "absent": " (needs a download)"}


def show(stays: bool) -> None:
    """Whether an example `stays` on the page that is open; else it opens the main one."""
    entries = models.catalogue()
    with st.sidebar:
        entry = models.named(experiment.current().model)
        st.session_state[_MODEL] = entry.base  # whatever the moment of its training
        st.selectbox(
            "Model",
            entries,
            format_func=lambda name: _title(entries[name]),
            key=_MODEL,
            on_change=lambda: experiment.enter("model", st.session_state[_MODEL]),
        )
        html.show(html.note(entry.about))
        _examples(entry, stays)


def _title(entry: Entry) -> str:
    return entry.title + _WITH_STATE[entry.state]


def _examples(entry: Entry, stays: bool) -> None:
    try:
        offered = presets.offered(entry, models.load_tokenizer(entry))
    except UserError:
        if entry.folder:
            return  # the page says what is wrong with it
        offered = presets.PRESETS  # of GPT-2's words, which are not here yet
    st.subheader("Examples")
    for preset in offered:
        chosen = st.button(
            preset.title,
            on_click=experiment.put,
            args=(preset.experiment(entry.name),),
            width="stretch",
            help=preset.asks,
        )
        if chosen and not stays:
            st.switch_page("pages/patching/patch.py")
