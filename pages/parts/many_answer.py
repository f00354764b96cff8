"""The finished map over many pairs: its files, its parts, and what every pair says in a cell."""

from collections.abc import Hashable, Sequence
from functools import partial

import streamlit as st

from core.errors import UserError
from core.guess import Surprise
from core.many.answer import Answer
from core.many.fitting import alone
from core.many.survey import Sample, Survey
from core.many.values import Swept
from core.question.experiment import Experiment
from core.question.tokens import token
from core.views import many_figures, many_files, many_maps, names
from core.views.many_sentences import differ_in
from core.views.words import caption, effects_differ, marks_mean, number
from pages.parts import answer, chips, experiment, html, look, pairs, predict, screening
from pages.parts.brought import Given
from pages.parts.keeping import Shelf

_CHOSEN = "chosen_pair"  # the line of one
_LOOK = "look_at_pairs"  # at which map, and how
_OPENS = "opens_pair"  # by itself, on the page of one pair
_TABLE, _STRIP = "pairs_farthest", "pairs_strip"
_FARTHEST = 200  # pairs of a table


def opens_one() -> bool:
    """Whether a pair is to be opened by itself, on the page of one pair: said once."""
    return st.session_state.pop(_OPENS, False)


def keep_look(of: Hashable) -> None:
    """Look at the map of some pairs and axes, which `of` stands for, as before where a person comes
    back to the page; a cell that was chosen on another map is none of this one."""
    was_of, query = st.session_state.get(_LOOK, (of, {}))
    if st.session_state.came_by == "page" and was_of == of:
        look.take(query)
    elif not st.session_state.came_by and was_of != of:
        look.choose(None, None)
    st.session_state[_LOOK] = (of, look.to_query())


def show(found: Answer, surprises: tuple[Surprise, ...] = ()) -> None:
    """The map, to hover and click."""
    cells = [surprise[:2] for surprise in surprises]
    st.plotly_chart(
        many_maps.heatmap(found, answer.selected(found), surprises=cells),
        key=answer.CHART,
        on_select=partial(answer.take_click, found.rows),
        selection_mode="points",
        config=answer.MODEBAR,
        alt="Heatmap of the mean over pairs by what was patched; its numbers are in the files.",
    )
    html.show(html.caption(f"{caption(found)} {marks_mean(found)}"))


def still(found: Answer, key: str, beside: Sequence[Answer] = ()) -> None:
    """The map to hover only: of the pairs so far, or one `beside` others."""
    figure = many_maps.heatmap(found, beside=beside, clickable=False)
    st.plotly_chart(figure, key=key, config=answer.MODEBAR)


def downloads(found: Answer, given: Given) -> None:
    """The files, and all of them in one."""
    name = names.stem_of_many(found, given.source)
    offered = {kind: f"map.{kind}" for kind in ("png", "svg", "pdf")}
    offered |= {"csv": "summary.csv", "json": "answer.json"}
    about = {"pairs": given.digest, "address": pairs.to_query()}
    if guessed := predict.said(found):
        about["guess"] = guessed
    made = many_files.files(found, about)
    answer.file_row(
        answer.File(
            "All of it: ZIP", f"{name}.zip", partial(many_files.zipped, found, about), found
        ),
        *(
            answer.File(kind.upper(), f"{name}.{kind}", made[file])
            for kind, file in offered.items()
        ),
    )


def look_into(found: Answer, given: Given, sample: Sample, survey: Survey, on: Shelf) -> None:
    """The chosen cell, and what is to be seen of the pairs."""
    sections = {
        "Every pair": lambda: _every_pair(found, on),
        "Groups": lambda: _groups(found, given),
        "Two halves": lambda: _halves(found),
        "Which pairs": lambda: screening.show(sample, survey),
    }
    if not found.has_groups:
        del sections["Groups"]
    answer.chosen(found)  # whatever is looked at, since fields that are not drawn are forgotten
    chosen = st.segmented_control(
        "Look at",
        sections,
        default=next(iter(sections)),
        required=True,
        key="pairs_section",
        label_visibility="collapsed",
    )
    sections[chosen]()


