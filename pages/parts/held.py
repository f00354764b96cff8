"""What a session holds of what a person has brought and written: files, pairs, texts, a report.

It counts among all that is kept (`pages.parts.keeping`), and a session has so much and no more: a
file that would be too much is put away, and what was written stays, but nothing is computed on it.
"""

import io
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import streamlit as st
from streamlit.runtime import Runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFileManager

from core.errors import UserError
from core.views import words
from core.weight import weigh
from pages.parts import sessions
from pages.parts.sessions import Session
from pages.parts.settings import setting


def count() -> None:
    """At both ends of a run: how much the session of this page holds."""
    session, context = sessions.current(), get_script_run_ctx()
    values = []
    for key in list(st.session_state):
        # Of what no page could have sent Streamlit raises errors of a dozen kinds.
        with suppress(Exception):
            values.append(st.session_state[key])
    session.written = weigh(*(value for value in values if not _is_uploaded(value)))
    if context:
        _put_away(session, context.uploaded_file_mgr)


def put_away(present: Iterable[Session]) -> None:
    """Of sessions in which no page may be running: the files that are too many."""
    for session in present:
        if Runtime.exists():
            _put_away(session, Runtime.instance().uploaded_file_mgr)


def _put_away(session: Session, manager: UploadedFileManager) -> None:
    """Streamlit takes any number of files from a browser: those beyond what a session may hold go,
    the first that came first."""
    files = list(getattr(manager, "file_storage", {}).get(session.id, {}).values())
    session.files = sum(len(of.data) for of in files)
    while files and session.holds > setting("PATCHBOARD_SESSION_MEMORY"):
        first = files.pop(0)
        manager.remove_file(session.id, first.file_id)
        session.files -= len(first.data)
        session.put_away += 1


def says() -> str:
    """What to tell the person of files that were put away since this was asked last, or nothing."""
    session = sessions.current()
    number, session.put_away = session.put_away, 0
    return number and (
        f"This server has {words.size(setting('PATCHBOARD_SESSION_MEMORY'))} of memory for one"
        f" session, and your files take more: the first {number} of them"
        f" {'were' if number > 1 else 'was'} put away. Bring fewer at once."
    )


def require_room(value: Any, name: str) -> None:
    """Raises UserError for what a person brings, called a name, if it would be too much."""
    size, most = weigh(value), setting("PATCHBOARD_SESSION_MEMORY")
    if sessions.current().holds + size > most:
        raise UserError(
            f"{name} would take {words.size(size)} of memory, and this server has"
            f" {words.size(most)} for one session: bring less at once.",
            "file",
        )


def too_much() -> str:
    """Why nothing is computed, if what the session holds leaves no room for it."""
    holds, most = sessions.current().holds, setting("PATCHBOARD_SESSION_MEMORY")
    return (holds > most) * (
        f"What you have brought and written takes {words.size(holds)} of memory, and this server"
        f" has {words.size(most)} for one session: shorten it, and what you ask is computed."
    )


def _is_uploaded(value: Any) -> bool:
    """Whether a widget holds files, which count where Streamlit keeps them."""
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, io.BytesIO)
