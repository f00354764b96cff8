"""What to ask instead: tokens that the runs tell apart, words that flip the answer, and changes
that make the texts fit; each a click that fills in what it is about, and nothing else."""

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
from pages.parts import chips, experiment, html, running
from pages.parts.jobs import Job
from pages.parts.keeping import Shelf

FLIPS = "Find a word that flips it"
_RUNS = ("clean", "corrupted", "model", "bos")  # the fields that what both runs say depends on
_SWAP_AT = "field_swap_at"  # the widget that holds at which position a word is wanted
_SLOTS = "token_slots"  # what of the session holds where the page speaks of target and foil
_SHOWN = 12  # words, of those that flip the answer
_MEMORY = 600 << 20  # bytes that looking for them may take
_WINS = {
    "target": ("clean", "corrupted"),
    "foil": ("corrupted", "clean"),
}  # on which run, not which


def slot(field: str, part: str) -> None:
    """At a field, where a `part` of what is said of its token goes once the texts have been run:
    "standing" or "instead"."""
    slots = st.session_state.setdefault(_SLOTS, {})
    slots[field, part] = st.container(key=f"answer_{part}_{field}", width="content")


def of_tokens(study: Study, result: Result) -> None:
    """At the fields of target and foil: their rank and probability on both plain runs, if the
    result is of what stands there, and what each run expects most that the other does not."""
    slots, asked = st.session_state[_SLOTS], result.experiment
    own = study.contenders(result.target.id, result.foil.id)
    apart = doctor.told_apart(study.plain)
    for place, (field, (side, other)) in enumerate(_WINS.items()):
        with slots[field, "standing"]:
            if getattr(experiment.current(), field) == getattr(asked, field):
                html.show(chips.standing({run: rows[place] for run, rows in own.items()}))
        with (
            slots[field, "instead"],
            st.popover(f"Suggest a {field}", type="tertiary", icon=":material/lightbulb:"),
        ):
            html.show(html.text(f"What the {side} run expects and the {other} one does not:"))
            with st.container(horizontal=True, gap="xsmall"):
                for row in apart[side]:
                    st.button(
                        f"{_name(row.token)} {probability(row.prob)}",
                        key=f"suggested_{field}_{row.token.id}",
                        on_click=experiment.advised,
                        args=({field: row.token.text}, asked, _RUNS),
                        disabled=row.token in (result.target, result.foil),
                    )
            if not apart[side]:
                html.show(html.text("Nothing: the texts make too little of a difference."))
            html.show(html.caption("For another word in the text click its place in the tokens."))


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
    old = draft.clean[position]
    with st.container(key="swaps"):
        with st.container(horizontal=True, key="swaps_head"):
            said = st.empty()
            st.button("Close", key="swaps_close", on_click=_close, type="tertiary")
        with said:
            html.show(html.caption(f"Words in place of {old.label} at position {position}"))
        job = _job(draft, asked, on, position, before)
        if not running.drive(job):
            return
        target, found = job.result
        with said:
            html.show(html.caption(_found(found, old, position, target)))
        with st.container(horizontal=True, key="swap_words", gap="xsmall"):
            for swap in found[:_SHOWN]:
                _button(swap, asked, None if draft.target else target)


def _found(found: tuple[Swap, ...], old: Token, position: int, target: Token) -> str:
    where = f"in place of {old.label} at position {position} of the clean text"
    flips = f"changes the answer from {target.label} to another one"
    if not found:
        return f"Of {doctor.TRIED} words {where} none {flips}."
    return (
        f"What, {where}, {flips}, the surest first. A click makes that the corrupted text, and its"
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
        args=(changes, asked, ("clean", "target", "model", "bos")),
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


def texts_that_fit(draft: Draft, on: Shelf) -> None:
    """Where the texts are not equally long, or the same: the shortest changes that mend that."""
    if not (draft.clean and draft.corrupted):
        return
    same = draft.clean == draft.corrupted
    if len(draft.clean) == len(draft.corrupted) and not same:
        return
    asked, encoder = experiment.current(), on.model.encoder

    def like(word: str) -> tuple[str, ...]:
        answers = (asked.foil,) if word == asked.target != asked.foil else ()
        return (*answers, *alike(word, encoder))

    found = repairs(asked.clean, asked.corrupted, encoder, like)
    with st.container(horizontal=True, key="repairs"):
        for number, repair in enumerate(found):
            st.button(
                html.sentence(short(repair.says, 60)),
                key=f"repair_{number}",
                on_click=experiment.advised,
                args=(repair.changes, asked, _RUNS),
            )
        if same:
            at = _worth_changing(draft, count_before(encoder, asked.bos))
            st.button(FLIPS, key="repair_swap", on_click=open_at, args=(at,))


def _worth_changing(draft: Draft, before: int) -> int:
    """A place of the clean text, after so many tokens put before it: that of the target or, since
    it is seldom one of grammar, of the longest token, but the last."""
    places = range(before, max(before + 1, len(draft.clean) - 1))
    is_target = (p for p in places if draft.clean[p] == draft.target)
    return next(is_target, max(places, key=lambda p: len(draft.clean[p].text)))


def _name(token: Token) -> str:
    return html.label(short(visible(token.text)))
