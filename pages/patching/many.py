"""The page "Many pairs": one map over many sentences, how sure it is, and which disagree."""

from dataclasses import replace
from functools import partial

import streamlit as st

from core import models
from core.errors import UserError
from core.many.answer import Answer
from core.many.fitting import alone
from core.many.survey import Sample, Survey
from core.many.values import Swept
from core.question.experiment import Experiment
from core.question.sites import SITES
from core.question.tokens import token
from core.views import many_figures, many_files, many_maps, names
from core.views.colours import reach
from core.views.many_sentences import says, screened_says
from core.views.words import caption, marks_mean, number
from pages.parts import answer, experiment, frame, html, inputs, look, pairs, running
from pages.parts.jobs import Job
from pages.parts.keeping import Shelf
from pages.parts.pairs import Given

_MAP_EVERY = 0.8  # seconds
_BEGUN = "begun_pairs"  # of which pairs a person has asked for a map
_CHOSEN = "chosen_pair"  # the line of one
_OPENS = "opens_pair"  # by itself, on the page of one pair
_TABLE, _STRIP = "pairs_farthest", "pairs_strip"
_FARTHEST = 200  # pairs of a table
_REASONS = 3  # why pairs cannot be used that are told at once
_PATCH = "pages/patching/patch.py"


def page() -> None:
    if st.session_state.pop(_OPENS, False):
        st.switch_page(_PATCH)
    html.show(html.title("Does it hold for many sentences?"))
    left, right = st.columns((7, 3), gap="medium")
    with right:
        pairs.source(models.named(experiment.current().model))
        options = st.container()
        for field in ("metric", "site", "direction"):
            inputs.choice(field)
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
        pairs.options(has_roles=sampled is None or sampled.of.has_roles)
        inputs.options((asked, on))
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
        html.show(html.problem(str(error)))
        return None


def _surveyed(given: Given, sample: Sample, asked: Experiment, on: Shelf) -> Job:
    choice = pairs.chosen()

    def make() -> Job:
        survey = Survey(sample, asked, choice.keep)
        # The first map of some pairs is asked for; those of other sites then follow by themselves.
        is_new = st.session_state.get(_BEGUN) != given.digest
        return Job(survey.__iter__, *survey.estimate, of=survey, asked=is_new)

    how = choice.keep, choice.roles, choice.rest
    return on.keep(None, ("survey", given.digest, asked.sweep, *how), make)


def _answer(asked: Experiment, on: Shelf, given: Given, sampled: Job, left) -> None:
    sample: Sample = sampled.of
    with left:
        above, progress, chart, screening = st.container(), st.container(), st.empty(), st.empty()
    try:
        with progress:
            if not running.drive(sampled, label="Look at the pairs"):
                return
        surveyed = _surveyed(given, sample, asked, on)
        survey: Survey = surveyed.of
        with above:
            column = _beyond(asked, sample)
        if not survey.swept:
            with screening.container():
                _screening(sample, survey)

        def read() -> Answer:
            choice = pairs.chosen()
            found = survey.read(asked, choice.of_ratios, draws=choice.draws or given.draws)
            return found if column is None else found.at(column)

        def draw_partly(fraction: float) -> None:
            if survey.swept:
                screening.empty()
                with chart.container():
                    html.show(html.text(f"So far {len(survey.swept):,} pairs."))
                    _still(read(), key=f"map_at_{fraction}")

        with progress:
            label = f"Run {len(survey.pairs):,} pair{'s' * (len(survey.pairs) > 1)}"
            finished = running.drive(surveyed, draw_partly, label, every=_MAP_EVERY)
        if not finished:
            return
        st.session_state[_BEGUN] = given.digest
        found = read()
    except UserError as error:
        with progress:
            html.show(html.problem(str(error)))
        return
    with above:
        html.show(html.text(says(found)))
    screening.empty()
    with chart.container():
        _map(found)
    with left:
        _downloads(found, given)
    _look_into(found, sample, survey, on)


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


def _map(found: Answer) -> None:
    st.plotly_chart(
        many_maps.heatmap(found, answer.selected(found)),
        key=answer.CHART,
        on_select=lambda: answer.take_click(found.rows),
        selection_mode="points",
        config=answer.MODEBAR,
        alt="Heatmap of the mean over pairs by what was patched; its numbers are in the files.",
    )
    html.show(html.caption(f"{caption(found)} {marks_mean(found)}"))


def _still(found: Answer, key: str, within: float | None = None) -> None:
    figure = many_maps.heatmap(found, reach=within, clickable=False)
    st.plotly_chart(figure, key=key, config=answer.MODEBAR)


def _downloads(found: Answer, given: Given) -> None:
    name = names.stem_of_many(found, given.source)
    offered = {kind: f"map.{kind}" for kind in ("png", "svg", "pdf")}
    offered |= {"csv": "summary.csv", "json": "answer.json"}
    about = {"pairs": given.digest, "address": pairs.to_query()}
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


