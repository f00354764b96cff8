"""The frame of every page that works on the experiment: its model, its texts, its sweeps."""

import streamlit as st

from core.errors import UserError
from core.models import named
from core.question.experiment import Experiment
from core.question.pair import Draft
from core.result import Result
from core.study import Study, draft_for
from pages.parts import answer, download, experiment, html, keeping, running
from pages.parts.keeping import Shelf


def model_of(wanted: Experiment) -> Shelf | None:
    """The experiment's model, or nothing and the reason on the page."""
    entry = named(wanted.model)
    if entry.location is None:
        download.offer(entry)
        return None
    try:
        return keeping.shelf(wanted.model)
    except UserError as error:
        html.show(html.problem(str(error)))
        return None


def own_model() -> tuple[Shelf | None, Draft]:
    """The model of the session's experiment, which fits it from here on, and what it can read."""
    on = model_of(experiment.current())
    if on is None:
        return None, Draft()
    experiment.settle(on.model.card.layers)
    return on, draft_for(experiment.current(), on.model)


def given() -> tuple[Experiment, Shelf] | None:
    """For a page without inputs of its own: the experiment as it stands and its model, or nothing
    and what is wrong with it on the page."""
    on, found = own_model()
    if on is None:
        return None
    if found.clean and found.corrupted:
        html.show(html.ribbon(found.clean, found.corrupted))
    st.page_link("pages/patching/patch.py", label="Change the texts or the question")
    for problem in found.problems.values():
        html.show(html.problem(str(problem)))
    return None if found.problems else (experiment.current(), on)


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
