"""Links from what is chosen on a map to the pages that go on from it."""

from collections.abc import Iterable

import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

from core.question import components, places
from core.question.components import Component
from core.question.experiment import Experiment
from core.question.places import Place
from core.result import Result
from pages.parts import experiment, html, members, tables, trail

_FOLLOW, _SETS = "pages/reading/follow.py", "pages/reading/sets.py"


def from_cell(result: Result, at: tuple[int, int], asked: Experiment, place: Place | None) -> None:
    """What a chosen cell says and, once its place is given, the ways on from there beside it."""
    with st.container(horizontal=True, key="chosen_cell"):
        html.show(tables.cell(result, *at))
        if place:
            with st.container(key="onward"):
                _from_place(asked, place, result.model.layers)


def _from_place(asked: Experiment, place: Place, layers: int) -> None:
    """What feeds the head or the MLP that `asked` patches there, or the answer; and, where it is a
    set of components, that set."""
    receiver = str(places.receiver_of(asked, place))
    feeds = "the answer" if receiver == trail.START else receiver
    st.page_link(
        _FOLLOW,
        label=f"Follow {html.label(feeds)} back",
        icon=":material/conversion_path:",
        query_params=experiment.current().to_query() | trail.query_of(receiver),
    )
    to_set(places.components_of(asked, place, layers))


def to_set(chosen: Iterable[Component], label: str = "Add to the set") -> None:
    """A link to the page of sets with these beside those in the set, where the app has
    that page."""
    if not (new := components.write(chosen)):
        return
    written = " ".join(dict.fromkeys([*members.text().replace(",", " ").split(), *new.split()]))
    try:
        st.page_link(
            _SETS,
            label=label,
            icon=":material/add_circle:",
            query_params=experiment.current().to_query() | {"set": written},
        )
    except StreamlitPageNotFoundError:
        return
