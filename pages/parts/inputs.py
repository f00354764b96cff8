"""The inputs of an experiment, each with what was read from it, or what is wrong with it."""

import streamlit as st

from core.question.experiment import DIRECTIONS, OF_ONE, Experiment
from core.question.metrics import METRICS
from core.question.pair import Draft
from core.question.sites import SITES
from core.question.tokens import Token, can_be_typed, count_before, with_leading_space
from core.views.colour_bar import VIEWS
from pages.parts import chips, experiment, html, keeping, look, running, suggestions
from pages.parts.keeping import Shelf

TEXTS = {"clean": "Clean text", "corrupted": "Corrupted text"}
CONTENDERS = {"target": "clean", "foil": "corrupted"}  # and the run that each should win
_CHOICES = {"metric": METRICS, "site": SITES, "direction": DIRECTIONS}
# What of the session holds the field that a run's likeliest token is wanted in, and the run.
_WANTED = "wanted_top"


def typed(draft: Draft, on: Shelf | None) -> None:
    """Both texts and both tokens that compete, and under them all that was read from them,
    position under position. Without a model nothing is read, and nothing is offered."""
    columns = st.columns((4, 4, 4))
    for column, (field, label) in zip(columns, TEXTS.items(), strict=False):
        with column:
            st.text_area(label, height=68, **experiment.widget(field))
            _flag_blank_end(field)
    with columns[-1], st.container(key="contenders"):
        for column, (field, side) in zip(st.columns(2), CONTENDERS.items(), strict=True):
            with column:
                _contender(field, side, draft, on)
    if draft.clean or draft.corrupted:
        first = count_before(on.model.encoder, experiment.current().bos) if on else None
        html.show(chips.ribbon(draft.clean or (), draft.corrupted or (), first))
    suggestions.swaps(draft, on)


def _flag_blank_end(field: str) -> None:
    text = getattr(experiment.current(), field)
    if text.strip() and (end := text[len(text.rstrip()) :]):
        st.button(
            f"Ends with a {'newline' if chr(10) in end else 'space'}: drop it",
            key=f"trim_{field}",
            on_click=experiment.trim,
            args=(field,),
            type="tertiary",
            help="A word comes with its own space before it, so what comes next is then seldom a"
            " word.",
        )


def _contender(field: str, side: str, draft: Draft, on: Shelf | None) -> None:
    """Target or foil, as what it was read, and ways to have it mended or filled in."""
    st.text_input(f"{field.title()} token", **experiment.widget(field))
    with st.container(horizontal=True, vertical_alignment="center", key=f"read_{field}"):
        if token := getattr(draft, field):
            html.show(chips.token(token, side), width="content")
        if on and with_leading_space(getattr(experiment.current(), field), on.model.encoder):
            st.button(
                "Put a space before it",
                key=f"space_{field}",
                on_click=experiment.prepend_space,
                args=(field,),
                type="primary",
                icon=":material/space_bar:",
                help="Put a space before it: within a text, a word’s token begins with its space.",
            )
        st.button(
            f"{side.title()} top token",
            key=f"top_{field}",
            on_click=_want_top,
            args=(field, side),
            type="tertiary",
            icon=":material/low_priority:",
            help=f"Put in what the model expects most after the {side} text.",
            disabled=on is None or not draft.texts_fit,
        )
        suggestions.slot(field, "instead")

    suggestions.slot(field, "standing")


def choice(field: str, of_many: bool = False) -> None:
    """The metric, the site or the direction: `of_many` pairs there are more than of one, of which
    one that was chosen there stays, as `frame.ask` says what it is about."""
    now, among = experiment.current(), _CHOICES[field]
    if field == "direction" and not of_many:
        among = {name: among[name] for name in dict.fromkeys((*OF_ONE, now.direction))}
    says = {
        "metric": METRICS[now.metric].says,
        "site": f"`{now.site}`, by {' and '.join(SITES[now.site].axes)}",
        "direction": DIRECTIONS[now.direction].asks,
    }
    st.selectbox(
        "Patch" if field == "site" else field.title(),
        among,
        format_func=lambda name: among[name].title,
        help=says[field],
        **experiment.widget(field, tuple(among)),
    )


def choices(given: tuple[Experiment, Shelf] | None, *fields: str) -> None:
    """Some of them side by side, and what is seldom changed."""
    *columns, last = st.columns((*[4] * len(fields), 2), vertical_alignment="bottom")
    for column, field in zip(columns, fields, strict=True):
        with column:
            choice(field)
    with last:
        options(given)


def options(given: tuple[Experiment, Shelf] | None, views: bool = False) -> None:
    """What is seldom changed, on the model of what the page is `given`; for a page with `views` of
    its map, also which."""
    only_resid_post = experiment.current().site != "resid_post"
    with st.popover("More options", type="tertiary"):
        if views:
            st.segmented_control("View", VIEWS, format_func=VIEWS.get, required=True, key=look.VIEW)
        st.toggle(
            "Embedding row",
            **experiment.widget("embedding"),
            help="Also patch the input of block 0: the token and position embedding.",
            disabled=only_resid_post or look.view() == "assignment",  # which has layers alone
        )
        st.number_input(
            "Layers more on either side",
            min_value=0,
            max_value=max(0, given[1].model.card.layers - 1) if given else None,
            **experiment.widget("window"),
            help="Patch a window of layers around each layer at once: a joint effect.",
            disabled=not SITES[experiment.current().site].window,
        )
        st.toggle(
            "End-of-text first",
            **experiment.widget("bos"),
            help="Begin both texts with the end-of-text token, as much published work does.",
        )


def _want_top(field: str, side: str) -> None:
    """Remembered until the texts as they now stand have been run: what was typed into them may
    have come together with the click."""
    st.session_state[_WANTED] = (field, side)


def other_foil() -> None:
    """A foil that is not the target."""
    st.button("Take what the corrupted run expects", on_click=_want_top, args=("foil", "corrupted"))


def fill_in(asked: Experiment, on: Shelf) -> None:
    """Put in the token that a person has asked for, before its field is drawn: the likeliest that
    can be typed, and is not what it competes with."""
    field, side = st.session_state.get(_WANTED, (None, None))
    if field is None or not running.drive(keeping.plain_job(asked, on)):
        return
    del st.session_state[_WANTED]
    plain = keeping.plain_runs(asked, on)
    (other,) = CONTENDERS.keys() - {field}
    likeliest, *others = (row.token for row in plain.top(plain.state(side).states))
    typed = [t for t in (likeliest, *others) if can_be_typed(t, on.model.encoder)]
    chosen = next((token for token in typed if token.text != getattr(asked, other)), None)
    if chosen is not likeliest:
        why = (
            f"is the {other}" if likeliest in typed else "cannot be typed, being no text of its own"
        )
        html.show(html.note(_instead(likeliest, side, why, chosen)))
    if chosen:
        experiment.fill(field, chosen.text)


def _instead(likeliest: Token, side: str, why: str, chosen: Token | None) -> str:
    instead = f"the next that can be, {chosen.label}, is put in" if chosen else "nothing is put in"
    return (
        f"The likeliest token after the {side} text, {likeliest.label} (id {likeliest.id}), {why}:"
        f" {instead}."
    )
