"""What the model says to the plain runs of many pairs, what is seldom meant in them, and the ways
to mend it."""

from collections.abc import Sequence

import streamlit as st

from core.errors import UserError
from core.many import mends
from core.many.mends import Mend, UnlikeLengths
from core.many.pairs import counted
from core.many.survey import Sample, Survey
from core.views import many_figures
from core.views.many_sentences import screened_says
from pages.parts import brought, html, pairs
from pages.parts.brought import Given
from pages.parts.keeping import Shelf

_CAUTIONS, _OFFERED = "pairs_cautions", "pairs_mends"
_REASONS = 3  # why pairs cannot be used that are told at once


def show(sample: Sample, survey: Survey) -> None:
    """What the model says to all pairs, and which are left out."""
    why = {of.row.line: of.row.reason for of in survey.left_out}
    rows = [
        (pair, found, why.get(pair.pair.line, ""))
        for pair, found in zip(sample.pairs, sample.screened, strict=True)
    ]
    html.show(html.text(screened_says(sample.given, rows, sample.dropped)))
    for row in sample.dropped[:_REASONS]:
        html.show(html.caption(f"Line {row.line:,}: {row.reason}"))
    if len(sample.dropped) > _REASONS:
        html.show(html.caption(f"{len(sample.dropped) - _REASONS:,} more are in the table."))
    figure = many_figures.screening(rows)
    st.plotly_chart(figure, key="screening", config={"displaylogo": False})
    html.show(
        html.caption(
            "LD is logit(foil) - logit(target): below 0 the target is ahead, above 0 the foil. Of"
            " several targets or foils a logit is the log-sum-exp: that of any one of them."
        )
    )
    with st.expander(f"{counted(sample.given, 'pair')} as a table"):
        pairs.table(many_figures.screening_table(rows, sample.dropped), key="screened")


def warn(given: Given, on: Shelf) -> None:
    """What is seldom meant in the pairs, each with a button that mends it."""
    if given.is_pack:
        return
    if given.mended:
        with st.container(horizontal=True, vertical_alignment="center"):
            html.show(html.note(f"Mended here: {given.mended}."))
            st.button("Take them as they were brought", on_click=brought.unmend)
    of = given.digest, on.model.card.fingerprint
    if st.session_state.get(_CAUTIONS, (None,))[0] != of:  # of a large file they take a second
        found = mends.cautions(given.pairs, given.dropped, on.model.encoder)
        st.session_state[_CAUTIONS] = of, found
    _, found = st.session_state[_CAUTIONS]
    for mend in found:
        html.show(html.doubt(mend.says))
    _offer(found, given)


def refuse(error: UserError, given: Given, on: Shelf) -> None:
    """Why the model can use none of the pairs, and what would mend that."""
    pairs.warn_of_pack(given, on.model.entry)
    html.show(html.problem(str(error)))
    if isinstance(error, UnlikeLengths):
        _offer(error.mends, given)
    warn(given, on)


def _offer(found: Sequence[Mend], given: Given) -> None:
    # A callback holds no pairs: Streamlit would keep them for as long as the session lasts.
    if st.session_state.get(_OFFERED, (None,))[0] is not given:
        st.session_state[_OFFERED] = given, {}
    st.session_state[_OFFERED][1].update({mend.fix: mend for mend in found})
    with st.container(horizontal=True):
        for mend in found:
            st.button(mend.fix, on_click=_mend, args=(mend.fix,))


def _mend(fix: str) -> None:
    given, offered = st.session_state.get(_OFFERED, (None, {}))
    if fix in offered:
        brought.mend(given, offered[fix])
