"""The model's card: what was loaded, from where, and whether it predicts ordinary text."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import catalogue
from core.result import ModelCard
from core.views.sentences import predicts
from pages.parts import experiment, html, keeping


def show(place: DeltaGenerator) -> None:
    """That of the experiment's model in a place of the sidebar, if it has been loaded; and outright
    what makes its numbers doubtful, of all but a moment of the bundled model's training."""
    entry = catalogue.named(experiment.current().model)
    card = keeping.cards.get(entry.name)
    if card is None or entry.location is None:
        return
    with place:
        with st.popover("Model card", icon=":material/badge:", width="stretch"):
            html.show(html.facts(_facts(card)))
        test = card.smoke_test
        if test and test.is_far_off and not entry.checkpoint:
            html.show(html.doubt(predicts(test)))


def _facts(card: ModelCard) -> dict[str, str]:
    differing = ", ".join(f"{name} = {value}" for name, value in card.settings.items())
    test = card.smoke_test
    return {
        "model": card.name,
        "from": card.source,
        "commit": card.revision,
        "fingerprint": f"{card.fingerprint} (of its weights)",
        "size": f"{card.layers} layers, {card.parameters:,} parameters",
        "numbers": f"{card.dtype}, {card.memory / 1e6:,.0f} MB of memory",
        "unlike GPT-2": differing or "nothing",
        "tokenizer": card.tokenizer,
        "notes": "; ".join(card.notes),
        "predicts": predicts(test),
        "tested on": test.text if test else "",
    }
