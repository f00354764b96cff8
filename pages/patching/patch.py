"""The main page: one map, and what each cell of it means."""

import streamlit as st

from core import presets
from core.errors import UserError
from core.question import places
from core.question.experiment import Experiment
from core.result import Result
from core.views import colour_bar
from pages.parts import (
    answer,
    continuing,
    doubts,
    frame,
    html,
    inputs,
    keeping,
    look,
    onward,
    predict,
    running,
    suggestions,
    tables,
    training,
)
from pages.parts.keeping import Shelf


def page() -> None:
    given = frame.given()
    if not frame.has_model():
        training.panel()  # to step on from a revision that is not here
        return
    left, right = st.columns((7, 3), gap="medium")
    with right:
        training.panel()
        for field in ("metric", "site", "direction"):
            inputs.choice(field)
        with st.container(horizontal=True, vertical_alignment="center"):
            inputs.options(given, views=True)
            training.switch()
            predict.switch()
    if given:
        _answer(*given, left, right)


def _answer(wanted: Experiment, on: Shelf, left, right) -> None:
    job = keeping.study_job(wanted, on)
    study = job.of
    with left:
        beyond = answer.beyond(study.axes, study.plain.tokens)
        hidden = predict.hides((wanted, beyond))
        above, chart = frame.answer_part("reading"), frame.answer_part("map")
        with above:
            if hidden:
                predict.explain()
            else:
                html.show(html.hold())
        progress = st.container()
    slots = []

    def shown() -> Result:
        return answer.one_map(study.read(wanted, answer.HOVERED), beyond)

    def draw_partly(fraction: float) -> None:
        """Into one slot, made when it is first needed: until then the map before stays there."""
        if not study.plain.recorded or hidden:
            return
        if not slots:
            with chart:
                slots.append(st.empty())
        with slots[0]:
            answer.still_heatmap(shown(), key=f"map_at_{fraction}")

    try:
        with progress:
            finished = running.drive(job, draw_partly)
        if not study.plain.recorded:
            return
        result = shown()
    except UserError as error:
        with chart:
            html.show(html.problem(str(error)))
        return
    suggestions.of_tokens(study, result)
    if hidden:
        if finished:
            with chart:
                predict.ask(result, answer.narrowest())
            with right, frame.answer_part("baselines"):
                html.show(tables.baselines(result))
        return
    with right:
        surprises = predict.came_out(result) if finished else ()
    with above:
        if at := answer.selected(result):
            place = places.of_cell(wanted, (*at, *beyond)) if finished else None
            onward.from_cell(result, at, wanted, place)
        elif not frame.is_answered():  # no advice about what is not in the inputs any more
            html.show(html.hold())
        elif not doubts.show(study, result):
            seen = colour_bar.paint(result, look.view()).result
            html.show(tables.reading(seen, presets.of(wanted)))
    with slots[0] if slots else chart:
        answer.heatmap(result, surprises)
    if not finished:
        return
    with right, frame.answer_part("baselines"):
        html.show(tables.baselines(result))
    with frame.answer_part("rest"):
        answer.chosen(result)
        answer.downloads(study, wanted, result)
        st.subheader("What comes next?")
        answer.next_tokens(study, result, beyond)
        answer.followed(on, study, wanted, result)
        if at:
            continuing.show(wanted, on, place)


page()
