"""The page "Tokens": words that are one token, to swap into a text; and any text in its pieces."""

from collections.abc import Iterable

import streamlit as st

from core.catalogue import named
from core.errors import UserError
from core.models import load_tokenizer
from core.presets import word_groups
from core.question import tokens
from core.question.experiment import SIDES
from pages.parts import chips, download, experiment, html, keeping

_MOST_CHARACTERS = 20_000
_MOST_WORDS = 200
_PLACES = {
    "corrupted": "Corrupted text",
    "clean": "Clean text",
    "target": "Target",
    "foil": "Foil",
}
_SWAPPED = "swapped"  # what of the session says what the last click has done
_LAST = "swapped_at"  # and where: field -> position


def page() -> None:
    st.header("Tokens")
    st.markdown(
        "A model reads tokens, not words. Both texts need **the same number of tokens**, and target"
        " and foil are **one token each**. Within a text a word’s token begins with its space,"
        " shown as `·`."
    )
    entry = named(experiment.current().model)
    try:
        keeping.require_offered(entry)
        encoder = load_tokenizer(entry)
    except UserError as error:
        if entry.location is None:
            download.offer(entry)
        else:
            html.show(html.problem(str(error)))
        return
    _swap(encoder)
    _pieces(encoder)


def _swap(encoder) -> None:
    """Words that are one token each, a click from the experiment."""
    st.subheader("Words that are one token")
    field, position = _where(encoder)
    if message := st.session_state.pop(_SWAPPED, None):
        html.show(html.note(message))
        st.page_link("pages/patching/patch.py", label="See the map", icon=":material/grid_on:")
    for number, (name, words) in enumerate(word_groups(encoder).items()):
        if number % 2 == 0:
            columns = st.columns(2, gap="medium")
        with columns[number % 2]:
            _pills(name, words, encoder, field, position)
    part = st.text_input("Find more words", placeholder="any letters of it")
    if not part.strip():
        return
    found = [token.text[1:] for token in tokens.whole_words(encoder, part)]
    shown = found[:_MOST_WORDS]
    rest = f", the first {len(shown)} of them here" if len(shown) < len(found) else ""
    st.markdown(f"{len(found):,} words{rest}")
    _pills("Found", shown, encoder, field, position)


def _where(encoder) -> tuple[str, int | None]:
    """What a click on a word changes: a field of the experiment, and in a text which token of it;
    none where there is nothing to change."""
    field_at, token_at = st.columns(2, gap="medium")
    field = field_at.segmented_control(
        "A click on a word puts it into the",
        _PLACES,
        format_func=_PLACES.get,
        default="corrupted",
        required=True,
        key="swap_field",
    )
    if field not in SIDES:
        return field, None
    asked = experiment.current()
    before = tokens.count_before(encoder, asked.bos)
    texts = [tokens.split(getattr(asked, side)[:_MOST_CHARACTERS], encoder) for side in SIDES]
    pieces = texts[SIDES.index(field)]
    can_go = [p for p, piece in enumerate(pieces) if tokens.can_be_typed(piece, encoder)]
    last = st.session_state.get(_LAST, {}).get(field, tokens.part_at(*texts))
    position = token_at.selectbox(
        "in place of",
        can_go,
        index=can_go.index(last) if last in can_go else 0,
        format_func=lambda p: f"{p + before}: {pieces[p].label}",
        key=f"swap_position_{field}_{hash(getattr(asked, field))}",  # of other tokens, a new one
    )
    return field, position


def _pills(name: str, words: Iterable[str], encoder, field: str, position: int | None) -> None:
    """Words of letters alone, which no markdown can be made of."""
    key = f"swap_{name}"
    st.pills(
        name,
        words,
        key=key,
        on_change=_put,
        args=(key, encoder, field, position),
        wrap=True,
        disabled=position is None and field in SIDES,
    )


def _put(key: str, encoder, field: str, position: int | None) -> None:
    """Put the word that was clicked in its place, as a callback."""
    word, st.session_state[key] = st.session_state[key], None
    if word is None:
        return
    if position is None:
        experiment.enter(field, f" {word}")
        st.session_state[_SWAPPED] = f"The {field} is now {tokens.visible(f' {word}')}."
        return
    asked = experiment.current()
    pieces = tokens.split(getattr(asked, field), encoder)
    old = pieces[position].text
    new = f" {word}" if old.startswith(" ") else word
    before, after = (
        encoder.decode([piece.id for piece in part])
        for part in (pieces[:position], pieces[position + 1 :])
    )
    text = f"{before}{new}{after}"
    experiment.enter(field, text)
    st.session_state[_LAST] = {field: position}
    other = next(side for side in SIDES if side != field)
    counts = [len(encoder.encode(of)) for of in (text, getattr(asked, other))]
    st.session_state[_SWAPPED] = (
        f"The {field} text is now “{text}”: {counts[0]:,} tokens; the {other} text has"
        f" {counts[1]:,}."
    )


def _pieces(encoder) -> None:
    st.subheader("Any text in its pieces")
    text = st.text_area("Text", value=experiment.current().clean, max_chars=_MOST_CHARACTERS)
    try:
        pieces = tokens.tokenize(text, encoder, most=_MOST_CHARACTERS, field="typed")
    except UserError as error:
        html.show(html.problem(str(error)))
        return
    st.markdown(f"{len(pieces):,} tokens")
    html.show(chips.row(pieces))
    with st.expander("As a table"):
        st.dataframe(
            {
                "position": list(range(len(pieces))),
                "id": [piece.id for piece in pieces],
                "token": [piece.label for piece in pieces],
            },
            hide_index=True,
        )


page()
