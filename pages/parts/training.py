"""Which moment of its training the model is from: a slider over its checkpoints, and Play."""

import time

import streamlit as st

from core import models
from core.models import Entry
from core.teaching import growth
from core.teaching.history import Checkpoint, end
from pages.parts import experiment, html

_WATCHES, _STEP, _SEED = "watches_training", "training_step", "training_seed"  # widgets
_PLAYS = "training_plays"  # whether the next step follows by itself
_DRAWN = "training_drawn"  # when the page of this step was begun
_FRAME = 0.3  # seconds that a step stays at the least


def begin() -> None:
    """At the start of every run."""
    st.session_state[_DRAWN] = None


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
        st.session_state[_DRAWN] = time.monotonic()
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
    plays = st.session_state.get(_PLAYS, False) and at.step < steps[-1]
    with st.container(horizontal=True, vertical_alignment="center", key="training_play"):
        st.button(
            "Pause" if plays else "Play",
            icon=":material/pause:" if plays else ":material/play_arrow:",
            key="play_training",
            on_click=_play,
            args=(entry, at, steps),
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


def go_on() -> bool:
    """At the end of every run: while it plays, on to the next step. Whether it does."""
    drawn = st.session_state[_DRAWN]
    if not st.session_state.get(_PLAYS):
        return False
    entry = models.named(experiment.current().model)
    following = [
        checkpoint
        for checkpoint in models.checkpoints(entry)
        if entry.checkpoint
        and checkpoint.seed == entry.checkpoint.seed
        and checkpoint.step > entry.checkpoint.step
    ]
    if drawn is None or not following:  # on a page without the slider, or at the end
        st.session_state[_PLAYS] = False
        return False
    time.sleep(max(0.0, _FRAME - (time.monotonic() - drawn)))
    _enter(entry, following[0])
    st.rerun()


def _play(entry: Entry, at: Checkpoint, steps: list[int]) -> None:
    """Play or pause, as a callback; at the end, from the beginning."""
    st.session_state[_PLAYS] = not st.session_state.get(_PLAYS, False)
    if st.session_state[_PLAYS] and at.step == steps[-1]:
        _enter(entry, Checkpoint(at.seed, steps[0]))


def _take(entry: Entry) -> None:
    """Let the model be that of the slider, as a callback."""
    st.session_state[_PLAYS] = False
    _enter(entry, Checkpoint(st.session_state[_SEED], st.session_state[_STEP]))


def _stop_watching(entry: Entry) -> None:
    """Back to the model itself, as a callback."""
    st.session_state[_PLAYS] = False
    experiment.enter("model", entry.base)


def _enter(entry: Entry, checkpoint: Checkpoint) -> None:
    name = models.at_checkpoint(entry.base, checkpoint.step, checkpoint.seed)
    experiment.enter("model", name)
