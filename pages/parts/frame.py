"""The frame of every page that works on the experiment: its model, its texts, its sweeps."""

import streamlit as st

from core.errors import UserError
from core.models import LoadedModel, named
from core.question.experiment import Experiment
from core.question.pair import Draft, draft
from core.result import Result
from core.study import Study
from pages.parts import answer, download, experiment, html, running


def model_of(wanted: Experiment) -> LoadedModel | None:
    """The experiment's model, or nothing and the reason on the page."""
    entry = named(wanted.model)
    if entry.location is None:
        download.offer(entry)
        return None
    try:
        return running.load(wanted.model)
    except UserError as error:
        html.show(html.problem(str(error)))
        return None


def read(wanted: Experiment, model: LoadedModel | None) -> Draft:
    return draft(wanted, model.encoder, model.gpt.block_size) if model else Draft()


def given() -> tuple[Experiment, LoadedModel] | None:
    """For a page without inputs of its own: the experiment as it stands and its model, or nothing
    and what is wrong with it on the page."""
    wanted = experiment.current()
    model = model_of(wanted)
    if model is None:
        return None
    found = read(wanted, model)
    if found.clean and found.corrupted:
        html.show(html.ribbon(found.clean, found.corrupted))
    st.page_link("pages/patching/patch.py", label="Change the texts or the question")
    for problem in found.problems.values():
        html.show(html.problem(str(problem)))
    return None if found.problems else (wanted, model)


def swept(wanted: Experiment, model: LoadedModel) -> tuple[Study, Result] | None:
    """A finished sweep and its answer; nothing while it waits for a person, or if it cannot be."""
    job = running.job_for(wanted, model)
    running.drive(job, draw_partly=lambda fraction: None)
    try:
        result = job.study.read(wanted, answer.HOVERED)
    except UserError as error:
        html.show(html.problem(str(error)))
        return None
    return (job.study, result) if job.finished else None
