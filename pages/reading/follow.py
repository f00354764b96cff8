"""The page "Follow it back": what reaches the answer directly, and what reaches that."""

from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.errors import UserError
from core.following import Follow
from core.question import receivers
from core.question.components import Component
from core.question.experiment import Experiment
from core.question.receivers import Receiver
from core.result import FROZEN, PathMap
from core.views import colours, names, path_files, path_maps
from core.views.run_figures import attention_map
from core.views.sentences import DIRECT, sends
from core.views.words import colours_mean, embedding_sends, sender, sign, summary
from pages.parts import answer, frame, html, inputs, keeping, onward, running, trail
from pages.parts.jobs import Job
from pages.parts.keeping import Shelf

_RECEIVER = "trail_receiver"  # a widget
_BETWEEN = {
    "all": "all heads and MLPs frozen",
    "heads": "heads frozen, MLPs recomputed",
}
_PARTS = ("q", "k", "v")
_AGAINST = ("Its effect in all", "Direct logit attribution")


def page() -> None:
    given = frame.given()
    inputs.choices(given, "metric", "direction")
    if given:
        with frame.answer_part("rest"):
            _follow(replace(given[0], site="resid_post", embedding=False, window=0), given[1])


def _follow(wanted: Experiment, on: Shelf) -> None:
    _crumbs()
    if not running.drive(keeping.plain_job(wanted, on)):
        return
    plain = keeping.plain_runs(wanted, on)
    config = on.model.card.layers, on.model.gpt.config.n_head, plain.T
    try:
        receiver = receivers.parse(trail.steps()[-1], *config)
    except UserError as error:
        html.show(html.problem(str(error)))
        return
    into = _into(receiver)
    frozen = st.session_state[trail.FROZEN_KEY]

    def make() -> Job:
        follow = Follow(wanted, on.model, into, frozen, plain)
        return Job(follow.__iter__, *follow.estimate, of=follow)

    job = on.keep(wanted.texts, ("follow", wanted.direction, tuple(into), frozen), make)
    if not running.drive(job):
        return
    try:
        maps = list(job.of.read(wanted).values())
    except UserError as error:
        html.show(html.problem(str(error)))
        return
    beside = _maps(maps)
    if receiver.kind == "logits":
        with beside:
            _against(wanted, on, maps[0])
    elif receiver.head is not None:
        _attention(plain, receiver)
    onward.to_set(_met(config), "Add the trail to the set")
    _downloads(maps)


def _met(config: tuple[int, int, int]) -> tuple[Component, ...]:
    """The heads and MLPs on the trail."""
    met = []
    for step in trail.steps():
        with suppress(UserError):  # an address may name steps that are none
            of = receivers.parse(step, *config)
            if of.layer is not None:
                kind = "mlp" if of.kind == "mlp" else "head"
                met.append(Component(kind, of.layer, of.head))
    return tuple(dict.fromkeys(met))


def _into(receiver: Receiver) -> list[str]:
    """All that is shown of a receiver: of a whole head its query, its key and its value."""
    if receiver.kind != "qkv":
        return [str(receiver)]
    return [str(replace(receiver, kind=part)) for part in _PARTS]


def _crumbs() -> None:
    """The trail, each step a way back, the last one to be typed over; and what is frozen."""
    *before, last = trail.steps()
    with st.container(horizontal=True, vertical_alignment="bottom", key="trail"):
        for number, step in enumerate(before):
            st.button(
                html.label(step),
                key=f"trail_{number}",
                on_click=trail.go_back,
                args=(number,),
                icon=":material/arrow_back:",
            )
        st.session_state[_RECEIVER] = last
        st.text_input(
            "What feeds",
            key=_RECEIVER,
            on_change=lambda: trail.replace_last(st.session_state[_RECEIVER]),
            width=150,
            help="logits, a head such as 4.3 or its 4.3.q, 4.3.k or 4.3.v, the input of an MLP such"
            " as mlp2; at one position as 4.3.q@9.",
        )
        st.selectbox(
            "Between them",
            FROZEN,
            format_func=_BETWEEN.get,
            key=trail.FROZEN_KEY,
            width=330,
            help="What is held as it is on the unpatched run, so that only the direct path carries"
            " the patch. Wang et al. (2022) freeze the heads alone.",
        )


