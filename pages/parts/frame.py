"""The frame of every page that works on the experiment: its inputs, its model, its sweeps.

The inputs belong to the app, not to a page: their fields then outlive a change of page, and what
was typed into them comes with the click on its link.
"""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.catalogue import Entry, named
from core.errors import UserError
from core.question.experiment import Experiment
from core.question.pair import Draft, draft
from core.result import Result
from core.study import Study
from pages.parts import answer, download, experiment, html, inputs, keeping, running, suggestions
from pages.parts.jobs import Job
from pages.parts.keeping import Shelf
from pages.parts.settings import setting

_LOADS = "loads"  # which model is about to be loaded, and whether that has to be asked for
_SMALL = 1e8  # bytes that are there at once
_LOADED_A_SECOND = 5e8  # bytes, of a disk that is neither the best nor the worst
_ANSWERED = "answered"  # what of the session the page answers
_HAS_MODEL = "has_model"


def ask() -> None:
    """Draw the inputs, and settle what the page is to answer."""
    fields, problems, below = (
        st.container(key="inputs"),
        st.container(key="problems"),
        st.container(),
    )
    with problems:
        says = st.empty()
    with says:  # first: loading a model takes a while, and what is there is of the one before
        html.show(html.asked(experiment.current()))
    with below:
        for message in st.session_state.notes:
            html.show(html.note(message))
        on, draft = _read()
        for how_read in draft.notes:
            html.show(html.note(how_read))
    with fields:
        inputs.typed(draft, on)
    with problems:
        for field, problem in draft.problems.items():
            html.show(html.problem(str(problem)))
            if field == "direction":  # which not every page lets one choose
                st.button("Denoise instead", on_click=experiment.enter, args=(field, "denoise"))
            if field == "foil" and draft.foil and draft.texts_fit:  # which the target is too
                inputs.other_foil()
        if on:
            suggestions.texts_that_fit(draft, on)
    st.session_state[_HAS_MODEL] = on is not None
    now, before = experiment.current(), st.session_state.get(_ANSWERED)
    if on and not draft.problems:
        st.session_state[_ANSWERED] = now
    elif not on or (before and before.model != now.model):
        st.session_state[_ANSWERED] = None
    with says:
        html.show(html.asked(now))


def _read() -> tuple[Shelf | None, Draft]:
    """The model of the experiment, which fits it from here on, and what it can read."""
    on = model_of(experiment.current())
    if on is None:
        return None, Draft()
    experiment.settle(on.model.card.layers)
    draft = read(experiment.current(), on)
    if draft.texts_fit:
        inputs.fill_in(experiment.current(), on)
        draft = read(experiment.current(), on)
    return on, draft


def read(asked: Experiment, on: Shelf) -> Draft:
    """What of an experiment can be read, by a model and on this server."""
    longest = setting("PATCHBOARD_LONGEST") or on.model.gpt.block_size
    return draft(asked, on.model.encoder, min(longest, on.model.gpt.block_size))


def given() -> tuple[Experiment, Shelf] | None:
    """What the page is to answer and the model to ask: the experiment as it stands or, while that
    cannot be answered, the last that could be on this model, which the browser then shows dimmed
    (see `mark`). Nothing if there is none."""
    experiment = st.session_state.get(_ANSWERED)
    return experiment and (experiment, keeping.shelf(experiment.model))


def is_answered() -> bool:
    """Whether what the page answers is what stands in the inputs."""
    return st.session_state.get(_ANSWERED) == experiment.current()


def has_model() -> bool:
    """Whether there is a model to ask."""
    return st.session_state[_HAS_MODEL]


def mark() -> None:
    """At the end of a run: say which experiment all that is on the page answers. The browser holds
    it against what stands in the fields, and shows where the two differ."""
    if answered := st.session_state.get(_ANSWERED):
        html.show(html.answered(answered))


def answer_part(name: str) -> DeltaGenerator:
    """Where a part of the answer goes; the browser dims it while it is of former inputs."""
    return st.container(key=f"answer_{name}")


def model_of(wanted: Experiment) -> Shelf | None:
    """The experiment's model, or nothing and the reason on the page."""
    entry = named(wanted.model)
    try:
        keeping.require_offered(entry)
        if entry.location is None:
            download.offer(entry)
            return None
        if not keeping.is_loaded(entry.name) and not running.drive(_loading(entry), label="Load"):
            return None
        return keeping.shelf(wanted.model)
    except UserError as error:
        html.show(html.problem(str(error)))
        download.offer_again(entry)
        return None


def _loading(entry: Entry) -> Job:
    """What is asked before a large model is loaded; there is nothing to do in it."""
    name, job = st.session_state.get(_LOADS, ("", None))
    if name != entry.name:
        size = keeping.bytes_of(entry)
        seconds = max(0, size - _SMALL) / _LOADED_A_SECOND
        job = Job(lambda: iter(()), seconds, size)
        st.session_state[_LOADS] = entry.name, job
    return job


def swept(wanted: Experiment, on: Shelf) -> tuple[Study, Result] | None:
    """A finished sweep and its answer; nothing while it waits for a person, or if it cannot be."""
    job = keeping.study_job(wanted, on)
    if not running.drive(job):
        return None
    try:
        return job.of, job.of.read(wanted, answer.HOVERED)
    except UserError as error:
        html.show(html.problem(str(error)))
        return None