def _look_into(found: Answer, sample: Sample, survey: Survey, on: Shelf) -> None:
    sections = {
        "Every pair": lambda: _every_pair(found, on),
        "Groups": lambda: _groups(found),
        "Two halves": lambda: _halves(found),
        "Which pairs": lambda: _screening(sample, survey),
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
        html.show(html.text(many_figures.strip_says(found, *at)))
        st.plotly_chart(
            many_figures.strip(found, *at),
            key=_STRIP,
            on_select=lambda: _take_dot(found),
            selection_mode="points",
            config=answer.MODEBAR,
        )
        order = many_figures.outliers(found, *at)[:_FARTHEST]
        shares = found.own_shares(*at)
        st.markdown("**Which pairs disagree?** Those first whose own share is farthest from most.")
        st.dataframe(
            [_row(found, at, i, shares[i]) for i in order],
            key=_TABLE,
            on_select=lambda: _take_row(found, order),
            selection_mode="single-row",
            hide_index=True,
            height=220,
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
        "value": number(found.experiment.metric, value),
        "id": of.id,
        **({"group": of.group} if found.has_groups else {}),
        "clean": of.clean,
        "corrupted": of.corrupted,
    }


def _take_dot(found: Answer) -> None:
    if points := st.session_state[_STRIP].selection.points:
        _choose(found, int(points[0]["customdata"][0]))


def _take_row(found: Answer, order: list[int]) -> None:
    if rows := st.session_state[_TABLE].selection.rows:
        _choose(found, order[rows[0]])


def _choose(found: Answer, i: int) -> None:
    st.session_state[_CHOSEN] = found.pairs[i].pair.pair.line


def _one_pair(found: Answer, at: tuple[int, int], of: Swept, on: Shelf) -> None:
    """A pair with its texts, and the way to a page of its own."""
    pair, encoder = of.pair, on.model.encoder
    sides = (tuple(token(id, encoder) for id in ids) for ids in (pair.clean, pair.corrupted))
    i = found.pairs.index(of)
    value = number(found.experiment.metric, float(found.summary.of_pairs[i, *at]))
    with st.container(border=True):
        html.show(html.text(f"Pair {pair.pair.id}: {value} in this cell"))
        html.show(html.ribbon(*sides))
        if max(len(pair.target), len(pair.foil)) > 1:
            html.show(html.note("By itself it is asked for the first of its targets and foils."))
        by_itself = alone(pair, found.experiment, encoder)
        st.button("Open this pair by itself", on_click=_open, args=(by_itself,))


def _open(by_itself: Experiment) -> None:
    """As a callback: with the experiment the chosen cell goes, and what is drawn below it."""
    experiment.put(by_itself)
    st.session_state[_OPENS] = True


def _groups(found: Answer) -> None:
    """Two groups side by side on one scale, and what the first has more."""
    groups = found.groups()
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
    st.markdown("**The first less the second**")
    figure = many_maps.difference(one, other)
    st.plotly_chart(figure, key="group_difference", config=answer.MODEBAR)
    plain = one.summary.unpatched - other.summary.unpatched
    html.show(
        html.caption(
            f"The runs patched into differ by {plain:z.4f} themselves: a cell that neither patch"
            " changes shows that. Recovery has no such difference."
        )
    )


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
    within = max(map(reach, parts))
    for place, (column, part) in enumerate(zip(st.columns(2), parts, strict=True)):
        with column:
            html.show(html.text(part.used[:1].upper() + part.used[1:]))
            _still(part, key=f"{key}_{place}", within=within)


def _screening(sample: Sample, survey: Survey) -> None:
    """What the model says to the plain runs of all pairs, and which are left out."""
    why = {of.row.line: of.row.reason for of in survey.left_out}
    rows = [
        (pair, found, why.get(pair.pair.line, ""))
        for pair, found in zip(sample.pairs, sample.screened, strict=True)
    ]
    html.show(html.text(screened_says(sample.given, rows, sample.dropped)))
    for row in sample.dropped[:_REASONS]:
        html.show(html.caption(f"Line {row.line:,}: {row.reason}"))
    if len(sample.dropped) > _REASONS:
        html.show(html.caption(f"{len(sample.dropped) - _REASONS:,} more are in the table."))
    figure = many_figures.screening(rows)
    st.plotly_chart(figure, key="screening", config=answer.MODEBAR)
    html.show(
        html.caption(
            "LD is logit(foil) - logit(target): below 0 the target is ahead, above 0 the foil. Of"
            " several targets or foils a logit is the log-sum-exp: that of any one of them."
        )
    )
    with st.expander(f"All {sample.given:,} pairs as a table"):
        st.dataframe(many_figures.screening_table(rows, sample.dropped), hide_index=True)


page()
