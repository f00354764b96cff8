"""The page "Many pairs": one map over many sentences, how sure it is, and which disagree."""

from dataclasses import replace

import streamlit as st

from core import catalogue
from core.errors import UserError
from core.many.answer import Answer
from core.many.pairs import counted
from core.many.survey import Sample, Survey
from core.question.experiment import Experiment
from core.question.sites import SITES
from core.views.many_sentences import says
from pages.parts import (
    answer,
    experiment,
    frame,
    html,
    inputs,
    look,
    many_answer,
    pairs,
    predict,
    running,
    screening,
)
from pages.parts.brought import Given
from pages.parts.jobs import Job
from pages.parts.keeping import Shelf

_MAP_EVERY = 0.8  # seconds
_BEGUN = "begun_pairs"  # of which pairs a person has asked for a map
_HEADS = "head_z"  # the site that says which head
_PATCH = "pages/patching/patch.py"


def page() -> None:
    if many_answer.opens_one():
        st.switch_page(_PATCH)
    html.show(html.title("Does it hold for many sentences?"))
    left, right = st.columns((7, 3), gap="medium")
    with right:
        pairs.source(catalogue.named(experiment.current().model))
        options = st.container()
        for field in ("metric", "site", "direction"):
            inputs.choice(field, of_many=True)
    with left:
        on = frame.model_of(experiment.current())
    if on is None:
        return
    experiment.settle(on.model.card.layers)
    asked = replace(experiment.current(), clean="", corrupted="", target="", foil="")
    with left:
        given = pairs.given()
        sampled = given and _sampled(given, asked, on)
    with options:
        pairs.options(sampled is None or sampled.of.has_roles, asked.direction == "resample")
        inputs.options((asked, on))
        predict.switch()
    if sampled:
        _answer(asked, on, given, sampled, left)


def _sampled(given: Given, asked: Experiment, on: Shelf) -> Job | None:
    """Screening the pairs; nothing, and why on the page, if the model can use none."""
    choice = pairs.chosen()
    how = asked.bos, choice.roles, choice.rest

    def make() -> Job:
        sample = Sample(given.pairs, given.dropped, on.model, *how)
        return Job(sample.__iter__, sample.seconds, of=sample)

    try:
        return on.keep(None, ("sample", given.digest, *how), make)
    except UserError as error:
        screening.refuse(error, given, on)
        return None


def _surveyed(given: Given, sample: Sample, asked: Experiment, on: Shelf) -> Job:
    choice = pairs.chosen()

    def make() -> Job:
        survey = Survey(sample, asked, choice.keep, seed=seed)
        # The first map of some pairs is asked for; those of other sites then follow by themselves.
        is_new = st.session_state.get(_BEGUN) != given.digest
        return Job(survey.__iter__, *survey.estimate, of=survey, asked=is_new)

    seed = choice.resample_seed if asked.direction == "resample" else 0
    how = choice.keep, choice.roles, choice.rest, seed
    return on.keep(None, ("survey", given.digest, asked.sweep, *how), make)


def _answer(asked: Experiment, on: Shelf, given: Given, sampled: Job, left) -> None:
    sample: Sample = sampled.of
    with left:
        above, progress, chart, screened = st.container(), st.container(), st.empty(), st.empty()
    try:
        with progress:
            if not running.drive(sampled, label="Look at the pairs"):
                return
        on.share(sampled)
        surveyed = _surveyed(given, sample, asked, on)
        survey: Survey = surveyed.of
        many_answer.keep_look((given.digest, SITES[asked.site].axes))
        with above:
            pairs.warn_of_pack(given, on.model.entry, sample)
            screening.warn(given, on)
            column = _beyond(asked, sample)
        hidden = predict.hides((given.digest, asked, column, pairs.chosen()))
        if not survey.swept:
            with screened.container():
                screening.show(sample, survey)

        def read() -> Answer:
            choice = pairs.chosen()
            found = survey.read(asked, choice.of_ratios, draws=choice.draws or given.draws)
            return found if column is None else found.at(column)

        def draw_partly(fraction: float) -> None:
            if survey.swept and not hidden:
                screened.empty()
                # Nested as the whole map is below, which then takes the place of all of this: of a
                # container put in the place of another of the same run the browser keeps the rest.
                with chart.container(), st.container():
                    html.show(html.text(f"So far {counted(len(survey.swept), 'pair')}."))
                    many_answer.still(read(), key=f"map_at_{fraction}")

        with progress:
            label = f"Run {counted(len(survey.pairs), 'pair')}"
            finished = running.drive(surveyed, draw_partly, label, every=_MAP_EVERY)
        if not finished:
            return
        on.share(surveyed)
        st.session_state[_BEGUN] = given.digest
        found = read()
    except UserError as error:
        with progress:
            html.show(html.problem(str(error)))
        return
    screened.empty()
    if hidden:
        with above:
            predict.explain()
        with chart.container():
            predict.ask(found, answer.narrowest())
        return
    with above:
        html.show(html.text(says(found)))
        _offer_heads(asked)
    with chart.container():
        place = st.container()
        surprises = predict.came_out(found)
        with place:
            many_answer.show(found, surprises)
    with left:
        many_answer.downloads(found, given)
    many_answer.look_into(found, given, sample, survey, on)


def _offer_heads(asked: Experiment) -> None:
    """To who asks which head it is, of a site that does not say."""
    if "head" in SITES[asked.site].axes:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        html.show(html.text("Which head does it? That is another map:"), width="content")
        st.button(
            f"Patch “{SITES[_HEADS].title}”", on_click=experiment.enter, args=("site", _HEADS)
        )


def _beyond(asked: Experiment, sample: Sample) -> int | None:
    """Of a site by head and position: the column that the map is of."""
    if len(SITES[asked.site].axes) == 2:
        return None
    last = len(sample.columns) - 1
    now = st.session_state.get(look.POSITION)
    st.session_state[look.POSITION] = last if now is None else min(now, last)
    st.selectbox(
        "Role" if sample.has_roles else "Position",
        range(last + 1),
        format_func=lambda column: html.label(sample.columns[column]),
        key=look.POSITION,
    )
    return st.session_state[look.POSITION]


page()
