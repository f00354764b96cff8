"""The main page: two texts, two tokens, one map, and what each cell of it means."""

import streamlit as st

from core.errors import UserError
from core.experiment import Experiment
from core.models import LoadedModel, named
from core.pair import Draft, draft
from core.result import Result
from pages.parts import answer, download, experiment, html, inputs, running


def page() -> None:
    st.header("Which activation carries the answer?")
    st.markdown(
        "Type two texts that differ in a word or two. Patchboard runs both, then copies **one"
        " activation at a time** from the clean run into the corrupted one: where the map turns"
        " blue, that activation carries the answer."
    )
    for message in st.session_state.notes:
        html.show(html.note(message))
    wanted = experiment.current()
    model = _model(wanted)
    read = draft(wanted, model.encoder, model.gpt.block_size) if model else Draft()
    inputs.texts(read)
    inputs.question(read, model)
    if model and read.texts_fit:
        job = running.job_for(wanted, model)
        if not read.problems:
            _answer(wanted, job)


def _model(wanted: Experiment) -> LoadedModel | None:
    """The model, or nothing and the reason on the page."""
    entry = named(wanted.model)
    if entry.location is None:
        download.offer(entry)
        return None
    try:
        return running.load(wanted.model)
    except UserError as error:
        html.show(html.problem(str(error)))
        return None


def _answer(wanted: Experiment, job: running.Job) -> None:
    study = job.study
    try:
        result = study.read(wanted, answer.HOVERED)
    except UserError as error:
        html.show(html.problem(str(error)))
        return
    beyond = answer.beyond(result)
    progress, chart = st.container(), st.empty()

    def read() -> Result:
        return answer.one_map(study.read(wanted, answer.HOVERED), beyond)

    def draw_partly() -> None:
        with chart:
            answer.still_heatmap(read())

    with progress:
        running.drive(job, draw_partly)
    shown = read()
    with chart:
        answer.heatmap(shown)
    if job.finished:
        answer.numbers(shown)
        answer.downloads(study, wanted, shown)
        st.subheader("What comes next?")
        answer.tables(study, shown, beyond)


page()
