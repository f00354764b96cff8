"""The pairs that a person brought to the page "Many pairs", as a file or pasted, in the session."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import streamlit as st

from core.errors import UserError
from core.many import pairs as files
from core.many.mends import Mend
from core.many.pairs import Dropped, Pair
from core.weight import weigh
from pages.parts import held, html

_BROUGHT, _READ, _MENDED = "pairs_brought", "pairs_read", "pairs_mended"
_PASTED, _UPLOADED = "pasted_pairs", "uploaded_pairs"
_EXAMPLE = (
    "id,group,clean,corrupted,target,foil\n"
    "keys,plural,The [subject:keys] near the cabinet,The [subject:key] near the cabinet,"
    '" are"," is"'
)


@dataclass(frozen=True)
class Given:
    """The pairs of a pack or a file; `digest` stands for them."""

    source: str
    digest: str
    pairs: list[Pair]
    dropped: list[Dropped]
    draws: str = "groups"  # what a bootstrap usually draws of them
    is_pack: bool = False
    groups_are: str = ""  # what the groups of a pack are, in a sentence
    mended: str = ""  # what was done to those of a file

    @cached_property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        return weigh(self.pairs, self.dropped)


def given() -> Given | None:
    """Those that are here; nothing, and on the page what is wrong with them or what they should be,
    if they are none."""
    brought = st.session_state.get(_BROUGHT)
    if brought is None:
        html.show(
            html.note(
                "No pairs are here: a reload, or a link, does not bring them along. Bring the same"
                " file again, or paste the same rows: a map that was finished is then there at"
                " once, while this server runs and has not had to make room."
            )
        )
        st.markdown(
            "Bring a table with the columns clean, corrupted, target and foil. A word’s token"
            " begins with its space, and brackets name what corresponds in sentences of different"
            " shape:"
        )
        st.code(_EXAMPLE, language=None, wrap_lines=True)
        return None
    called, content = brought
    digest = hashlib.sha256(content).hexdigest()
    if (mended := st.session_state.get(_MENDED)) and mended.digest.startswith(digest):
        return mended
    of, known = st.session_state.get(_READ, ("", None))
    if of != digest:
        st.session_state[_READ] = "", None  # what was there before makes room
        held.count()
        try:
            known = Given(called, digest, *files.read(content, called))
            held.require_room(known, called)
        except UserError as error:
            known = error  # of a large file reading it again, at every run, would take seconds
        st.session_state[_READ] = digest, known
    if isinstance(known, UserError):
        html.show(html.problem(str(known)))
        return None
    return known


def mend(given: Given, how: Mend) -> None:
    """Take the pairs of a file as mended, as a callback."""
    mended = f"{given.mended}; {how.fix.lower()}" if given.mended else how.fix.lower()
    done = hashlib.sha256(repr(how).encode("utf-8", "surrogatepass")).hexdigest()
    digest = f"{given.digest} {done}"
    st.session_state[_MENDED] = replace(
        given, digest=digest, pairs=how.pairs, dropped=how.dropped, mended=mended
    )


def unmend() -> None:
    """Take the pairs as they were brought, as a callback."""
    st.session_state[_MENDED] = None


def bring() -> None:
    """The ways to bring some, and what is here."""
    upload, paste = st.tabs(["A file", "Paste"])
    with upload:
        st.file_uploader(
            "CSV, TSV, JSON or JSONL",
            key=_UPLOADED,
            on_change=_take_upload,
            help="Columns clean, corrupted, target, foil and, if there, id and group.",
        )
    with paste:
        st.text_area(
            "Rows as in a file",
            key=_PASTED,
            on_change=_take_paste,
            placeholder=_EXAMPLE,
            height=120,
        )
    if brought := st.session_state.get(_BROUGHT):
        html.show(html.note(f"Here: {brought[0]}, {len(brought[1]):,} bytes."))


def _take_upload() -> None:
    if (file := st.session_state[_UPLOADED]) is not None:
        st.session_state[_BROUGHT] = (file.name, file.getvalue())


def _take_paste() -> None:
    if text := st.session_state[_PASTED]:
        st.session_state[_BROUGHT] = ("what was pasted", text.encode("utf-8", "surrogatepass"))
