"""Getting a model that is not on this machine: what it takes, and doing so when a person asks."""

import streamlit as st

from core import models
from core.errors import UserError
from core.models import Entry
from pages.parts import html

# What of the session names the model that is being downloaded, until it is here or given up.
_UNDER_WAY = "download"


def offer(entry: Entry) -> None:
    """Say what is missing, and download it on a click; a rerun of the page goes on with it. Where
    all files are here, if not in one place, there is nothing to ask."""
    if st.session_state.get(_UNDER_WAY) != entry.name and entry.missing_bytes:
        megabytes = entry.missing_bytes / 1e6
        html.show(
            html.note(
                f"{entry.title} is not on this machine yet. It needs a download of about"
                f" {megabytes:,.0f} MB, once. What you have typed stays, and the teaching model is"
                " here meanwhile."
            )
        )
        st.button(
            f"Download {megabytes:,.0f} MB",
            on_click=_set_under_way,
            args=(entry.name,),
            type="primary",
        )
        return
    bar = st.empty()
    bar.progress(0.0, text="Connecting…")
    st.button("Cancel the download", on_click=_set_under_way, args=(None,))

    def draw(progress) -> None:  # interrupted here by a click, the download stops and can resume
        left = "" if progress.seconds_left is None else f", {progress.seconds_left:,.0f} s left"
        bar.progress(
            min(1.0, progress.done / progress.total),
            text=f"{progress.done / 1e6:,.0f} of {progress.total / 1e6:,.0f} MB,"
            f" {progress.rate / 1e6:.1f} MB/s{left}",
        )

    try:
        models.download(entry, draw)
    except UserError as error:
        _set_under_way(None)
        html.show(html.problem(str(error)))
        st.button("Try again", on_click=_set_under_way, args=(entry.name,))
        return
    _set_under_way(None)
    st.rerun()


def _set_under_way(name: str | None) -> None:
    st.session_state[_UNDER_WAY] = name
