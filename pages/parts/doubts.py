"""Above a map: what makes it not worth reading as it stands, with what to ask instead."""

import streamlit as st

from core.question.tokens import Token, can_be_typed, in_pieces
from core.result import Result
from core.study import Study
from core.views import doubts
from core.views.doubts import Doubt
from pages.parts import experiment, html


def show(study: Study, result: Result) -> bool:
    """What weighs most in one line; why, and what else, one click away. Gives whether there is
    anything."""
    asked, encoder = result.experiment, study.model.encoder
    unknown: tuple[str, ...] = ()
    if study.model.entry.closed_vocabulary:
        unknown = in_pieces(asked.clean, encoder) + in_pieces(asked.corrupted, encoder)

    def typed(token: Token) -> bool:
        return can_be_typed(token, encoder)

    own = study.contenders(result.target.id, result.foil.id)
    found = doubts.doubts(result, own, unknown, typed)
    if not found:
        return False
    first, others = found[0], len(found) - 1
    with st.container(horizontal=True, vertical_alignment="center", key="doubts"):
        html.show(html.doubt(first.says))
        _fix(first, 0, result)
        with st.popover(f"Why, and {others} more" if others else "Why", type="tertiary"):
            for number, doubt in enumerate(found):
                html.show(html.doubt(doubt.says, doubt.why))
                if number:
                    _fix(doubt, number, result)
    return True


def _fix(doubt: Doubt, number: int, result: Result) -> None:
    if doubt.changes:
        st.button(
            doubt.fix,
            key=f"doubt_{number}",
            on_click=experiment.advised,
            args=(doubt.changes, result.experiment),
        )
