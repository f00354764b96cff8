"""The inputs of an experiment, each with what was read from it, or what is wrong with it."""

from dataclasses import replace

import streamlit as st

from core.experiment import DIRECTIONS
from core.metrics import METRICS
from core.models import LoadedModel
from core.pair import Draft
from core.tokens import with_leading_space
from pages.parts import experiment, html


def texts(read: Draft) -> None:
    """Both texts side by side, and under them their tokens, position under position."""
    for column, field in zip(st.columns(2), ("clean", "corrupted"), strict=True):
        with column:
            st.text_area(f"{field.title()} text", key=experiment.widget_key(field), height=80)
            _problem(read, field)
    if read.clean or read.corrupted:
        html.show(html.ribbon(read.clean or (), read.corrupted or ()))


def contenders(read: Draft, model: LoadedModel | None) -> None:
    """Target and foil, and ways to have them filled in."""
    pairs = (("target", "clean"), ("foil", "corrupted"))
    for column, (field, side) in zip(st.columns(2), pairs, strict=True):
        with column:
            st.text_input(f"{field.title()} token", key=experiment.widget_key(field))
            if token := getattr(read, field):
                html.show(html.token(token, side))
            _problem(read, field)
            with st.container(horizontal=True):
                _offer_space(field, model)
                st.button(
                    f"Use the {side} run’s top token",
                    key=f"top_{field}",
                    on_click=_use_top,
                    args=(field, side),
                    disabled=not read.texts_fit,
                )


def measure() -> None:
    """Metric, direction, and what else is patched or read."""
    metric, direction, options = st.columns((2, 2, 3), vertical_alignment="bottom")
    with metric:
        st.selectbox(
            "Metric",
            METRICS,
            format_func=lambda name: METRICS[name].title,
            key=experiment.widget_key("metric"),
        )
    with direction:
        st.segmented_control(
            "Direction",
            DIRECTIONS,
            format_func=str.title,
            key=experiment.widget_key("direction"),
            required=True,
        )
    with options, st.container(horizontal=True):
        st.toggle(
            "Embedding row",
            key=experiment.widget_key("embedding"),
            help="Also patch the input of block 0: the token and position embedding.",
        )
        st.toggle(
            "Begin with end-of-text",
            key=experiment.widget_key("bos"),
            help="Put GPT-2’s end-of-text token before both texts, as much published work does.",
        )
    now = experiment.current()
    st.caption(f"{METRICS[now.metric].says} {DIRECTIONS[now.direction]}")


def _problem(read: Draft, field: str) -> None:
    if field in read.problems:
        html.show(html.problem(str(read.problems[field])))


def _offer_space(field: str, model: LoadedModel | None) -> None:
    typed = getattr(experiment.current(), field)
    if model and (spaced := with_leading_space(typed, model.encoder)):
        st.button(
            "Put a space before it",
            key=f"space_{field}",
            on_click=_set,
            args=(field, spaced),
            type="primary",
            help="Within a text, a word’s token begins with its space.",
        )


def _use_top(field: str, side: str) -> None:
    study = st.session_state.job.study
    state = study.clean_state if side == "clean" else study.corrupted_state
    _set(field, study.top(state, count=1)[0].token.text)


def _set(field: str, text: str) -> None:
    experiment.put(replace(experiment.current(), **{field: text}))
