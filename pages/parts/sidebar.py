"""The sidebar of every page: which model, and the examples it can be asked."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import catalogue, models, presets
from core.catalogue import Entry
from core.errors import UserError
from pages.parts import experiment, html, keeping, sheet

_MODEL, _REPOSITORY = "chosen_model", "typed_repository"  # widgets
_REFUSED = "refused_repository"  # why what was typed is none
_WITH_STATE = {"ready": "", "partial": " (partly downloaded)", "absent": " (needs a download)"}


def show(stays: bool) -> DeltaGenerator:
    """Whether an example `stays` on the page that is open; else it opens the main one. Gives the
    place for the model's card, once there is one."""
    entries = catalogue.catalogue()
    with st.sidebar:
        entry = catalogue.named(experiment.current().model)
        if catalogue.offers_repositories():
            entries |= {other.name: other for other in catalogue.repositories()}
        entries = {name: of for name, of in entries.items() if keeping.is_offered(of)}
        entries.setdefault(entry.base, entry)
        st.session_state[_MODEL] = entry.base  # whatever the moment of its training
        st.selectbox(
            "Model",
            entries,
            format_func=lambda name: _title(entries[name]),
            key=_MODEL,
            on_change=lambda: experiment.enter("model", st.session_state[_MODEL]),
            disabled=sheet.current() is not None,
        )
        if sheet.current():
            html.show(html.caption("The worksheet’s model: leave the worksheet to take another."))
            if not sheet.is_open():
                st.page_link(
                    "pages/learn/worksheet.py",
                    label="Back to the worksheet",
                    icon=":material/arrow_back:",
                )
        html.show(html.note(entry.about))
        card = st.container(key="model_card")
        if catalogue.offers_repositories():
            _any_repository()
        if not sheet.is_open():  # whose tasks are what there is to do
            _examples(entry, stays)
    return card


def _any_repository() -> None:
    st.text_input(
        "Another GPT-2 from the hub",
        key=_REPOSITORY,
        placeholder="owner/name or owner/name@revision",
        on_change=_take_repository,
        help="Nothing is asked of the hub before you say so.",
    )
    if refused := st.session_state.get(_REFUSED):
        html.show(html.problem(refused))


def _take_repository() -> None:
    """Let the model be what was typed, as a callback."""
    name, st.session_state[_REFUSED] = st.session_state[_REPOSITORY].strip(), ""
    try:
        if name:
            keeping.require_offered(entry := catalogue.named(name))
            experiment.enter("model", entry.name)
    except UserError as error:
        st.session_state[_REFUSED] = str(error)


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
    if not stays:
        html.show(html.text("Each is one pair of texts, and opens on the page Patch."))
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
