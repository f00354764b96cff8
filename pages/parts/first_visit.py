"""The first visit to a server: a link that Streamlit does not understand yet.

Until `st.navigation` has been called once in a server's life, Streamlit takes an app with a folder
`pages` for one of its old kind, whose pages lie in that folder itself. If the very first visitor
comes by a link to another page than the main one, they are told that there is no such page. By the
time the app runs Streamlit knows better, so the browser only has to load it once more.
"""

import streamlit as st

_known_pages: list[bool] = []  # of all sessions: empty until one has called `st.navigation`
_RELOAD = "<script>window.location.reload()</script>"


def load_again_if_lost(url_path: str) -> None:
    """To be called after `st.navigation` with the page it found."""
    is_first = not _known_pages
    _known_pages[:] = [True]
    if is_first and url_path:
        st.html(_RELOAD, unsafe_allow_javascript=True)