def _maps(maps: list[PathMap]) -> DeltaGenerator:
    """Side by side on one scale; a click on a sender goes on from there. Gives what is beside a
    single one."""
    within = max(map(colours.reach, maps))
    says = " ".join(map(sends, maps))
    if not any(np.isfinite(path_map.values).any() for path_map in maps):
        html.show(html.text(f"{says} No head and no MLP comes before it: here the trail ends."))
        for path_map in maps:
            html.show(html.caption(f"The {embedding_sends(path_map)}."))
        return st.container()
    html.show(html.text(f"{says} Click a sender to ask what feeds it."))
    columns = st.columns([6, 4] if len(maps) == 1 else len(maps))
    for column, path_map in zip(columns, maps, strict=False):
        with column:
            key = f"paths_{path_map.receiver}"
            st.plotly_chart(
                path_maps.heatmap(path_map, within),
                key=key,
                on_select=partial(_take_click, key, path_map, trail.steps()),
                selection_mode="points",
                config=answer.MODEBAR,
                alt="Heatmap of what each head and MLP sends; its numbers are in the CSV file.",
            )
            html.show(html.caption(f"The {embedding_sends(path_map)}."))
    first = maps[0]
    says = f"{summary(first)[:1].upper()}{summary(first)[1:]}. {colours_mean(first)} {sign(first)}"
    html.show(html.caption(f"{says} {DIRECT}"))
    return columns[-1]


def _take_click(key: str, path_map: PathMap, steps: tuple[str, ...]) -> None:
    if points := st.session_state[key].selection.points:
        row, column, *_ = points[0]["customdata"]
        if np.isfinite(path_map.values[int(row), int(column)]):  # the others come too late
            trail.go_on(steps, sender(path_map, int(row), int(column)))


def _against(wanted: Experiment, on: Shelf, paths: PathMap) -> None:
    """Of each head what it does directly beside what it does in all."""
    swept = frame.swept(replace(wanted, site="head_z"), on)
    if swept is None:
        return
    study, total = swept
    metric = wanted.metric
    others = {_AGAINST[0]: total.grids[metric] - total.plain(metric)}
    if total.other is not None and metric == "logit_diff":
        ids = paths.target.id, paths.foil.id
        put_in, into = (
            study.plain.attribution(side, *ids).heads.cpu().numpy()
            for side in (total.other, total.unpatched)
        )
        others[_AGAINST[1]] = put_in - into
    chosen = st.radio("Beside the direct effect", others, key="direct_against", horizontal=True)
    figure = path_maps.direct_against(paths, others[chosen], chosen.lower())
    st.plotly_chart(figure, key="direct_and_total", config=answer.MODEBAR)
    says = (
        "On the diagonal a head does directly all that it does. Off it, others carry on what it"
        " does, or repair it."
        if chosen == _AGAINST[0]
        else "Attribution reads the same path without running it, with the scale of the final"
        " LayerNorm as it is on each run."
    )
    html.show(html.caption(f"{says} A point is a head, the strongest named; MLPs are on the map."))


def _attention(plain, receiver: Receiver) -> None:
    """Where the receiver looks, on both runs."""
    st.subheader(f"Where head {receiver.head} of layer {receiver.layer} reads")
    for column, (side, tokens) in zip(st.columns(2), plain.tokens.items(), strict=True):
        with column:
            pattern = plain.attention(side, receiver.layer, receiver.head)
            st.markdown(f"**{side.title()} run**: each row is a position, and what it reads")
            st.plotly_chart(attention_map(pattern, tokens), key=f"follow_attention_{side}")


def _downloads(maps: list[PathMap]) -> None:
    within = max(map(colours.reach, maps))
    for path_map in maps:
        name = names.stem(path_map)
        pictures = [
            replace(file, label=f"{file.label}: {path_map.receiver}")
            for file in answer.pictures(path_map)
        ]
        answer.file_row(
            *pictures,
            answer.File(
                f"CSV: {path_map.receiver}", f"{name}.csv", partial(path_files.paths_csv, path_map)
            ),
            answer.File(
                f"JSON: {path_map.receiver}",
                f"{name}.json",
                partial(path_files.paths_json, path_map, within),
            ),
        )


page()
