"""Which moment of its training the model is from: a slider over its checkpoints, and Play."""

import streamlit as st

from core import models
from core.models import Entry
from core.teaching import growth
from core.teaching.history import Checkpoint, end
from pages.parts import experiment, html

_WATCHES, _STEP, _SEED = "watches_training", "training_step", "training_seed"  # widgets
_PLAYS = "training_plays"  # the page on which the next step follows by itself


def switch() -> None:
    """Of a model with checkpoints: whether a person watches it learn."""
    entry = models.named(experiment.current().model)
    if models.checkpoints(entry):
        st.session_state[_WATCHES] = _is_watched(entry)
        st.toggle(
            "Watch it learn",
            key=_WATCHES,
            on_change=_stop_watching,
            args=(entry,),
            help="Step through checkpoints of the model's training, from its very beginning on.",
        )


def panel(wide: bool = False) -> None:
    """While it is watched: the slider and what the model could do then, under it or, on a `wide`
    page, folded."""
    entry = models.named(experiment.current().model)
    there = models.checkpoints(entry)
    if there and _is_watched(entry):
        at = entry.checkpoint or end(there)
        with st.container(key="training"):
            _slider(entry, at, there)
            could = html.growth(growth.shipped().behaviours, at)
            if wide:
                with st.expander("What it could do at each step"):
                    html.show(could)
            else:
                html.show(could)


def _is_watched(entry: Entry) -> bool:
    return entry.checkpoint is not None or st.session_state.get(_WATCHES, False)


def _slider(entry: Entry, at: Checkpoint, there: tuple[Checkpoint, ...]) -> None:
    steps = [checkpoint.step for checkpoint in there if checkpoint.seed == at.seed]
    st.session_state[_STEP], st.session_state[_SEED] = at.step, at.seed
    following = [step for step in steps if step > at.step]
    if not following:
        st.session_state[_PLAYS] = None
    with st.container(horizontal=True, vertical_alignment="center", key="training_play"):
        st.button(
            "Pause" if plays() else "Play",
            icon=":material/pause:" if plays() else ":material/play_arrow:",
            key="play_training",
            on_click=_play,
            args=(entry, at, steps),
        )
        if plays():  # pressed by the browser, once it has drawn this step
            st.button(
                "Next step",
                key="training_next",
                on_click=_enter,
                args=(entry, Checkpoint(at.seed, following[0])),
            )
        st.segmented_control(
            "Seed",
            sorted({checkpoint.seed for checkpoint in there}),
            format_func=lambda seed: f"Seed {seed}",
            key=_SEED,
            required=True,
            on_change=_take,
            args=(entry,),
            label_visibility="collapsed",
        )
    st.select_slider(
        "Training step",
        steps,
        format_func=lambda step: f"{step:,}",
        key=_STEP,
        on_change=_take,
        args=(entry,),
    )


def plays() -> bool:
    """Whether the browser (page.js) goes on to the next step by itself on the page that is open."""
    return st.session_state.get(_PLAYS) == st.session_state.page


def _play(entry: Entry, at: Checkpoint, steps: list[int]) -> None:
    """Play or pause, as a callback; at the end, from the beginning."""
    st.session_state[_PLAYS] = None if plays() else st.session_state.page
    if plays() and at.step == steps[-1]:
        _enter(entry, Checkpoint(at.seed, steps[0]))


def _take(entry: Entry) -> None:
    """Let the model be that of the slider, as a callback."""
    st.session_state[_PLAYS] = None
    _enter(entry, Checkpoint(st.session_state[_SEED], st.session_state[_STEP]))


def _stop_watching(entry: Entry) -> None:
    """Back to the model itself, as a callback."""
    st.session_state[_PLAYS] = None
    experiment.enter("model", entry.base)


def _enter(entry: Entry, checkpoint: Checkpoint) -> None:
    name = models.at_checkpoint(entry.base, checkpoint.step, checkpoint.seed)
    experiment.enter("model", name)
