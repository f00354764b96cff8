"""The main page: two texts, two tokens, one map, and what each cell of it means."""

import streamlit as st

from core.errors import UserError
from core.question.experiment import Experiment
from core.result import Result
from core.study import draft_for
from core.views import words
from pages.parts import answer, doubts, experiment, frame, html, inputs, keeping, running
from pages.parts.keeping import Shelf


def page() -> None:
    st.header("Which activation carries the answer?")
    st.markdown(
        "Type two texts that differ in a word or two. Patchboard runs both, then copies **one"
        " activation at a time** from the clean run into the corrupted one: where the map turns"
        " blue, that activation carries the answer."
    )
    for message in st.session_state.notes:
        html.show(html.note(message))
    on, draft = frame.own_model()
    inputs.texts(draft)
    if on and draft.texts_fit:
        inputs.fill_in(experiment.current(), on)
        draft = draft_for(experiment.current(), on.model)
    inputs.question(draft, on and on.model)
    if on and not draft.problems:
        _answer(experiment.current(), on)


def _answer(wanted: Experiment, on: Shelf) -> None:
    job = keeping.study_job(wanted, on)
    study = job.of
    beyond = answer.beyond(study.axes, study.plain.tokens)
    progress, above, chart = st.container(), st.container(), st.empty()

    def shown() -> Result:
        return answer.one_map(study.read(wanted, answer.HOVERED), beyond)

    def draw_partly(fraction: float) -> None:
        if study.plain.recorded:
            with chart:
                answer.still_heatmap(shown(), key=f"map_at_{fraction}")

    try:
        with progress:
            finished = running.drive(job, draw_partly)
        if not study.plain.recorded:
            return
        result = shown()
    except UserError as error:
        html.show(html.problem(str(error)))
        return
    with above:
        doubts.show(study, result)
    with chart:
        answer.heatmap(result)
    st.caption(words.colours_mean(result))
    if finished:
        answer.numbers(result)
        answer.downloads(study, wanted, result)
        st.subheader("What comes next?")
        answer.next_tokens(study, result, beyond)
        answer.followed(on, study, wanted, result)


page()