def _every_pair(found: Answer, on: Shelf) -> None:
    """What each pair says in the chosen cell, and where it has its largest effect."""
    at = answer.selected(found)
    by_pair, by_layer = st.columns((7, 3), gap="medium")
    with by_layer:
        column = None if at is None or found.axes[1] == "head" else at[1]
        html.show(html.text(many_figures.peaks_say(found, column)))
        st.plotly_chart(many_figures.peaks(found, column), key="peaks", config=answer.MODEBAR)
    with by_pair:
        if at is None:
            html.show(html.note("Click a cell of the map to see what every pair says there."))
            return
        lines = [of.pair.pair.line for of in found.pairs]
        html.show(html.text(many_figures.strip_says(found, *at)))
        st.plotly_chart(
            many_figures.strip(found, *at),
            key=_STRIP,
            on_select=partial(_take_dot, lines),
            selection_mode="points",
            config=answer.MODEBAR,
        )
        order = many_figures.outliers(found, *at)[:_FARTHEST]
        shares = found.own_shares(*at)
        st.markdown("**Which pairs disagree?** Those first whose own share is farthest from most.")
        pairs.table(
            [_row(found, at, i, shares[i]) for i in order],
            key=_TABLE,
            on_select=partial(_take_row, [lines[i] for i in order]),
            selection_mode="single-row",
        )
    line = st.session_state.get(_CHOSEN)
    one = next((of for of in found.pairs if of.pair.pair.line == line), None)
    if one:
        with by_pair:
            _one_pair(found, at, one, on)


def _row(found: Answer, at: tuple[int, int], i: int, share: float) -> dict:
    of = found.pairs[i].pair.pair
    value = float(found.summary.of_pairs[i, *at])
    return {
        "own share" if found.other else "effect": f"{share:.4f}",
        "clean / corrupted differ in": differ_in(of.clean, of.corrupted),
        "clean": of.clean,
        "corrupted": of.corrupted,
        "value": number(found.experiment.metric, value),
        **({"group": of.group} if found.has_groups else {}),
        "id": of.id,
    }


def _take_dot(lines: list[int]) -> None:
    if points := st.session_state[_STRIP].selection.points:
        st.session_state[_CHOSEN] = lines[int(points[0]["customdata"][0])]


def _take_row(lines: list[int]) -> None:
    if rows := st.session_state[_TABLE].selection.rows:
        st.session_state[_CHOSEN] = lines[rows[0]]


def _one_pair(found: Answer, at: tuple[int, int], of: Swept, on: Shelf) -> None:
    """A pair with its texts, and the way to a page of its own."""
    pair, encoder = of.pair, on.model.encoder
    sides = (tuple(token(id, encoder) for id in ids) for ids in (pair.clean, pair.corrupted))
    i = found.pairs.index(of)
    value = number(found.experiment.metric, float(found.summary.of_pairs[i, *at]))
    with st.container(border=True):
        html.show(html.text(f"Pair {pair.pair.id}: {value} in this cell"))
        html.show(chips.ribbon(*sides))
        if max(len(pair.target), len(pair.foil)) > 1:
            html.show(html.note("By itself it is asked for the first of its targets and foils."))
        if found.source:
            html.show(html.note("By itself it has no others that could put something into it."))
            return
        by_itself = alone(pair, found.experiment, encoder)
        st.button("Open this pair by itself", on_click=_open, args=(by_itself,))


def _open(by_itself: Experiment) -> None:
    """As a callback: with the experiment the chosen cell goes, and what is drawn below it."""
    experiment.put(by_itself)
    st.session_state[_OPENS] = True


def _groups(found: Answer, given: Given) -> None:
    """Two groups side by side on one scale, and what the patch does more to the first."""
    groups = found.groups()
    if given.groups_are:
        html.show(html.text(given.groups_are))
    chosen = []
    for place, column in enumerate(st.columns(2)):
        with column:
            chosen.append(
                st.selectbox(
                    ("Group", "beside")[place],
                    groups,
                    index=place,
                    format_func=html.label,
                    key=f"pairs_group_{place}",
                )
            )
    _side_by_side([groups[name] for name in chosen], key="group")
    one, other = (groups[name] for name in chosen)
    st.markdown("**The effect in the first less that in the second**")
    figure = many_maps.difference(one, other)
    st.plotly_chart(figure, key="group_difference", config=answer.MODEBAR)
    html.show(html.caption(effects_differ(one)))


def _halves(found: Answer) -> None:
    try:
        one, other = found.halves()
    except UserError as error:
        html.show(html.problem(str(error)))
        return
    st.markdown(
        "What is found on the first half can be confirmed on the second: a hash of each pair’s id"
        " decides which half it is in, whatever else is in the file."
    )
    _side_by_side([one, other], key="half")
    st.markdown(f"Correlation of the two maps, cell by cell: **{one.correlation(other):.4f}**")


def _side_by_side(parts: list[Answer], key: str) -> None:
    for place, (column, part) in enumerate(zip(st.columns(2), parts, strict=True)):
        with column:
            html.show(html.text(part.used[:1].upper() + part.used[1:]))
            still(part, key=f"{key}_{place}", beside=parts)
