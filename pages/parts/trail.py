"""The trail of the page "Follow it back": the receivers that were asked one after the other, each
having been a sender to the one before. It begins at the logits, and is part of the address."""

from collections.abc import Mapping

import streamlit as st

from core.result import FROZEN

START = "logits"
FROZEN_KEY = "trail_frozen"  # a widget's
_TRAIL, _PAGE = "trail", "follow"
_LONGEST = 12


def take(query: Mapping[str, str]) -> None:
    """Follow as an address says. What of it is no receiver shows when it is asked."""
    if st.session_state.get("page") != _PAGE and _TRAIL in st.session_state:
        return  # an address of another page says nothing of it
    steps = [step.strip()[:40] for step in query.get("trail", "").split(",") if step.strip()]
    st.session_state[_TRAIL] = tuple(steps[:_LONGEST]) or (START,)
    asked = query.get("frozen", "")
    st.session_state[FROZEN_KEY] = asked if asked in FROZEN else next(iter(FROZEN))


def to_query() -> dict[str, str]:
    """The inverse of `take`, on the page that has to do with it."""
    if st.session_state.get("page") != _PAGE:
        return {}
    query = {} if steps() == (START,) else {"trail": ",".join(steps())}
    usual = next(iter(FROZEN))
    frozen = st.session_state.get(FROZEN_KEY, usual)
    if frozen not in list(FROZEN):
        frozen = st.session_state[FROZEN_KEY] = usual
    return query | ({} if frozen == usual else {"frozen": frozen})


def steps() -> tuple[str, ...]:
    return st.session_state.get(_TRAIL, (START,))


def go_on(of: tuple[str, ...], sender: str) -> None:
    """Make a sender on the map at the end of a trail the next receiver, as a callback: of two quick
    clicks on the same map the second takes the place of the first."""
    st.session_state[_TRAIL] = (*of, sender)[-_LONGEST:]


def go_back(number: int) -> None:
    """Back to a step, counted from 0, as a callback."""
    st.session_state[_TRAIL] = steps()[: number + 1]


def replace_last(receiver: str) -> None:
    """Ask another receiver instead of the last, as a callback."""
    st.session_state[_TRAIL] = (*steps()[:-1], receiver)


def query_of(receiver: str) -> dict[str, str]:
    """What an address says to begin at a receiver."""
    return {} if receiver == START else {"trail": f"{START},{receiver}"}
