"""The sessions of this server: who is here, and what each may take of it.

When a tab is closed Streamlit keeps its session for some minutes, in case it was only the network.
All that was computed for it goes at once, and the rest of it soon after.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from functools import partial
from weakref import WeakSet

import streamlit as st
from streamlit.runtime import Runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.parts.jobs import Allowance
from pages.parts.settings import setting

_COMES_BACK = 30.0  # seconds that a tab may be away and find what was typed
_HOUR = 3600.0

_here: WeakSet["Session"] = WeakSet()
# Called with each session that leaves, by any thread.
when_left: list[Callable[["Session"], None]] = []


class Session:
    """One tab of a browser: since when the run of a page is under way, how many seconds that may
    take without having been asked for, and how many the session in an hour."""

    def __init__(self):
        self.free = Allowance(setting("PATCHBOARD_LINK_SECONDS"))
        hourly = setting("PATCHBOARD_SESSION_SECONDS")
        self.began = time.monotonic()
        self.account = Allowance(math.inf if hourly is None else hourly, _HOUR)


def begin() -> bool:
    """At the start of every run, before anything is computed. Gives whether there is room for this
    session, if it is a new one."""
    most = setting("PATCHBOARD_SESSIONS")
    if "session" not in st.session_state:
        if most is not None and len(_here) >= most:
            return False
        st.session_state.session = Session()  # by a link: nobody has asked for anything yet
    else:
        current().free = Allowance(setting("PATCHBOARD_FREE_SECONDS"))
        current().began = time.monotonic()
    _here.add(current())
    _presence()
    return True


def current() -> Session:
    return st.session_state.session


def number() -> int:
    """How many sessions there are."""
    return len(_here)


@st.cache_resource(scope="session", on_release=lambda leave: leave(), show_spinner=False)
def _presence() -> Callable[[], None]:
    """Lasts as long as the tab is connected."""
    context = get_script_run_ctx()
    return partial(_leave, current(), context.session_id if context else "")


def _leave(session: Session, id: str) -> None:
    _here.discard(session)
    for forget in when_left:  # in a thread: this one serves all others
        threading.Thread(target=forget, args=(session,), daemon=True).start()
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # its cache was cleared by something else
        return
    loop.call_later(_COMES_BACK, _close, id)


def _close(id: str) -> None:
    if Runtime.exists() and not Runtime.instance().is_active_session(id):
        Runtime.instance().close_session(id)
