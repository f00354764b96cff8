"""Predict first: the map stays hidden until a person has said what they expect of it, and why.

It is asked for by a switch, or by a link; what was painted and written is in the address.
"""

from collections.abc import Callable, Hashable, Mapping

import streamlit as st

from core.errors import UserError
from core.guess import TOWARDS, Guess, Surprise, score
from core.result import Map
from core.views import guesses
from pages.parts import html

_ON, _WHY, _BRUSH, _EXTENT = "predict_first", "guess_why", "guess_brush", "guess_extent"  # widgets
# What they hold is lost on other pages; this is not.
_IS_ON, _WRITTEN, _REASON, _IS_SEEN, _OF = "predicts", "guess", "guess_reason", "guess_seen", "of"
_TIMES = "guess_clicked"  # how often, since a figure keeps what was clicked on it
_CORNER = "guess_corner"  # of a block, of which the other is still to come
_EXTENTS = {"cell": "one cell", "block": "a block, by two corners"}
_PAGES = ("", "components", "many")  # by their addresses, whose map can be predicted
_KEPT = "guesses"  # what was said of other questions
_LONGEST = 400  # characters of a reason


def take(query: Mapping[str, str]) -> None:
    """Predict as an address says."""
    st.session_state[_IS_ON] = query.get("predict") == "1"
    st.session_state[_WRITTEN] = query.get("guess", "")
    st.session_state[_REASON] = query.get("why", "")[:_LONGEST]
    st.session_state[_IS_SEEN] = query.get("seen") == "1"
    st.session_state[_OF] = None
    for key in (_ON, _WHY, _CORNER):
        st.session_state.pop(key, None)


def to_query() -> dict[str, str]:
    """The inverse of `take`, on the pages that have to do with it."""
    if st.session_state.get("page") not in _PAGES or not st.session_state.get(_IS_ON):
        return {}
    said = {"guess": st.session_state[_WRITTEN], "why": st.session_state[_REASON]}
    seen = {"seen": "1"} if st.session_state[_IS_SEEN] else {}
    return {"predict": "1"} | {name: value for name, value in said.items() if value} | seen


def switch(says: str = "Hide the map until you have said what you expect of it.") -> None:
    """Whether to predict; `says` what that does."""
    st.toggle(
        "Predict first",
        value=st.session_state[_IS_ON],
        key=_ON,
        on_change=_switch,
        help=says,
    )


def hides(question: Hashable) -> bool:
    """Whether the map that answers a question stays hidden; what was said of another is kept until
    that is asked again."""
    if not st.session_state[_IS_ON]:
        return False
    if st.session_state[_OF] not in (None, question):
        _exchange(question)
    st.session_state[_OF] = question
    return not st.session_state[_IS_SEEN]


def explain() -> None:
    """What a person is to do."""
    st.markdown(
        "**Where will the patch matter?** Say what you expect, and click where. The map is shown"
        " when you have said why."
    )


def paint(
    result: Map, narrowest: int | None, guess: Guess, painted: Callable[[Guess], None]
) -> None:
    """A guess of a map to paint on; what it is then is said to `painted`, as a callback."""
    with st.container(horizontal=True):
        st.segmented_control(
            "I expect that the metric",
            guesses.EXPECTED,
            format_func=lambda expected: guesses.briefly(result, expected),
            default=TOWARDS,
            required=True,
            key=_BRUSH,
        )
        st.segmented_control(
            "A click paints",
            _EXTENTS,
            format_func=_EXTENTS.get,
            default="cell",
            required=True,
            key=_EXTENT,
        )
    key = f"guess_map_{st.session_state.get(_TIMES, 0)}"
    with st.container(key="keeps_guess"):
        st.plotly_chart(
            guesses.figure(result, guess, narrowest, st.session_state.get(_CORNER)),
            key=key,
            on_select=lambda: _click(key, guess, painted),
            selection_mode="points",
            config={"displaylogo": False},
            alt="The map to paint a guess on.",
        )


def ask(result: Map, narrowest: int | None) -> None:
    """A blank map to paint on, in the place of the answer, and the reason."""
    guess = _guess(result)
    paint(result, narrowest, guess, _keep)
    st.text_input(
        "Why? One sentence",
        value=st.session_state[_REASON],
        key=_WHY,
        max_chars=_LONGEST,
        on_change=_write,
    )
    problem = st.empty()
    with st.container(horizontal=True):
        if st.button("Show me the map", type="primary", key="guess_commit", on_click=_commit):
            with problem:
                html.show(html.problem("Say why first, in one sentence."))
        st.button("Begin again", key="guess_clear", on_click=_clear, disabled=guess.is_blank)


def came_out(result: Map) -> tuple[Surprise, ...]:
    """How the guess came out, beside the map; nothing where none was asked for. Gives the largest
    surprises."""
    if not st.session_state[_IS_ON]:
        return ()
    guess = _guess(result)
    found = score(guess, result)
    with st.container(border=True, key="guess_came_out"):
        html.show(html.text(guesses.came_out(result, found)))
        for surprise in found.surprises:
            html.show(html.caption(guesses.surprised(result, surprise)))
        html.show(html.caption(f"You wrote: {st.session_state[_REASON]}"))
        html.show(html.caption(guesses.rule(result)))
        st.button("Guess again", key="guess_again", on_click=_again)
    return found.surprises


def said(result: Map) -> dict | None:
    """The guess of the map that is shown, as a file has it, if one was asked for."""
    if not st.session_state[_IS_ON]:
        return None
    return guesses.said(result, _guess(result), st.session_state[_REASON])


def _guess(result: Map) -> Guess:
    if written := st.session_state[_WRITTEN]:
        try:
            return Guess.read(written, result.values.shape)
        except UserError as error:  # of an address: it is said, and a blank one takes its place
            html.show(html.note(f"{error} It is left out."))
            st.session_state[_WRITTEN] = ""
    return Guess.blank(result.values.shape)


def _click(key: str, guess: Guess, painted: Callable[[Guess], None]) -> None:
    points = st.session_state[key].selection.points
    if not points:
        return
    st.session_state[_TIMES] = st.session_state.get(_TIMES, 0) + 1
    here = tuple(map(int, points[0]["customdata"][:2]))
    corner = st.session_state.pop(_CORNER, None)
    if st.session_state[_EXTENT] == "block" and corner is None:
        st.session_state[_CORNER] = here
        return
    painted(guess.painted(corner or here, here, st.session_state[_BRUSH]))


def _keep(guess: Guess) -> None:
    st.session_state[_WRITTEN] = "" if guess.is_blank else guess.written()


def _switch() -> None:
    st.session_state[_IS_ON] = st.session_state[_ON]


def _write() -> None:
    st.session_state[_REASON] = st.session_state[_WHY].strip()


def _commit() -> None:
    _write()
    st.session_state[_IS_SEEN] = bool(st.session_state[_REASON])


def _again() -> None:
    st.session_state[_IS_SEEN] = False


def _clear() -> None:
    st.session_state[_WRITTEN] = ""
    st.session_state.pop(_CORNER, None)


def _exchange(question: Hashable) -> None:
    """Lay away what was said of the question before, and take up what was said of this one."""
    fields = {_WRITTEN: "", _REASON: "", _IS_SEEN: False}
    kept = st.session_state.setdefault(_KEPT, {})
    kept[st.session_state[_OF]] = {field: st.session_state[field] for field in fields}
    for field, value in kept.pop(question, fields).items():
        st.session_state[field] = value
    for key in (_WHY, _CORNER):
        st.session_state.pop(key, None)
