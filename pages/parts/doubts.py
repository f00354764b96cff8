"""Above a map: what makes it not worth reading as it stands, with what to ask instead."""

import streamlit as st

from core import doctor, presets
from core.question.repairs import text_of
from core.question.tokens import Token, can_be_typed, count_before, in_pieces
from core.result import Result
from core.study import Study
from core.views import doubts
from core.views.doubts import Doubt
from pages.parts import experiment, html, suggestions


def show(study: Study, result: Result) -> bool:
    """What weighs most in one line; why, and what else, one click away. Gives whether there is
    anything."""
    asked, encoder = result.experiment, study.model.encoder
    unknown: tuple[str, ...] = ()
    if study.model.entry.closed_vocabulary:
        unknown = in_pieces(asked.clean, encoder) + in_pieces(asked.corrupted, encoder)

    def typed(token: Token) -> bool:
        return can_be_typed(token, encoder)

    def written(tokens: tuple[Token, ...]) -> str | None:
        before = count_before(encoder, asked.bos)
        return text_of([token.id for token in tokens[before:]], encoder)

    found = doubts.doubts(
        result,
        study.contenders(result.target.id, result.foil.id),
        unknown,
        typed,
        doctor.told_apart(study.plain),
        written,
        is_example=presets.of(asked) is not None,
    )
    if not found:
        return False
    first, others = found[0], len(found) - 1
    with st.container(horizontal=True, vertical_alignment="center", key="doubts"):
        html.show(html.doubt(first.says))
        _fixes(first, 0, result, slice(1))
        with st.popover(f"Why, and {others} more" if others else "Why", type="tertiary"):
            for number, doubt in enumerate(found):
                html.show(html.doubt(doubt.says, doubt.why))
                _fixes(doubt, number, result, slice(not number, None))
    return True


def _fixes(doubt: Doubt, number: int, result: Result, which: slice) -> None:
    """Buttons for what may be asked instead."""
    fixes = ({doubt.fix: doubt.changes} if doubt.changes else {}) | doubt.more
    clicks = [(name, experiment.advised, (of, result.experiment)) for name, of in fixes.items()]
    if doubt.swap_at is not None:
        clicks.append((suggestions.FLIPS, suggestions.open_at, (doubt.swap_at,)))
    for place, (name, do, arguments) in [*enumerate(clicks)][which]:
        key = f"doubt_{number}_{place}"
        st.button(html.sentence(name), key=key, on_click=do, args=arguments)
