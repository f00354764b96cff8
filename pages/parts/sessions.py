"""The sessions of this server: who is here, and what each may take of it.

When a tab is closed Streamlit keeps its session for some minutes, in case it was only the network.
Here it goes, with all that was computed for it, within one.

Nothing of this, nor of what else sessions share, is in one of Streamlit's caches: every visitor can
have those cleared, by a message that its menu sends.
"""

import math
import time
from weakref import WeakSet

import streamlit as st
from streamlit.runtime import Runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.parts.jobs import Allowance
from pages.parts.settings import setting

_COMES_BACK = 30.0  # seconds that a tab may be away and find what was typed
_HOUR = 3600.0

_here: WeakSet["Session"] = WeakSet()


class Session:
    """One tab of a browser: since when the run of a page is under way, how many seconds that may
    take without having been asked for, and how many the session in an hour."""

    def __init__(self):
        context = get_script_run_ctx()
        self.id = context.session_id if context else ""
        self.seen = time.monotonic()
        self.free = Allowance(setting("PATCHBOARD_LINK_SECONDS"))
        hourly = setting("PATCHBOARD_SESSION_SECONDS")
        self.began = time.monotonic()
        self.account = Allowance(math.inf if hourly is None else hourly, _HOUR)
        # As `pages.parts.held` counts them: bytes of what was written and opened, bytes of files as
        # they came, and how many files were more than it may hold.
        self.written = self.files = self.put_away = 0

    @property
    def holds(self) -> int:
        """Bytes of what a person has brought and written."""
        return self.written + self.files


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
    current().seen = time.monotonic()
    _here.add(current())
    return True


def current() -> Session:
    """That of this run; one of its own where a part of a page is run by itself."""
    if "session" not in st.session_state:
        st.session_state.session = Session()
    return st.session_state.session


def present() -> list[Session]:
    """All that there are."""
    return list(_here)


def gone() -> list[Session]:
    """Those whose tab has been away for so long that they are let go, which they are with this."""
    if not Runtime.exists():
        return []
    runtime, now = Runtime.instance(), time.monotonic()
    left = []
    for session in list(_here):
        if runtime.is_active_session(session.id):
            session.seen = now
        elif now - session.seen > _COMES_BACK:
            left.append(session)
            _here.discard(session)
            # The one thing that lets a session go which is kept for a tab that comes back, and may
            # be called from any thread.
            runtime.clear_user_info_for_session(session.id)
    return left
