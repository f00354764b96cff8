"""A file of ours that a person opened: its numbers as stored, beside what the page computes now.

Whatever page shows a result hands its own JSON to `beside`; whether that answers the same question,
and how far the numbers are apart, is for `core.views.opening` to say.
"""

import json
from collections.abc import Callable
from itertools import cycle

import streamlit as st

from core.errors import UserError
from core.result import Map, PathMap
from core.views import heatmaps, many_maps, opening, path_maps
from core.views.colour_bar import on_one_scale
from core.views.opening import Opened
from core.views.run_figures import lens_lines
from core.views.saved import Lenses, StoredAnswer
from pages.parts import address, experiment, html, keeping, sheet

_OPENED, _SLOT, _TOLD = "opened_file", "opened_slot", "opened_comparison"
_PINNED = "pinned"  # what of the session the page Compare holds
_MOST_ROWS = 5000
# Each page by its address: its title and its file.
_PAGES = {
    "": ("Patch", "pages/patching/patch.py"),
    "many": ("Many pairs", "pages/patching/many.py"),
    "components": ("Components", "pages/reading/components.py"),
    "follow": ("Follow it back", "pages/reading/follow.py"),
    "sets": ("Sets", "pages/reading/sets.py"),
    "lens": ("Lens", "pages/reading/lens.py"),
    "compare": ("Compare", "pages/reading/compare.py"),
    "training": ("Training", "pages/learn/training.py"),
}


def go(of: Opened) -> None:
    """Open the page of a file, and keep what the file says beside it."""
    if of.kind == "report":
        st.switch_page("pages/reporting/report.py")
    st.session_state[_OPENED] = of if of.data else None
    if of.kind == "maps" and "pinned" in of.maps:
        pinned, present = (of.maps[name].experiment for name in ("pinned", "present"))
        st.session_state[_PINNED] = pinned
        address.go(_file(of.page), present.to_query())
    # Of many pairs a file has no texts: those in the inputs stay.
    address.go(_file(of.page), experiment.current().to_query() | of.query)


def open_link(page: str, query: dict[str, str]) -> None:
    """Open a page as it was, and put away the file that is open."""
    st.session_state[_OPENED] = None
    address.go(_file(page), query)


def _file(page: str) -> str:
    """The file of a page; of one that there is not, or that a worksheet hides, the main one, which
    shows the experiment."""
    title, path = _PAGES.get(page, _PAGES[""])
    return _PAGES[""][1] if sheet.hides(title) else path


def show(page: str) -> None:
    """What is open, above a page that it is of."""
    of: Opened | None = st.session_state.get(_OPENED)
    st.session_state[_SLOT] = None
    if of is None or _PAGES.get(page, ("", ""))[1] != _file(of.page):
        return
    with st.container(border=True, key="opened"):
        with st.container(horizontal=True, vertical_alignment="center"):
            html.show(html.text(f"As stored in {of.name}. {_model(of)}"))
            st.button("Put it away", on_click=_put_away, icon=":material/close:")
        st.session_state[_SLOT] = st.empty()
        st.session_state[_TOLD] = False
        with st.session_state[_SLOT]:
            html.show(html.note("Not computed again yet."))
        _numbers(of)


def _put_away() -> None:
    st.session_state[_OPENED] = None


def _model(of: Opened) -> str:
    """Whether the numbers are of the weights that are loaded here."""
    card = of.data.get("model") or next(iter(of.data.get("maps", {}).values()), {}).get("model", {})
    name, stored = card.get("name"), card.get("fingerprint")
    here = keeping.cards.get(name)
    if here is None or stored is None:
        return f"It was made with the model {name}." if name else ""
    if here.fingerprint == stored:
        return f"It was made with {name}, with the same weights as are loaded here ({stored})."
    return (
        f"It was made with other weights of {name}: {stored}, while {here.fingerprint} are loaded"
        " here."
    )


def _numbers(of: Opened) -> None:
    with st.expander("The numbers as stored", expanded=bool(of.maps)):
        *drawn, listed = st.columns(max(2, min(3, len(of.maps) + 1)))
        for place, (name, shown) in zip(cycle(drawn), of.maps.items(), strict=False):
            with place:
                if name:
                    html.show(html.text(name))
                st.plotly_chart(_figure(shown, of), key=f"stored_{name}")
        if isinstance(of.found, Lenses):
            found = of.found
            figure = lens_lines(found.lenses, found.rows, (found.target, found.foil))
            drawn[0].plotly_chart(figure, key="stored_lens")
        rows = opening.measured(of.data)[:_MOST_ROWS]
        listed.dataframe(
            {"what": [at for at, _ in rows], "number": [value for _, value in rows]},
            hide_index=True,
            height=300,
        )


def _figure(shown: Map, of: Opened):
    if isinstance(shown, StoredAnswer):
        return many_maps.heatmap(shown, clickable=False)
    if isinstance(shown, PathMap):
        beside = path_maps.reach_beside(shown, of.data.get("reach"))
        return path_maps.heatmap(shown, beside, clickable=False)
    # Of heads by position, the map of the last one.
    flat = shown if len(shown.axes) == 2 else shown.at(-1)
    beside = on_one_scale(flat, of.maps.values())
    return heatmaps.heatmap(flat, beside=beside, clickable=False)


def beside(make: Callable[[], str]) -> None:
    """Hold what is open against what the page shows, given as its JSON."""
    of: Opened | None = st.session_state.get(_OPENED)
    slot = st.session_state.get(_SLOT)
    if of is None or slot is None:
        return
    try:
        now = json.loads(make())
    except UserError:
        return
    if not opening.same_question(of.data, now):
        if not st.session_state[_TOLD]:
            with slot.container():
                html.show(html.note("The page now shows another question than the file’s."))
                st.button("Back to the file’s question", on_click=_ask_again)
        return
    st.session_state[_TOLD] = True
    with slot.container():
        html.show(html.note(_says(opening.apart(of.data, now))))


def _ask_again() -> None:
    of = st.session_state[_OPENED]
    st.session_state[address.OPENS] = experiment.current().to_query() | of.query


def _says(found: opening.Apart | None) -> str:
    if found is None:
        return "Computed again: the file has no numbers to compare with."
    if not found.difference:
        return f"Computed again: all {found.compared:,} numbers are equal."
    return (
        f"Computed again: of {found.compared:,} numbers the largest difference is"
        f" {found.difference:.2g}, at {found.at}: stored {found.stored:.6g}, now {found.now:.6g}."
    )
