"""The inputs of an experiment, each with what was read from it, or what is wrong with it."""

import streamlit as st

from core.models import LoadedModel
from core.question.experiment import DIRECTIONS, Experiment
from core.question.metrics import METRICS
from core.question.pair import Draft
from core.question.sites import SITES
from core.question.tokens import Token, can_be_typed, with_leading_space
from pages.parts import experiment, html, keeping, running
from pages.parts.keeping import Shelf

# What of the session holds the field that a run's likeliest token is wanted in, and the run.
_WANTED = "wanted_top"


def texts(draft: Draft) -> None:
    """Both texts side by side, and under them their tokens, position under position."""
    for column, field in zip(st.columns(2), ("clean", "corrupted"), strict=True):
        with column:
            st.text_area(f"{field.title()} text", height=68, **experiment.widget(field))
            _problem(draft, field)
    if draft.clean or draft.corrupted:
        html.show(html.ribbon(draft.clean or (), draft.corrupted or ()))


def question(draft: Draft, model: LoadedModel | None) -> None:
    """What is asked of the two runs: target and foil, the metric, what is patched and which way."""
    now = experiment.current()
    target, foil, metric, site, direction = st.columns(5)
    with target:
        _contender("target", "clean", draft, model)
    with foil:
        _contender("foil", "corrupted", draft, model)
    with metric:
        st.selectbox(
            "Metric",
            METRICS,
            format_func=lambda name: METRICS[name].title,
            **experiment.widget("metric", tuple(METRICS)),
        )
        st.caption(METRICS[now.metric].says)
    with site:
        st.selectbox(
            "Patch",
            SITES,
            format_func=lambda name: SITES[name].title,
            **experiment.widget("site", tuple(SITES)),
        )
        st.caption(f"`{now.site}`, by {' and '.join(SITES[now.site].axes)}")
    with direction:
        st.selectbox(
            "Direction",
            DIRECTIONS,
            format_func=lambda name: DIRECTIONS[name].title,
            **experiment.widget("direction", tuple(DIRECTIONS)),
        )
        st.caption(DIRECTIONS[now.direction].asks)
        with st.popover("More options", type="tertiary"):
            only_resid_post = now.site != "resid_post"
            st.toggle(
                "Embedding row",
                **experiment.widget("embedding"),
                help="Also patch the input of block 0: the token and position embedding.",
                disabled=only_resid_post,
            )
            st.number_input(
                "Layers more on either side",
                min_value=0,
                max_value=max(0, model.card.layers - 1) if model else None,
                **experiment.widget("window"),
                help="Patch a window of layers around each layer at once.",
                disabled=only_resid_post,
            )
            st.toggle(
                "End-of-text first",
                **experiment.widget("bos"),
                help="Begin both texts with the end-of-text token, as much published work does.",
            )


def _contender(field: str, side: str, draft: Draft, model: LoadedModel | None) -> None:
    """Target or foil, and ways to have it filled in."""
    st.text_input(f"{field.title()} token", **experiment.widget(field))
    _problem(draft, field)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if token := getattr(draft, field):
            html.show(html.token(token, side), width="content")
        st.button(
            f"{side.title()} top token",
            key=f"top_{field}",
            on_click=_want_top,
            args=(field, side),
            type="tertiary",
            icon=":material/low_priority:",
            help=f"Put in what the model expects most after the {side} text.",
            disabled=not draft.texts_fit,
        )
    typed = getattr(experiment.current(), field)
    if model and with_leading_space(typed, model.encoder):
        st.button(
            "Put a space before it",
            key=f"space_{field}",
            on_click=experiment.prepend,
            args=(field, " "),
            type="primary",
            help="Within a text, a word’s token begins with its space.",
        )


def _problem(draft: Draft, field: str) -> None:
    if field in draft.problems:
        html.show(html.problem(str(draft.problems[field])))


def _want_top(field: str, side: str) -> None:
    """Remembered until the texts as they now stand have been run: what was typed into them may
    have come together with the click."""
    st.session_state[_WANTED] = (field, side)


def fill_in(asked: Experiment, on: Shelf) -> None:
    """Put in the token that a person has asked for, before its field is drawn."""
    field, side = st.session_state.get(_WANTED, (None, None))
    if field is None or not running.drive(keeping.plain_job(asked, on)):
        return
    del st.session_state[_WANTED]
    plain = keeping.plain_runs(asked, on)
    likeliest, *others = (row.token for row in plain.top(plain.state(side).states))
    fitting = (token for token in (likeliest, *others) if can_be_typed(token, on.model.encoder))
    chosen = next(fitting, None)
    if chosen is not likeliest:
        html.show(html.note(_cannot_be_typed(likeliest, side, chosen)))
    if chosen:
        experiment.fill(field, chosen.text)


def _cannot_be_typed(likeliest: Token, side: str, chosen: Token | None) -> str:
    instead = f"the next that can, {chosen.label}, is put in" if chosen else "nothing is put in"
    return (
        f"The likeliest token after the {side} text, {likeliest.label} (id {likeliest.id}), cannot"
        f" be typed, being no text of its own: {instead}."
    )
