"""The inputs of an experiment, each with what was read from it, or what is wrong with it."""

from dataclasses import replace

import streamlit as st

from core.question.sites import SITES
from core.models import LoadedModel
from core.question.experiment import DIRECTIONS
from core.question.pair import Draft
from core.question.tokens import with_leading_space
from core.question.metrics import METRICS
from pages.parts import experiment, html


def texts(read: Draft) -> None:
    """Both texts side by side, and under them their tokens, position under position."""
    for column, field in zip(st.columns(2), ("clean", "corrupted"), strict=True):
        with column:
            st.text_area(f"{field.title()} text", key=experiment.widget_key(field), height=68)
            _problem(read, field)
    if read.clean or read.corrupted:
        html.show(html.ribbon(read.clean or (), read.corrupted or ()))


def question(read: Draft, model: LoadedModel | None) -> None:
    """What is asked of the two runs: target and foil, the metric, what is patched and which way."""
    now = experiment.current()
    target, foil, metric, site, direction = st.columns(5)
    with target:
        _contender("target", "clean", read, model)
    with foil:
        _contender("foil", "corrupted", read, model)
    with metric:
        st.selectbox(
            "Metric",
            METRICS,
            format_func=lambda name: METRICS[name].title,
            key=experiment.widget_key("metric"),
        )
        st.caption(METRICS[now.metric].says)
    with site:
        st.selectbox(
            "Patch",
            SITES,
            format_func=lambda name: SITES[name].title,
            key=experiment.widget_key("site"),
            on_change=_drop_what_only_resid_post_has,
        )
        st.caption(f"`{now.site}`, by {' and '.join(SITES[now.site].axes)}")
    with direction:
        st.selectbox(
            "Direction",
            DIRECTIONS,
            format_func=lambda name: DIRECTIONS[name].title,
            key=experiment.widget_key("direction"),
        )
        st.caption(DIRECTIONS[now.direction].asks)
        with st.popover("More options", type="tertiary"):
            only_resid_post = now.site != "resid_post"
            st.toggle(
                "Embedding row",
                key=experiment.widget_key("embedding"),
                help="Also patch the input of block 0: the token and position embedding.",
                disabled=only_resid_post,
            )
            st.number_input(
                "Layers more on either side",
                min_value=0,
                max_value=model.card.layers if model else None,
                key=experiment.widget_key("window"),
                help="Patch a window of layers around each layer at once.",
                disabled=only_resid_post,
            )
            st.toggle(
                "End-of-text first",
                key=experiment.widget_key("bos"),
                help="Begin both texts with the end-of-text token, as much published work does.",
            )


def _drop_what_only_resid_post_has() -> None:
    if st.session_state[experiment.widget_key("site")] != "resid_post":
        st.session_state[experiment.widget_key("embedding")] = False
        st.session_state[experiment.widget_key("window")] = 0


def _contender(field: str, side: str, read: Draft, model: LoadedModel | None) -> None:
    """Target or foil, and ways to have it filled in."""
    st.text_input(f"{field.title()} token", key=experiment.widget_key(field))
    _problem(read, field)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if token := getattr(read, field):
            html.show(html.token(token, side), width="content")
        st.button(
            f"{side.title()} top token",
            key=f"top_{field}",
            on_click=_use_top,
            args=(field, side),
            type="tertiary",
            icon=":material/low_priority:",
            help=f"Put in what the model expects most after the {side} text.",
            disabled=not read.texts_fit,
        )
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


def _problem(read: Draft, field: str) -> None:
    if field in read.problems:
        html.show(html.problem(str(read.problems[field])))


def _use_top(field: str, side: str) -> None:
    study = st.session_state.job.study
    state = study.clean_state if side == "clean" else study.corrupted_state
    _set(field, study.top(state, count=1)[0].token.text)


def _set(field: str, text: str) -> None:
    experiment.put(replace(experiment.current(), **{field: text}))
