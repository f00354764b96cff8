"""The main page: two texts, two tokens, one map, and what each cell of it means."""

import streamlit as st

from core.errors import UserError
from core.experiment import Experiment
from core.models import LoadedModel, named
from core.pair import Draft, draft
from pages.parts import answer, experiment, html, inputs, running

HOVERED = ("logit_diff", "recovery")  # besides the experiment's own metric


def page() -> None:
    st.title("Which activation carries the answer?")
    st.markdown(
        "Two texts, alike but for a word or two, and two tokens that compete to come next."
        " Patchboard runs both texts, then copies **one activation at a time** from one run into"
        " the other and shows what that does to the prediction."
    )
    for message in st.session_state.notes:
        html.show(html.note(message))
    wanted = experiment.current()
    model = _model(wanted)
    read = draft(wanted, model.encoder, model.gpt.block_size) if model else Draft()
    inputs.texts(read)
    inputs.contenders(read, model)
    inputs.measure()
    if model and read.texts_fit:
        job = running.job_for(wanted, model)
        if not read.problems:
            _answer(wanted, job)


def _model(wanted: Experiment) -> LoadedModel | None:
    """The model, or nothing and the reason on the page."""
    entry = named(wanted.model)
    try:
        if entry.location is None:
            raise UserError(f"{entry.title} has to be downloaded before it can be used.", "model")
        return running.load(wanted.model)
    except UserError as error:
        html.show(html.problem(str(error)))
        return None


def _answer(wanted: Experiment, job: running.Job) -> None:
    study = job.study
    try:
        result = study.read(wanted, HOVERED)
    except UserError as error:
        html.show(html.problem(str(error)))
        return
    html.show(html.baselines(result))
    progress, chart = st.container(), st.empty()

    def draw_partly() -> None:
        with chart:
            answer.unfinished_heatmap(study.read(wanted, HOVERED))

    with progress:
        running.drive(job, draw_partly)
    result = study.read(wanted, HOVERED)
    with chart:
        answer.heatmap(result)
    if job.finished:
        answer.cell(result)
        answer.downloads(study, result)
        st.subheader("What comes next?")
        answer.tables(study, result)


page()
