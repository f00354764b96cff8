"""What to ask instead: tokens that the runs tell apart, words that flip the answer, and changes
that make the texts equally long; each a click that fills in what it is about, and nothing else."""

import re

import streamlit as st

from core import doctor
from core.doctor import Swap
from core.presets import alike
from core.question.experiment import Experiment
from core.question.pair import Draft
from core.question.repairs import repairs
from core.question.tokens import Token, count_before, visible
from core.result import Result
from core.study import Study
from core.views.words import probability, short
from pages.parts import experiment, html, running
from pages.parts.jobs import Job
from pages.parts.keeping import Shelf

_SWAP_AT = "field_swap_at"  # the widget that holds at which position a word is wanted
_SLOTS = "standing_slots"  # what of the session holds where the page says how tokens stand
_SHOWN = 12  # words, of those that flip the answer
_MEMORY = 600 << 20  # bytes that looking for them may take
_PARTS = {"clean": ("target", "Targets"), "corrupted": ("foil", "Foils")}


def standing_slot(field: str) -> None:
    """Under a field, where it is said how its token stands once the texts have been run."""
    slots = st.session_state.setdefault(_SLOTS, {})
    slots[field] = st.container(key=f"answer_standing_{field}")


def standing(study: Study, result: Result) -> None:
    """Rank and probability of target and foil on both plain runs, under their fields."""
    own = study.contenders(result.target.id, result.foil.id)
    for place, field in enumerate(("target", "foil")):
        with st.session_state[_SLOTS][field]:
            html.show(html.standing({side: rows[place] for side, rows in own.items()}))


def tokens(study: Study, result: Result) -> None:
    """Targets and foils: what each run expects most that the other does not."""
    apart, asked = doctor.told_apart(study.plain), result.experiment
    with st.popover("Suggest", type="tertiary", icon=":material/lightbulb:"):
        for side, (field, title) in _PARTS.items():
            html.show(html.text(f"{title}: what the {side} run expects and the other does not"))
            with st.container(horizontal=True, key=f"suggested_{field}"):
                for row in apart[side]:
                    st.button(
                        f"{_name(row.token)} {probability(row.prob)}",
                        key=f"suggested_{field}_{row.token.id}",
                        on_click=experiment.advised,
                        args=({field: row.token.text}, asked),
                        disabled=row.token in (result.target, result.foil),
                    )
            if not apart[side]:
                html.show(html.caption("Nothing: whatever it expects, the other expects as well."))
        html.show(
            html.text("Another word in the text: click its place in the row of tokens above.")
        )


def open_at(position: int) -> None:
    """Look for words for a place, as a callback."""
    st.session_state[_SWAP_AT] = str(position)


def swaps(draft: Draft, on: Shelf | None) -> None:
    """Words for the place that was clicked in the ribbon, those that flip the answer."""
    at = st.text_input("Words for position", key=_SWAP_AT, label_visibility="collapsed")
    asked = experiment.current()
    if on is None or not draft.clean or not re.fullmatch("[0-9]{1,6}", at or ""):
        return
    position, before = int(at), count_before(on.model.encoder, asked.bos)
    if not before <= position < len(draft.clean):
        return
    with st.container(key="swaps"):
        old = draft.clean[position]
        with st.container(horizontal=True, vertical_alignment="center"):
            said = st.empty()
            st.button("Close", key="swaps_close", on_click=_close, type="tertiary")
        job = _job(draft, asked, on, position, before)
        with said:
            html.show(html.text(f"Words for {old.label} at position {position}"))
        if not running.drive(job):
            return
        target, found = job.result
        flips = f"that change the answer from {target.label} to another one"
        with said:
            html.show(html.text(_found(found, old, position, flips)))
        with st.container(horizontal=True, key="swap_words"):
            for swap in found[:_SHOWN]:
                _button(swap, asked, None if draft.target else target)


def _found(found: tuple[Swap, ...], old: Token, position: int, flips: str) -> str:
    where = f"in place of {old.label} at position {position} of the clean text"
    if not found:
        return f"None of {doctor.TRIED} words {where} would {flips.removeprefix('that ')}."
    return (
        f"Words {where} {flips}, the surest first; a click makes it the corrupted text and its"
        " answer the foil."
    )


def _button(swap: Swap, asked: Experiment, target: Token | None) -> None:
    changes = {"corrupted": swap.text, "foil": swap.answer.token.text}
    if target:
        changes["target"] = target.text
    st.button(
        f"{_name(swap.word)} → {_name(swap.answer.token)} {probability(swap.answer.prob)}",
        key=f"swap_{swap.word.id}",
        on_click=experiment.advised,
        args=(changes, asked),
    )


def _job(draft: Draft, asked: Experiment, on: Shelf, position: int, before: int) -> Job:
    """The words for a place of the clean text, whatever the corrupted one is, with the target that
    they change the answer from: that of the experiment or, where there is none, the likeliest."""
    target, clean = draft.target, draft.clean
    ids = tuple(token.id for token in clean)
    wanted = target.id if target else None
    seconds = doctor.seconds(on.model, len(ids), position)
    return on.keep(
        Experiment(asked.clean, "", "", "", model=asked.model, bos=asked.bos),
        ("swaps", ids, position, wanted),
        lambda: Job(
            lambda: doctor.swaps(on.model, clean, position, wanted, before), seconds, _MEMORY
        ),
    )


def _close() -> None:
    st.session_state[_SWAP_AT] = ""


def equal_lengths(draft: Draft, on: Shelf) -> None:
    """Where the texts are not equally long: the shortest changes that make them so."""
    if not (draft.clean and draft.corrupted) or len(draft.clean) == len(draft.corrupted):
        return
    asked, encoder = experiment.current(), on.model.encoder
    found = repairs(asked.clean, asked.corrupted, encoder, lambda word: alike(word, encoder))
    with st.container(horizontal=True, key="repairs"):
        for number, repair in enumerate(found):
            st.button(
                html.sentence(short(repair.says, 60)),
                key=f"repair_{number}",
                on_click=experiment.advised,
                args=(repair.changes, asked),
            )


def _name(token: Token) -> str:
    return html.label(short(visible(token.text)))
