"""At the door: whether this server takes a session in, and what it tells whoever runs it."""

import logging
import math
import threading
import time
from functools import cache

import streamlit as st

from core.engine import work
from core.errors import UserError
from core.views import words
from pages.parts import held, html, keeping, running, sessions, settings
from pages.parts.settings import setting

_LOOK_EVERY = 5.0  # seconds: for who has left
_log = logging.getLogger("patchboard")


def admit() -> None:
    """Go on with the run of a page if the settings of this server make sense and it has room for
    one more session; else say why, and end it."""
    try:
        _prepare()
        if sessions.begin():
            held.count()
            if says := held.says():
                html.show(html.problem(says))
            return
    except UserError as error:
        html.show(html.problem(f"This server is not set up as it should be. {error}"))
        st.stop()
    html.show(
        html.problem(
            "This server has as many visitors as it takes at once. Try again in some minutes: your"
            " link stays as it is."
        )
    )
    st.stop()


@cache
def _prepare() -> None:
    """Once in a server's life."""
    settings.check()
    work.choose_threads()
    threading.Thread(target=_keep_house, daemon=True, name="house").start()


def _keep_house() -> None:
    """Let go what those held who have left and, where that is asked for, tell how things are."""
    every, told = setting("PATCHBOARD_STATUS"), -math.inf
    if every is not None:
        logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
        _log.setLevel(logging.INFO)
    while True:
        try:
            for session in sessions.gone():
                keeping.forget(session)
            held.put_away(sessions.present())
            if every is not None and time.monotonic() - told >= every:
                told = time.monotonic()
                _log.info(status())
        except Exception:  # of which the house must not die
            _log.exception("Housekeeping failed")
        time.sleep(min(_LOOK_EVERY, every or _LOOK_EVERY))


def status() -> str:
    """How this server is, in one line: no name of a person, and no text, is in it."""
    kept, budget = keeping.total(), setting("PATCHBOARD_MEMORY")
    process = work.own_memory()
    return (
        f"sessions {len(sessions.present())}, queue {running.in_queue()}, models"
        f" {keeping.number_of_models()}, kept {words.size(kept)} of {words.size(budget)}"
        + ("" if process is None else f", process {words.size(process)}")
    )
