"""The main page: two texts, two tokens, one map, and what each cell of it means."""

import streamlit as st

from core.errors import UserError
from core.question.experiment import Experiment
from core.result import Result
from pages.parts import answer, experiment, frame, html, inputs, running


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
    model = frame.model_of(wanted)
    read = frame.read(wanted, model)
    inputs.texts(read)
    inputs.question(read, model)
    if model and read.texts_fit:
        job = running.job_for(wanted, model)
        if not read.problems:
            _answer(wanted, job)


def _answer(wanted: Experiment, job: running.Job) -> None:
    study = job.study
    beyond = answer.beyond(study)
    progress, chart = st.container(), st.empty()

    def read() -> Result:
        return answer.one_map(study.read(wanted, answer.HOVERED), beyond)

    def draw_partly(fraction: float) -> None:
        with chart:
            answer.still_heatmap(read(), key=f"map_at_{fraction}")

    try:
        with progress:
            running.drive(job, draw_partly)
        shown = read()
    except UserError as error:
        html.show(html.problem(str(error)))
        return
    with chart:
        answer.heatmap(shown)
    if job.finished:
        answer.numbers(shown)
        answer.downloads(study, wanted, shown)
        st.subheader("What comes next?")
        answer.next_tokens(study, shown, beyond)
        answer.followed(study, wanted, shown)


page()
