"""The page "Open": a file that was saved, as the page it is of, and what was asked before."""

import streamlit as st

from core.errors import UserError
from core.views import opening
from pages.parts import html, opened

_FILE = "file_to_open"


def page() -> None:
    html.show(html.title("Go on where you were"))
    st.file_uploader(
        "Drop a file that Patchboard wrote: any JSON, or a PNG or SVG picture",
        key=_FILE,
        help="It opens as the page it is of, with the numbers as stored beside those of now.",
    )
    if (file := st.session_state[_FILE]) is not None:
        _open(file)


def _open(file) -> None:
    try:
        of = opening.read(file.getvalue(), file.name)
    except UserError as error:
        html.show(html.problem(str(error)))
        return
    opened.go(of)


page()
