"""The page "Tokens": any text in the chosen model's pieces, and single-token words to swap in."""

import streamlit as st

from core.errors import UserError
from core.models import load_tokenizer, named
from core.question import tokens
from pages.parts import experiment, html

_MOST_CHARACTERS = 20_000
_MOST_WORDS = 200


def page() -> None:
    st.header("Tokens")
    st.markdown(
        "A model reads tokens, not words. Patching goes position by position, so both texts need"
        " **the same number of tokens**, and target and foil must be **one token each**. Within a"
        " text, a word’s token begins with its space, shown as `·`."
    )
    try:
        encoder = load_tokenizer(named(experiment.current().model))
    except UserError as error:
        html.show(html.problem(str(error)))
        return
    _pieces(encoder)
    _words(encoder)


def _pieces(encoder) -> None:
    text = st.text_area("Text", value=experiment.current().clean, max_chars=_MOST_CHARACTERS)
    try:
        pieces = tokens.tokenize(text, encoder, most=_MOST_CHARACTERS, field="typed")
    except UserError as error:
        html.show(html.problem(str(error)))
        return
    st.markdown(f"{len(pieces):,} tokens")
    html.show(html.chips(pieces))
    with st.expander("As a table"):
        st.dataframe(
            {
                "position": list(range(len(pieces))),
                "id": [piece.id for piece in pieces],
                "token": [piece.label for piece in pieces],
            },
            hide_index=True,
        )


def _words(encoder) -> None:
    st.subheader("Words that are one token")
    part = st.text_input("Words that contain", placeholder="any letters")
    found = tokens.whole_words(encoder, part)
    shown = found[:_MOST_WORDS]
    rest = f", the first {len(shown)} of them here" if len(shown) < len(found) else ""
    st.markdown(f"{len(found):,} words{rest}; each can take another’s place in a text.")
    html.show(html.chips(shown))


page()
