"""How the answer is looked at: the chosen cell, of a map with three axes the position, the view.

Each is what a widget of the page holds, and stands in the address beside the experiment. It is of
one page's map, and means nothing on another's: there it is laid away until a person comes back with
the same sweep.
"""

import re
from collections.abc import Hashable, Mapping

import streamlit as st

from core.views.colour_bar import VIEWS

# Keys of the widgets.
ROW, COLUMN, POSITION, VIEW = "cell_row", "cell_column", "map_position", "map_view"
NAMES = ("cell", "position", "view")  # in an address
_KEPT = "looked_at"  # page -> the sweep that its map was of, and how it was looked at
_CELL = re.compile(r"(embedding|\d{1,4}),(\d{1,6})")
_NUMBER = re.compile(r"\d{1,6}")


def forget() -> None:
    """Before the widgets are drawn: nothing is chosen."""
    for key in (ROW, COLUMN, POSITION):
        st.session_state[key] = None
    st.session_state[VIEW] = next(iter(VIEWS))


def take(query: Mapping[str, str]) -> None:
    """Look as an address says; what it says that is no place is as if it were not there, and a
    place that the map has not is dropped where the map is drawn."""
    forget()
    if found := _CELL.fullmatch(query.get("cell", "")):
        choose(found[1], int(found[2]))
    if found := _NUMBER.fullmatch(query.get("position", "")):
        st.session_state[POSITION] = int(found[0])
    if (view := query.get("view")) in VIEWS:
        st.session_state[VIEW] = view


def keep(page: str, sweep: Hashable) -> None:
    """At the end of a run of a page."""
    st.session_state.setdefault(_KEPT, {})[page] = (sweep, to_query())


def take_up(page: str, sweep: Hashable) -> None:
    """Look at a page's map as when it was left, if it is still of that sweep."""
    of, kept = st.session_state.get(_KEPT, {}).get(page, (None, {}))
    take(kept if of == sweep else {})


def choose(row: str | None, column: int | None) -> None:
    """A cell, by the label of its row and the number of its column; None for no cell."""
    st.session_state[ROW], st.session_state[COLUMN] = row, column


def chosen() -> tuple[str | None, int | None]:
    row, column = st.session_state.get(ROW), st.session_state.get(COLUMN)
    return (row if isinstance(row, str) else None), (column if type(column) is int else None)


def position() -> int | None:
    """Which position a map of heads is of."""
    place = st.session_state.get(POSITION)
    return place if type(place) is int and place >= 0 else None


def to_query() -> dict[str, str]:
    """The inverse of `take`."""
    row, column = chosen()
    query = {} if None in (row, column) else {"cell": f"{row},{column}"}
    if (place := position()) is not None:
        query["position"] = str(place)
    if (chosen_view := view()) != next(iter(VIEWS)):
        query["view"] = chosen_view
    return query


def view() -> str:
    chosen_view = st.session_state.get(VIEW)
    return chosen_view if chosen_view in list(VIEWS) else next(iter(VIEWS))
