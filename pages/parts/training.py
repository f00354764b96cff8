"""Which moment of its training the model is from: a slider over its checkpoints, or over the
revisions of its repository, and Play."""

import streamlit as st

from core import catalogue
from core.catalogue import Entry
from core.errors import UserError
from core.teaching import growth
from core.teaching.history import Checkpoint, end
from pages.parts import experiment, html, keeping, tables

_WATCHES, _STEP, _SEED = "watches_training", "training_step", "training_seed"  # widgets
_REVISION = "training_revision"
_NEXT = "training_next"  # a button
_LISTED = "listed_revisions"  # repository -> the names of its revisions, as models -> commits
_PLAYS = "training_plays"  # the page on which the next step follows by itself


def switch() -> None:
    """Of a model with checkpoints: whether a person watches it learn."""
    entry = catalogue.named(experiment.current().model)
    if catalogue.checkpoints(entry):
        st.session_state[_WATCHES] = _is_watched(entry)
        st.toggle(
            "Watch it learn",
            key=_WATCHES,
            on_change=_stop_watching,
            args=(entry,),
            help="Step through checkpoints of the model's training, from its very beginning on.",
        )


def panel(wide: bool = False) -> None:
    """While it is watched: the slider and what the model could do then, under it or, on a `wide`
    page, folded beside it."""
    entry = catalogue.named(experiment.current().model)
    if entry.is_repository:
        with st.container(key="training"):
            _revisions(entry)
        return
    there = catalogue.checkpoints(entry)
    if there and _is_watched(entry):
        at = entry.checkpoint or end(there)
        could = tables.growth(growth.shipped().behaviours, at)
        if not wide:
            with st.container(key="training"):
                _slider(entry, at, there)
                html.show(could)
            return
        left, right = st.columns((4, 5), gap="large")
        with left, st.container(key="training"):
            _slider(entry, at, there)
        with right, st.expander("What it could do at each step"):
            html.show(could)


def _is_watched(entry: Entry) -> bool:
    return entry.checkpoint is not None or st.session_state.get(_WATCHES, False)


def _slider(entry: Entry, at: Checkpoint, there: tuple[Checkpoint, ...]) -> None:
    steps = [checkpoint.step for checkpoint in there if checkpoint.seed == at.seed]
    st.session_state[_STEP], st.session_state[_SEED] = at.step, at.seed
    first = catalogue.at_checkpoint(entry.base, steps[0], at.seed)
    with st.container(horizontal=True, vertical_alignment="center", key="training_play"):
        _play_button(entry, first)
        st.segmented_control(
            "Seed",
            sorted({checkpoint.seed for checkpoint in there}),
            format_func=lambda seed: f"Seed {seed}",
            key=_SEED,
            required=True,
            on_change=_take,
            args=(entry,),
            label_visibility="collapsed",
        )
    st.select_slider(
        "Training step",
        steps,
        format_func=lambda step: f"{step:,}",
        key=_STEP,
        on_change=_take,
        args=(entry,),
    )


def _play_button(entry: Entry, first: str) -> None:
    """Play or pause; at the end, from the `first` model on."""
    following = _following(entry)
    if not following:
        st.session_state[_PLAYS] = None
    st.button(
        "Pause" if plays() else "Play",
        icon=":material/pause:" if plays() else ":material/play_arrow:",
        key="play_training",
        on_click=_play,
        args=(None if following else first,),
    )
    if plays():  # pressed by the browser, once it has drawn this step
        st.button("Next step", key=_NEXT, on_click=_enter, args=(following[0],))


def _revisions(entry: Entry) -> None:
    """The slider over the revisions of a repository: those that are here and, once a person has had
    them listed, all."""
    listed, here = _listed(entry), catalogue.revisions_here(entry)
    names = catalogue.in_order({entry.name, *here, *listed})
    if len(names) > 1:
        if len(here) > 1:
            _play_button(entry, here[0])
        st.session_state[_REVISION] = entry.name
        st.select_slider(
            f"Revision ({len(here)} of {len(names)} here)",
            names,
            format_func=lambda name: html.label(catalogue.named(name).of.revision),
            key=_REVISION,
            on_change=lambda: _pause_at(st.session_state[_REVISION]),
        )
    same = catalogue.same_weights(entry, keeping.cards)
    same += [name for name, commit in listed.items() if commit == listed.get(entry.name)]
    if same := catalogue.in_order({*same} - {entry.name}):
        html.show(html.note(f"{entry.name} has the same weights as {', '.join(same)}."))
    if not listed and st.button("List its revisions", icon=":material/list:", type="tertiary"):
        try:
            st.session_state.setdefault(_LISTED, {})[entry.of.repo] = catalogue.revisions(entry)
        except UserError as error:
            html.show(html.problem(str(error)))
            return
        st.rerun()


def _listed(entry: Entry) -> dict[str, str]:
    """The revisions of a repository as far as they were listed, and the commit of each."""
    return st.session_state.get(_LISTED, {}).get(entry.of.repo, {})


def _following(entry: Entry) -> list[str]:
    """The models that Play goes on to: later steps, or later revisions that are here."""
    if entry.is_repository:
        names = catalogue.in_order({entry.name, *catalogue.revisions_here(entry)})
        return names[names.index(entry.name) + 1 :]
    at = entry.checkpoint
    return [
        catalogue.at_checkpoint(entry.base, checkpoint.step, checkpoint.seed)
        for checkpoint in catalogue.checkpoints(entry)
        if at and checkpoint.seed == at.seed and checkpoint.step > at.step
    ]


def plays() -> bool:
    """Whether the browser (page.js) goes on to the next step by itself on the page that is open."""
    return st.session_state.get(_PLAYS) == st.session_state.page


def _play(first: str | None) -> None:
    """Play or pause, as a callback; from the model `first` on, if there is one."""
    st.session_state[_PLAYS] = None if plays() else st.session_state.page
    if plays() and first:
        _enter(first)


def _take(entry: Entry) -> None:
    """Let the model be that of the slider, as a callback."""
    step, seed = st.session_state[_STEP], st.session_state[_SEED]
    _pause_at(catalogue.at_checkpoint(entry.base, step, seed))


def _stop_watching(entry: Entry) -> None:
    """Back to the model itself, as a callback."""
    _pause_at(entry.base)


def _pause_at(name: str) -> None:
    """As a callback of what a person has moved. A browser that is slow to draw presses "Next step"
    while its slider still tells of the step before: nobody has moved it then."""
    if not st.session_state.get(_NEXT):
        st.session_state[_PLAYS] = None
        _enter(name)


def _enter(name: str) -> None:
    experiment.enter("model", name)
